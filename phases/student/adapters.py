"""A LoRA adapter as two artifacts: weights as safetensors and PEFT's configuration as JSON, equal bytes for equal weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from phases.errors import InvalidStructure

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


def weights(model: Any) -> bytes:
    """The adapter's tensors in fp32, in the order of their names, as a safetensors file."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import save

    state = get_peft_model_state_dict(model)
    return bytes(
        save(
            {name: state[name].detach().float().cpu().contiguous() for name in sorted(state)},
            {"format": "pt"},
        )
    )


def config(model: Any, base: str) -> bytes:
    """PEFT's adapter_config.json for this adapter of `base`, keys and sets sorted.

    PEFT keeps target modules in a set, whose order changes with every process, and notes the directory the base
    was loaded from, which differs between machines.
    """
    said = model.peft_config["default"].to_dict()
    said["base_model_name_or_path"] = base
    said["inference_mode"] = True
    return (json.dumps(said, indent=2, sort_keys=True, default=_plain) + "\n").encode()


def load(model: Any, data: bytes | Path) -> None:
    """Put the tensors of a safetensors file into the model's adapter, in place.

    Raises InvalidStructure when they are not those of this model's adapter: another base, rank or set of layers.
    """
    import torch
    from peft import get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors.torch import load as parse

    tensors = parse(data.read_bytes() if isinstance(data, Path) else data)
    has = {name: tuple(t.shape) for name, t in get_peft_model_state_dict(model).items()}
    given = {name: tuple(t.shape) for name, t in tensors.items()}
    if has != given:
        raise InvalidStructure(_difference(has, given))
    with torch.no_grad():
        set_peft_model_state_dict(model, tensors)


def check_base(adapter_config: bytes, base: str) -> None:
    """Raises InvalidStructure when an adapter's configuration names another base model than `base`."""
    said = json.loads(adapter_config).get("base_model_name_or_path")
    if said != base:
        raise InvalidStructure(
            f"The adapter was trained on {said}, but the model here is {base}. An adapter fits its own base only: set "
            f"`model` to {said}, or train an adapter for {base}."
        )


def _difference(has: dict[str, Any], given: dict[str, Any]) -> str:
    for name in sorted(has.keys() | given.keys()):
        if has.get(name) != given.get(name):
            break
    return (
        f"The adapter is not one of this model: {name} is {given.get(name, 'missing')} in the adapter and "
        f"{has.get(name, 'missing')} in the model. It was trained on another base, or with another rank or set of "
        "layers; use it with the configuration it was trained with."
    )


def _plain(value: Any) -> Any:
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return getattr(value, "value", str(value))
