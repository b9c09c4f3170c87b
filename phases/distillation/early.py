"""Evaluate and RequestCorrections of early answers go on while late ones are generated.

Nothing of it is in the journal: the states of the drawing come to the same by themselves, and take what there is already.
Scores wait in this process; a teacher's answers lie in the ledger, where ParallelTeacherCalls finds them. So a process that
was killed loses time and no money, and one that begins in the middle of an epoch finds nothing and does all itself.

A prompt is asked for early only where it would be asked in any case: a poor answer, while CapAt500 takes all there can be,
answers are taken from the ledger (teacher_generation.reuse), and no correction of it is known.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass

from fsm.engine import Context, Walk
from phases.distillation import behaving, loading
from phases.quality_scoring.ahead import Ahead, Scored
from phases.student.generate import Output
from phases.teacher_generation.teacher import digest
from phases.turns import words

ANSWERS = "distillation/answers.jsonl"


@dataclass
class _Current:
    """The scores of one epoch of one run, in this process."""

    whose: tuple[str, int]
    scores: Ahead


_current: list[_Current] = []


@contextmanager
def going_on(
    ctx: Context, drawn: Sequence[str], prompts: Sequence[str]
) -> Iterator[Callable[[int, Output], None]]:
    """What is to be told of every answer, with the place of its prompt in `prompts`, of which `drawn` may be corrected.

    Leaving waits for the teacher's calls under way, which are paid for, and for no score.
    """
    if not ctx.config.early:
        yield lambda place, output: None
        return
    with _unread(ctx):
        references = behaving.references(ctx, prompts) if behaving.measures(ctx) else [None] * len(prompts)
        teacher = _teacher(ctx, drawn)
    if teacher:
        teacher.start()
    scores = Ahead(loading.section(ctx, "quality_scoring"))
    forget()
    _current.append(_Current(_whose(ctx), scores))
    correctable, below = set(drawn), ctx.config.poor_below

    def heard(place: int, output: Output) -> None:
        future = scores.begin(output.text, words(output.prompt), references[place])
        if teacher and output.prompt in correctable:
            future.add_done_callback(lambda done: teacher.look(output.prompt, done, below))

    try:
        yield heard
    finally:
        if teacher:
            teacher.close()


def scores(ctx: Context) -> Ahead | None:
    """The scores that were begun for this epoch's answers in this process; None where another process generated them."""
    return next((c.scores for c in _current if c.whose == _whose(ctx)), None)


def forget() -> None:
    """Let scores that nobody will take go."""
    for one in _current:
        one.scores.close()
    _current.clear()


def asks(ctx: Context, drawn: Sequence[str]) -> bool:
    """Whether every poor answer's prompt will be asked of the teacher in any case, and its answer found in the ledger."""
    config = ctx.config.corrections
    by_prompt_alone = config.whom == "worst" and not config.show_attempt and config.calls is None
    return (
        by_prompt_alone
        and bool(loading.section(ctx, "teacher_generation").reuse)
        and len(drawn) <= config.most
    )


def _teacher(ctx: Context, drawn: Sequence[str]) -> _Teacher | None:
    try:
        found = _Teacher(ctx) if asks(ctx, drawn) else None
        return found if found and found.keeps(drawn[0]) else None
    except Exception:  # told where the drawing asks
        return None


class _Teacher:
    """Asks for prompts as they come, by the code of ParallelTeacherCalls; whatever goes wrong goes wrong there again."""

    def __init__(self, ctx: Context) -> None:
        from phases.teacher_generation.desk import desk, spends_for
        from phases.teacher_generation.teachers import make_teacher

        section = loading.section(ctx, "teacher_generation")
        self._section = section.model_copy(
            update={"max_retries": 0}
        )  # what fails is asked again where it is drawn
        self._teacher = make_teacher(self._section.teacher, self._section.workers)
        self._desk = desk(ctx, self._section, spends_for(ctx))
        self._known = {r["digest"] for r in loading.read(ctx, ANSWERS)} if ctx.has(ANSWERS) else set()
        self._stopping = ctx.stopping
        self._waiting: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="early corrections", daemon=True)

    def keeps(self, prompt: str) -> bool:
        """Whether what it answers lies in the ledger: what costs nothing does not, and would be asked for again."""
        return self._teacher.question(prompt) is not None

    def start(self) -> None:
        self._thread.start()

    def look(self, prompt: str, scored: Future[Scored], below: float) -> None:
        """Ask for a prompt whose answer was poor, unless its correction is known."""
        if scored.cancelled() or scored.exception() is not None or digest(prompt) in self._known:
            return
        if scored.result()[0].overall < below:
            self._waiting.put(prompt)

    def close(self) -> None:
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        from machines.teacher_generation import MACHINE
        from phases.teacher_generation.handlers import PHASE
        from phases.teacher_generation.window import ask

        inside = "ParallelExecution.ProcessFuture"
        walk = Walk(MACHINE.counted_inside(inside), PHASE, prefix=f"{inside}.")
        ended = False
        while not ended and not self._stopping():
            prompts = [self._waiting.get()]
            while not self._waiting.empty():
                prompts.append(self._waiting.get())
            ended = None in prompts
            try:
                ask(
                    self._teacher,
                    [p for p in prompts if p is not None],
                    asking=self._section,
                    desk=self._desk,
                    way=walk.way,
                    stopping=self._stopping,
                )
            except Exception:  # no credentials, no money, nobody there: told where the drawing asks
                return


def _whose(ctx: Context) -> tuple[str, int]:
    return str(ctx.run_identity), int(ctx.data["epoch"])


@contextmanager
def _unread(ctx: Context) -> Iterator[None]:
    """What is looked at ahead is read, for the journal, by the state that decides by it."""
    before = dict(ctx.reads)
    yield
    ctx.reads.clear()
    ctx.reads.update(before)
