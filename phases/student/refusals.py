"""What goes wrong while a model is loaded, told as our errors: the hub's, transformers' and safetensors' own say what is
the matter with a file or a request, not what to do about it.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from phases.errors import AccessDenied, InvalidStructure, NotProvided, PipelineError
from phases.student.config import QLoRAConfig


@contextmanager
def explained(config: QLoRAConfig) -> Iterator[None]:
    """Turns what goes wrong while a model or a tokenizer is loaded into our errors, each with what to do next.

    Raises AccessDenied for a gated model or a refused token, NotProvided where the hub cannot be reached,
    InvalidStructure for everything that is wrong with the model itself. Out of memory passes as it is.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    except (PipelineError, MemoryError):
        raise
    except Exception as e:  # the libraries below raise their own kinds, and bare Exception too
        if isinstance(e, RuntimeError) and "out of memory" in str(e):
            raise
        raise _told(config, e) from e


def _told(config: QLoRAConfig, error: Exception) -> PipelineError:
    from huggingface_hub import errors as hub

    model = config.model
    known: list[tuple[type[BaseException], PipelineError]] = [
        (
            hub.GatedRepoError,
            AccessDenied(
                f"{model} is gated: its owner lets only those in who have accepted its terms. Accept them on the model's "
                "page while logged in, then set HF_TOKEN to a token of that account."
            ),
        ),
        (
            hub.RevisionNotFoundError,
            InvalidStructure(
                f"{model} has no revision {config.revision}. Set `revision` to a branch, a tag or a commit of the model."
            ),
        ),
        (
            hub.RepositoryNotFoundError,
            InvalidStructure(
                f"There is no model {model} on the hub, or HF_TOKEN may not see it. Correct `model` in the "
                "configuration, or set HF_TOKEN to a token of an account that may."
            ),
        ),
    ]
    chain = list(_causes(error))
    for kind, ours in known:
        if any(isinstance(e, kind) for e in chain):
            return ours
    status = next(
        (s for e in chain if (s := getattr(getattr(e, "response", None), "status_code", None))), None
    )
    if status in (401, 403):
        return AccessDenied(
            f"The hub refuses {model} to this caller (HTTP {status}). Set HF_TOKEN to a token that is valid and may read it."
        )
    if any(
        isinstance(e, (hub.OfflineModeIsEnabled, hub.LocalEntryNotFoundError, ConnectionError)) for e in chain
    ):
        return _unreached(config, chain[-1])
    said = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    return InvalidStructure(
        f"The model {model} cannot be loaded: {said}. If it was being downloaded, let that finish or start it again; "
        "otherwise correct `model` in the configuration."
    )


def _unreached(config: QLoRAConfig, last: BaseException) -> PipelineError:
    fetch = f"`hf download {config.model}`"
    if config.offline or os.environ.get("HF_HUB_OFFLINE") == "1":
        return InvalidStructure(
            f"{config.model} is not whole in this machine's cache of the hub, and the hub is not to be asked (offline). "
            f"Fetch it with {fetch} where there is a network, name a directory that holds it in `model`, or set "
            "offline: false."
        )
    reason = (str(last).strip().splitlines() or [type(last).__name__])[0]
    return NotProvided(
        f"The hub cannot be reached from here ({reason}), and {config.model} is not in this machine's cache of it. Mend "
        f"the connection, or fetch the model with {fetch} elsewhere and name its directory in `model`."
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it came of."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__
