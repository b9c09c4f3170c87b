"""A server with a life of its own: started over the adapter, asked, stopped; and what is said where it goes wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from phases.errors import InvalidStructure, NotProvided
from phases.student import vllm
from phases.student.engines import VllmConfig
from phases.student.generate import Encoded, SamplingConfig

SERVING = Path(__file__).parents[2] / "servers" / "serving.py"
SAMPLING = SamplingConfig(max_new_tokens=12)
PROMPTS = [Encoded(f"Write add_{n}.", tuple(range(3, 5 + n)), n == 2) for n in range(9)]
TOKENIZER = SimpleNamespace(eos_token_id=0)


def settings(fault: str = "none", **said: Any) -> VllmConfig:
    return VllmConfig.model_validate(
        {"command": (sys.executable, str(SERVING), fault), "start_s": 20, "at_once": 4, **said}
    )


def adapter(tmp_path: Path, content: bytes = b"weights") -> Path:
    directory = tmp_path / content.decode()
    directory.mkdir(exist_ok=True)
    (directory / "adapter_model.safetensors").write_bytes(content)
    (directory / "adapter_config.json").write_text("{}")
    return directory


def ask(
    config: VllmConfig, directory: Path, prompts: Sequence[Encoded] = PROMPTS, seed: int = 1
) -> dict[int, Any]:
    with vllm.Server(config, "base", directory, 32, directory / "log") as server:
        found = dict(vllm.answers(server, TOKENIZER, prompts, SAMPLING, seed, config))
        process = server._process
        assert process is not None
    assert process.returncode is not None
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    return found


def test_every_prompt_is_answered_by_the_adapter_that_was_given(tmp_path: Path) -> None:
    found = ask(settings(), adapter(tmp_path))
    assert sorted(found) == list(range(9))
    assert [found[n].prompt for n in range(9)] == [one.prompt for one in PROMPTS]
    assert {(o.tokens, o.cut) for o in found.values()} == {(6, False)}
    assert [n for n in found if found[n].prompt_cut] == [2]
    assert len({o.text for o in found.values()}) == 9
    # a function of weights, seed and prompt: not of who else asks
    assert ask(settings(), adapter(tmp_path), PROMPTS[3:5])[0] == found[3]
    assert ask(settings(), adapter(tmp_path), PROMPTS[3:4], seed=2)[0] != found[3]
    assert ask(settings(), adapter(tmp_path, b"other"), PROMPTS[3:4])[0] != found[3]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("start", "did not start, exit code 1.*Its last line: ValueError: Free memory on device"),
        ("bare", "started without the adapter .it serves base."),
        ("dies-1", "died, exit code -9"),
        ("500", "failed .HTTP 500: .*EngineCore"),
    ],
)
def test_a_server_that_fails_is_told_with_the_way_on(tmp_path: Path, fault: str, said: str) -> None:
    with pytest.raises(vllm.ServerDied, match=said) as caught:
        ask(settings(fault), adapter(tmp_path))
    assert "run again to go on with the rest, or with engine: transformers" in str(caught.value)
    assert ("batch_invariant: false" in str(caught.value)) == (fault in ("start", "bare"))


def test_a_server_that_is_never_ready_is_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(vllm.ServerDied, match=r"was not ready after 0.5 s .*start_s"):
        ask(settings("hangs", start_s=0.5), adapter(tmp_path))


def test_one_that_dies_in_mid_epoch_is_started_again_for_the_rest(tmp_path: Path) -> None:
    """Four answers each time, then it is gone: three servers answer nine prompts, and as one would have."""
    assert ask(settings("dies-5", at_once=1), adapter(tmp_path)) == ask(settings(), adapter(tmp_path))
    with pytest.raises(vllm.ServerDied, match="died"):
        ask(settings("dies-5", at_once=1, restarts=1), adapter(tmp_path))


@pytest.mark.parametrize("fault", ["garbage", "html"])
def test_garbage_is_not_taken_for_an_answer(tmp_path: Path, fault: str) -> None:
    with pytest.raises(InvalidStructure, match=r"no completion of OpenAI's protocol: .*engine: transformers"):
        ask(settings(fault), adapter(tmp_path))


def test_without_vllm_it_is_said_before_an_epoch_is_trained() -> None:
    vllm.needed(settings())
    with pytest.raises(NotProvided, match=r"there is no no-such-vllm here.*fsm-pipelines\[vllm\]"):
        vllm.needed(VllmConfig(command=("no-such-vllm", "serve")))


def test_a_rank_that_vllm_does_not_load_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidStructure, match="rank 1024, and vLLM loads none above 512"):
        vllm.Server(settings(), "base", tmp_path, 1024, tmp_path / "log")
