"""A vLLM server with a life of its own: started over base and adapter, asked by OpenAI's completions, stopped.

It runs as a process (extra `vllm`), for its CUDA context, its memory and its crashes are to be nobody else's. Prompts go
as tokens, so that the student reads what it reads by transformers; each has a seed of its own, drawn from the run's and the
prompt. With VLLM_BATCH_INVARIANT=1 (vLLM's documentation, "Batch Invariance"; GPUs of compute capability 8.0 or higher)
answers are then a function of weights, seed and prompt; they are other draws than those of transformers.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from phases.errors import ContainerError, InvalidStructure, NotProvided
from phases.sagemaker_job.kept import die_with
from phases.student.engines import VllmConfig
from phases.student.generate import Encoded, Output, SamplingConfig, key

HOST = "127.0.0.1"
STUDENT = "student"
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What --max-lora-rank takes."""
_LOOK = 0.1  # seconds between two looks whether the server is ready
_MOMENT = 3.0  # seconds that a process that dies may outlive its connections
_GRACE = 20.0  # seconds from SIGTERM to SIGKILL


def needed(config: VllmConfig) -> None:
    """Raises NotProvided where there is no vLLM here, or nothing to ask it with."""
    program = config.command[0]
    if shutil.which(program) is None:
        raise NotProvided(
            f"distillation.generate.engine is vllm, and there is no {program} here. Install the extra (pip install "
            "'fsm-pipelines[vllm]') on a machine with an NVIDIA GPU, name the program in distillation.generate.vllm.command, "
            "or set engine: transformers."
        )
    if importlib.util.find_spec("openai") is None:
        raise NotProvided(
            "distillation.generate.engine is vllm, which is asked by the package openai, and that is not installed: pip "
            "install 'fsm-pipelines[openai]', or set engine: transformers."
        )


class ServerDied(ContainerError):
    """The server has ended, or does not answer any more."""


