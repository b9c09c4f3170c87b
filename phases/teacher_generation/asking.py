"""Asking a teacher: many prompts, several workers, retries as drawn, every answer kept.

Diagram 3's ProcessFuture is the way of one `Call`. Teacher generation and distillation both ask through here.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fsm.text import spelt
from phases.errors import AccessDenied, ModelStreamError, NoCredentials, ThrottlingException
from phases.teacher_generation.config import AskingConfig
from phases.teacher_generation.teacher import Answer, NoText, Response, Teacher, digest, parse_response


@dataclass(frozen=True)
class Result:
    """What became of one prompt: an answer, or the reason why there is none."""

    prompt: str
    teacher: str
    text: str = ""
    reason: str = ""
    retries: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    @property
    def answered(self) -> bool:
        return not self.reason

    def row(self) -> dict[str, Any]:
        """The result as a JSON object."""
        return asdict(self)

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Result:
        """The result that `row` was made of."""
        return cls(**row)


@dataclass
class Call:
    """One prompt on its way through ProcessFuture. Its methods are the states; what they return are labels."""

    prompt: str
    teacher: Teacher
    asking: AskingConfig
    sleep: Callable[[float], None] = time.sleep
    attempt: int = 0
    response: Response | None = None
    answer: Answer | None = None
    reason: str = ""

    def invoke(self) -> str:
        """Try once. A caller that AWS does not know or does not let in is an error of all prompts: it is raised."""
        try:
            self.response = self.teacher.invoke(self.prompt)
        except (ThrottlingException, ModelStreamError) as error:
            self.reason = f"{error.recovery} after {self.attempt} retries: {error}"
            return error.recovery if self.attempt < self.asking.max_retries else "MaxRetries exceeded"
        except (NoCredentials, AccessDenied):
            raise
        except Exception as error:  # of whatever library: the prompt has failed, not the run
            self.reason = spelt(f"{type(error).__name__}: {error}")
            return "Other error"
        return "200 OK"

    def back_off(self) -> None:
        """Sleep base * 2^attempt seconds."""
        self.sleep(self.asking.backoff_base_s * 2**self.attempt)
        self.attempt += 1

    def parse(self) -> str:
        """Read the text of the response."""
        assert self.response is not None  # by `invoke`
        try:
            self.answer = parse_response(self.response)
        except NoText as error:
            self.reason = f"no text: {error}"
            return "No text in response"
        return "Text extracted"

    def succeed(self) -> None:
        """Forget the failures on the way."""
        self.reason = ""

    def fail(self) -> None:
        """Keep no text of a call that failed."""
        self.answer = None

    @property
    def result(self) -> Result:
        answer = self.answer or Answer("")
        return Result(
            self.prompt,
            self.teacher.name,
            answer.text,
            self.reason,
            self.attempt,
            answer.input_tokens,
            answer.output_tokens,
        )


class Kept:
    """Answers on this machine's disk by the digest of teacher and prompt: what was answered is not paid for again.

    An answer is there, whole, as soon as it is had, so that a killed batch does not ask it once more. Failures
    are not kept: they may be tried again.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def find(self, teacher: str, prompt: str) -> Result | None:
        """The answer that was kept, if there is one and it can be read."""
        try:
            row = json.loads(self._path(teacher, prompt).read_text("utf-8"))
            return Result.from_row(row)
        except (FileNotFoundError, ValueError, TypeError):  # a machine that lost power may leave half a file
            return None

    def keep(self, result: Result) -> None:
        """Keep an answer; one of a name is replaced as a whole."""
        path = self._path(result.teacher, result.prompt)
        part = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
        part.write_text(json.dumps(result.row(), ensure_ascii=False), "utf-8")
        part.replace(path)

    def _path(self, teacher: str, prompt: str) -> Path:
        return self._directory / f"{digest(teacher + chr(0) + prompt)}.json"


def ask(
    teacher: Teacher,
    prompts: Sequence[str],
    *,
    asking: AskingConfig,
    kept: Kept,
    walk: Callable[[Call], object],
    stopping: Callable[[], bool] = lambda: False,
    sleep: Callable[[float], None] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Result]:
    """The results for all prompts, in their order. A prompt that stands there twice is asked once.

    `walk` takes each Call through ProcessFuture, in one of `asking.workers` threads. An answer that was kept is walked
    too, and answered from the disk. Once `stopping()` is true no further call begins, pauses end early, and the results are those there are:
    fewer than the prompts, so leave `ctx.deferring_stop()` before you use them.

    Raises:
        NoCredentials, AccessDenied: the caller may ask nothing; what was answered before is kept.
    """
    asked = list(dict.fromkeys(prompts))
    over = threading.Event()

    def ending() -> bool:
        return over.is_set() or stopping()

    pool = _Pool(teacher, asking, kept, walk, ending, over.set, sleep or _Sleeper(ending).sleep)
    results: dict[str, Result] = {}
    with ThreadPoolExecutor(asking.workers, thread_name_prefix="teacher") as threads:
        futures = [threads.submit(pool.one, prompt) for prompt in asked]
        try:
            _wait(futures, len(asked), progress)
        finally:
            over.set()  # where waiting itself was broken off: no further call begins
            for future in futures:
                future.cancel()
    for future in futures:
        if not future.cancelled() and (result := future.result()) is not None:
            results[result.prompt] = result
    return [results[prompt] for prompt in prompts if prompt in results]


class _Stopped(Exception):
    """A stop was asked for while a call paused."""


@dataclass(frozen=True)
class _Sleeper:
    """Sleeps, but not on when a stop is asked for."""

    stopping: Callable[[], bool]

    def sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self.stopping():
                raise _Stopped
            time.sleep(min(left, 0.1))


@dataclass(frozen=True)
class _KeptTeacher:
    """Answers from the disk where it can, and passes on to the teacher otherwise."""

    teacher: Teacher
    kept: Kept

    @property
    def name(self) -> str:
        return self.teacher.name

    @property
    def note(self) -> str:
        return self.teacher.note

    def invoke(self, prompt: str) -> Response:
        found = self.kept.find(self.name, prompt)
        if found is None:
            return self.teacher.invoke(prompt)
        usage = {"inputTokens": found.input_tokens, "outputTokens": found.output_tokens}
        return {"output": {"message": {"content": [{"text": found.text}]}}, "usage": usage}


@dataclass(frozen=True)
class _Pool:
    """What all workers share."""

    teacher: Teacher
    asking: AskingConfig
    kept: Kept
    walk: Callable[[Call], object]
    stopping: Callable[[], bool]
    halt: Callable[[], None]
    sleep: Callable[[float], None]

    def one(self, prompt: str) -> Result | None:
        """The result for one prompt; None where a stop came first."""
        if self.stopping():
            return None
        call = Call(prompt, _KeptTeacher(self.teacher, self.kept), self.asking, self.sleep)
        try:
            self.walk(call)
        except _Stopped:
            return None
        except BaseException:
            self.halt()  # here, for the thread that waits may wake after this one has begun another call
            raise
        if call.result.answered:
            self.kept.keep(call.result)
        return call.result


def _wait(futures: Iterable[Future[Any]], total: int, progress: Callable[[int, int], None]) -> None:
    """Wait for all, or for the first that raises. In short turns, so that a signal gets through."""
    pending = set(futures)
    while pending:
        done, pending = wait(pending, timeout=0.2, return_when=FIRST_EXCEPTION)
        progress(total - len(pending), total)
        if any(future.exception() is not None for future in done):
            return
