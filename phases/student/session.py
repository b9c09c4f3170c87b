"""The model in this process: a cache over durable things.

A handler may be the first of its process, for any state may be the one in which a killed run goes on. So no handler
assumes what an earlier one has loaded: it asks the session to have come as far as its own step, and the session does
what is missing.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from fsm.engine import Context
from phases.student import adapters, hub, model, preflight
from phases.student.config import TINY, QLoRAConfig

STEPS = ("load", "prepare", "adapt", "tokenizer", "pad")
BASE_FILES = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)


class Wanted(Protocol):
    """Which student: its settings, the prefix of its base's artifacts (None: as the settings name it), its adapter's seed."""

    @property
    def config(self) -> QLoRAConfig: ...

    @property
    def base(self) -> str | None: ...

    @property
    def adapter_seed(self) -> int: ...


class Session:
    """One base model with one adapter structure, as far as it has come. `base` is a model's id or directory."""

    def __init__(self, config: QLoRAConfig, base: str, seed: int) -> None:
        self.config = config.model_copy(update={"model": base})
        self.seed = seed
        self.model: Any = None
        self.tokenizer: Any = None
        self.trainer: Any = None
        self._done = 0
        self._fresh = b""
        self.holds = ""

    def reach(self, step: str) -> Session:
        """Have done all of STEPS up to `step`."""
        for name in STEPS[self._done : STEPS.index(step) + 1]:
            _STEPS[name](self)
            self._done += 1
        return self

    def use(self, adapter: Path | None) -> Session:
        """Have the adapter's weights those of the file, or the fresh ones of the seed."""
        self.reach("pad")
        data = adapter.read_bytes() if adapter else self._fresh
        digest = hashlib.sha256(data).hexdigest()
        if digest != self.holds:
            adapters.load(self.model, data)
            self.holds = digest
        return self

    def weights(self) -> bytes:
        """The adapter's present weights, as a safetensors file."""
        data = adapters.weights(self.model)
        self.holds = hashlib.sha256(data).hexdigest()
        return data

    def touched(self) -> None:
        """Training has changed, or is about to change, the weights: what they were is not known any more."""
        self.holds = ""

    def _load(self) -> None:
        _threads(self.config)
        preflight.driver()
        preflight.alike()
        preflight.options(self.config)
        preflight.cpu(self.config)
        self.model = model.load(self.config)

    def _prepare(self) -> None:
        self.model = model.prepare(self.model, self.config)

    def _adapt(self) -> None:
        self.model = model.apply_lora(self.model, self.config, self.seed)
        self._fresh = self.weights()

    def _tokenizer(self) -> None:
        self.tokenizer = model.load_tokenizer(self.config)

    def _pad(self) -> None:
        model.set_pad(self.tokenizer, self.model)


_STEPS: dict[str, Callable[[Session], None]] = {
    "load": Session._load,
    "prepare": Session._prepare,
    "adapt": Session._adapt,
    "tokenizer": Session._tokenizer,
    "pad": Session._pad,
}

_current: dict[str, Session] = {}


def of(ctx: Context, job: Wanted) -> Session:
    """The session for a job."""
    return held(job.config, base_directory(ctx, job), job.adapter_seed)


def held(config: QLoRAConfig, base: str, adapter_seed: int) -> Session:
    """The session of a model's id or directory; the one before is let go, for two 8B models do not fit."""
    shaping = config.model_dump(mode="json", include=set(_SHAPING))
    key = json.dumps([shaping, base, adapter_seed], sort_keys=True)
    if key not in _current:
        _current.clear()
        _current[key] = Session(config, base, adapter_seed)
    return _current[key]


def forget() -> None:
    """Let the session go, as the death of the process would, and its GPU memory with it."""
    _current.clear()
    if torch := sys.modules.get("torch"):
        gc.collect()  # trainers stand in cycles
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


_SHAPING = (
    "model",
    "revision",
    "offline",
    "quantization",
    "double_quantization",
    "compute_dtype",
    "attention",
    "gradient_checkpointing",
    "lora_rank",
    "lora_alpha",
    "lora_dropout",
    "target_modules",
    "threads",
)


def make_base(ctx: Context, config: QLoRAConfig, rows: list[Any], out: str) -> str | None:
    """For the tiny student: make it from the answers in `rows`, keep it as artifacts; their prefix.

    None for a model that is loaded from elsewhere.
    """
    if config.model != TINY:
        return None
    hub.quiet(config.offline)
    _threads(config)
    from phases.student import tiny

    made = tiny.build(config.tiny_student, tiny.texts(rows), cache_directory(), ctx.progress)
    for name in BASE_FILES:
        if (made / name).is_file():
            ctx.put(f"{out}/{name}", made / name)
    return out


def cache_directory() -> Path:
    """Where models made by content are kept between runs: FSM_CACHE, or the user's cache directory."""
    named = os.environ.get("FSM_CACHE")
    root = (
        Path(named)
        if named
        else Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "fsm-pipelines"
    )
    root.mkdir(parents=True, exist_ok=True)
    return root


def base_directory(ctx: Context, job: Wanted) -> str:
    """The model's id or directory; the tiny student's artifacts are laid out in a directory of this machine."""
    if job.base is None:
        return job.config.model
    files = {name: ctx.open(f"{job.base}/{name}") for name in BASE_FILES if ctx.has(f"{job.base}/{name}")}
    key = hashlib.sha256("".join(f"{n} {p.name}" for n, p in sorted(files.items())).encode()).hexdigest()[:16]
    directory = ctx.workdir("models") / f"tiny-granite-{key}"
    if not directory.is_dir():
        making = directory.with_name(f".{directory.name}.{os.getpid()}")
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir()
        for name, path in files.items():
            shutil.copyfile(path, making / name)
        making.rename(directory)
    return str(directory)


def _threads(config: QLoRAConfig) -> None:
    if config.threads:
        import torch

        torch.set_num_threads(config.threads)