class Server:
    """One server, from `with` to its end. `base` is a model's id or directory, `adapter` a directory as PEFT saves it."""

    def __init__(self, config: VllmConfig, base: str, adapter: Path, rank: int, log: Path) -> None:
        self._config, self._base, self._adapter, self._log = config, base, adapter, log
        fitting = [known for known in RANKS if known >= rank]
        if not fitting:
            raise InvalidStructure(
                f"The adapter has rank {rank}, and vLLM loads none above {RANKS[-1]}. Set distillation.generate.engine: "
                "transformers, or train with a lower lora_rank."
            )
        self._rank = fitting[0]
        self._was_ready = False
        self._process: subprocess.Popen[bytes] | None = None
        self.client: Any = None

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, and wait until it is ready and has the adapter. Raises ServerDied, with the end of its log."""
        import openai

        with socket.socket() as s:
            s.bind((HOST, 0))
            port = s.getsockname()[1]
        command = [
            *self._config.command, self._base, f"--host={HOST}", f"--port={port}", "--enable-lora",
            f"--max-lora-rank={self._rank}", f"--lora-modules={STUDENT}={self._adapter}", "--generation-config=vllm",
            "--seed=0", *self._config.arguments,
        ]  # fmt: skip
        environment = {**os.environ, "VLLM_BATCH_INVARIANT": "1" if self._config.batch_invariant else "0"}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
                preexec_fn=partial(die_with, os.getpid()),
            )  # fmt: skip
        self.client = openai.OpenAI(
            base_url=f"http://{HOST}:{port}/v1", api_key="none", max_retries=0, timeout=self._config.answer_s
        )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def _wait_until_ready(self) -> None:
        import openai

        end = time.monotonic() + self._config.start_s
        while time.monotonic() < end:
            if not self.alive:
                raise ServerDied(self.said("did not start"))
            with suppress(openai.APIConnectionError, openai.InternalServerError):
                there = [model.id for model in self.client.with_options(timeout=10).models.list()]
                if STUDENT not in there:
                    raise ServerDied(self.said(f"started without the adapter (it serves {', '.join(there)})"))
                self._was_ready = True
                return
            time.sleep(_LOOK)
        raise ServerDied(
            self.said(f"was not ready after {self._config.start_s:g} s (distillation.generate.vllm.start_s)")
        )

    @property
    def alive(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def ended(self) -> bool:
        """Whether its process has ended, or does so in a moment: a connection is gone before the process is."""
        process = self._process
        with suppress(subprocess.TimeoutExpired):
            if process is not None:
                process.wait(_MOMENT)
        return not self.alive

    def said(self, what: str) -> str:
        """What happened to it, for the user: with the last of its log, and the ways on."""
        code = self._process.poll() if self._process else None
        ended = "" if code is None else f", exit code {code}"
        lines = self._log.read_text("utf-8", "replace").strip().splitlines() if self._log.is_file() else []
        last = f" Its last line: {lines[-1].strip()[:300]}" if lines else ""
        batch = (
            " If it lacks batch-invariant kernels for this GPU, set distillation.generate.vllm.batch_invariant: false."
            if self._config.batch_invariant and not self._was_ready
            else ""
        )
        return (
            f"The vLLM server ({' '.join(self._config.command)}) {what}{ended}.{last} Its log is {self._log}. The answers there "
            f"were are kept: run again to go on with the rest, or with engine: transformers in distillation.generate to do "
            f"without it.{batch}"
        )

    def stop(self) -> None:
        """End it and what it started: asked first, made to after a while."""
        if self.client is not None:
            self.client.close()
        process, self._process = self._process, None
        if process is None:
            return
        for sign, seconds in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, None)):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, sign)
            with suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what it started and left behind


def answers(
    server: Server,
    tokenizer: Any,
    encoded: Sequence[Encoded],
    config: SamplingConfig,
    seed: int,
    vllm: VllmConfig,
) -> Iterator[tuple[int, Output]]:
    """(place, answer) for every prompt, as they come. A server that dies after having answered is started again.

    Raises ServerDied where it died without an answer or too often, InvalidStructure where it answers what is no answer.
    """
    left = dict(enumerate(encoded))
    restarts = vllm.restarts
    while left:
        before = len(left)
        try:
            for place, output in _round(server, tokenizer, left, config, seed, vllm.at_once):
                del left[place]
                yield place, output
        except ServerDied:
            server.stop()
            if len(left) == before or not restarts:
                raise
            restarts -= 1
            server.start()


def _round(
    server: Server, tokenizer: Any, left: dict[int, Encoded], config: SamplingConfig, seed: int, at_once: int
) -> Iterator[tuple[int, Output]]:
    waiting = iter(sorted(left.items(), key=lambda item: len(item[1].ids)))
    with ThreadPoolExecutor(at_once) as pool:
        begun = {
            pool.submit(_ask, server, tokenizer, one, config, seed): p for p, one in islice(waiting, at_once)
        }
        try:
            while begun:
                done, _ = wait(begun, return_when=FIRST_COMPLETED)
                for future in done:
                    place = begun.pop(future)
                    yield place, future.result()
                    for following, one in islice(waiting, 1):
                        begun[pool.submit(_ask, server, tokenizer, one, config, seed)] = following
        finally:
            for future in begun:
                future.cancel()
            if any(not future.done() for future in begun):
                server.stop()  # nobody waits for answers that nobody takes


def _ask(server: Server, tokenizer: Any, one: Encoded, config: SamplingConfig, seed: int) -> Output:
    import openai

    try:
        said = server.client.completions.create(
            model=STUDENT,
            prompt=list(one.ids),
            max_tokens=config.max_new_tokens,
            temperature=config.temperature,
            top_p=config.top_p,
            seed=key(seed, one.prompt) & 0x7FFFFFFF,
            extra_body={"stop_token_ids": [tokenizer.eos_token_id]},
        )
    except openai.APIStatusError as e:
        if e.status_code >= 500:
            raise ServerDied(server.said(f"failed (HTTP {e.status_code}: {str(e.message)[:200]})")) from e
        raise InvalidStructure(
            f"The vLLM server refused a prompt of {len(one.ids)} tokens (HTTP {e.status_code}: {str(e.message)[:300]}). See "
            "distillation.sampling for its lengths and distillation.generate.vllm.arguments for the server's."
        ) from e
    except openai.APIConnectionError as e:  # timeouts too
        raise ServerDied(server.said("died" if server.ended() else "does not answer any more")) from e
    except (openai.OpenAIError, ValueError) as e:  # no JSON, or none of the protocol's
        raise InvalidStructure(_garbage(f"{type(e).__name__}: {e}")) from e
    return _output(said, one)


def _output(said: Any, one: Encoded) -> Output:
    choices = getattr(said, "choices", None)
    if not isinstance(choices, list) or not choices:
        raise InvalidStructure(_garbage(str(said)[:200]))
    text, end = getattr(choices[0], "text", None), getattr(choices[0], "finish_reason", None)
    tokens = getattr(getattr(said, "usage", None), "completion_tokens", None)
    if not isinstance(text, str) or end not in ("stop", "length") or not isinstance(tokens, int):
        raise InvalidStructure(_garbage(str(choices[0])[:200]))
    return Output(one.prompt, text, max(0, tokens - (end == "stop")), end == "length", one.cut)


def _garbage(what: str) -> str:
    return (
        f"The vLLM server answered what is no completion of OpenAI's protocol: {what}. Is distillation.generate.vllm.command "
        "really vLLM, and of a version that this project knows (extra vllm)? Set engine: transformers to do without it."
    )
