"""HFToken: whether the Hugging Face hub knows the token, and lets it at the model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from phases.pipeline.validation.finding import Finding, good, idle, unknown, warning
from phases.pipeline.validation.needs import Needs
from phases.student.config import TINY

NEW = "Make a new token with read access (https://huggingface.co/settings/tokens) and put it into pipeline.hf_token."


def hf_token(needs: Needs) -> Iterator[Finding]:
    """whoami, and access to the model where it is gated. Nothing here fails: the drawing has a warning for it."""
    if needs.student is None or needs.student.model == TINY:
        yield idle("the student is made by the run itself")
        return
    model = needs.student.model
    if Path(model).is_dir():
        yield idle(f"the student is the directory {model}")
        return
    if needs.student.offline:
        yield idle(f"the student {model} is in the cache of this machine (qlora_training.offline)")
        return
    token = needs.pipeline.hf_token.get_secret_value()
    if not token:
        yield warning(
            f"no Hugging Face token (pipeline.hf_token); {model} can be had without one only if it is not gated"
        )
        return
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE:
        yield unknown(f"whether the hub lets the token at {model}: HF_HUB_OFFLINE is set in this environment")
        return
    hub = HfApi(token=token)
    try:
        yield good(f"the hub knows the token as {hub.whoami()['name']}")
    except Exception as e:
        yield warning(f"the hub does not know the token in pipeline.hf_token: {_said(e)}", NEW)
        return
    try:
        hub.auth_check(model)
    except Exception as e:
        do = f"Accept its terms at https://huggingface.co/{model} with the account of the token, or correct qlora_training.model."
        yield warning(f"the hub does not let the token at {model}: {_said(e)}", do)
    else:
        yield good(f"the hub lets the token at {model}")


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
