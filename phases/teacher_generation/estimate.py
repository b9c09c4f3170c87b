"""What asking will come to, said before anything is asked: prompts, tokens, dollars, time, and what the ledger holds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

from fsm.engine import Context
from fsm.errors import StoreError
from fsm.store import Shelf, Store
from fsm.text import TextError, lines
from phases.errors import PipelineError
from phases.teacher_generation.config import TeacherGenerationConfig
from phases.teacher_generation.desk import model_of, price_of
from phases.teacher_generation.ledger import SHELF, Ledger
from phases.teacher_generation.loading import each, fitting
from phases.teacher_generation.prices import (
    ANSWER_TOKENS,
    DATED,
    FREE,
    bound,
    input_estimate,
    output_bound,
)
from phases.teacher_generation.tally import lasting
from phases.teacher_generation.teacher import Teacher
from phases.teacher_generation.teachers import unconnected

READ_AT_ONCE = 256  # prompts whose entries are looked up together
SECONDS_A_CALL = 8.0  # of an answer as a rule, where no quota decides


@dataclass
class Estimate:
    """The sums over prompts; those the ledger holds cost nothing."""

    prompts: int = 0
    held: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    reserved: int = 0
    at_most: Decimal = Decimal(0)

    def of(
        self, teacher: Teacher, config: TeacherGenerationConfig, prompts: Iterable[str], shelf: Shelf | None
    ) -> Estimate:
        """Add prompts. Raises StoreError where the ledger cannot be read."""
        rest = iter(prompts)
        ledger = Ledger(shelf) if shelf is not None and config.reuse else None
        while some := list(itertools.islice(rest, READ_AT_ONCE)):
            questions = [teacher.question(prompt) for prompt in some]
            names = [
                [ledger.name(q, n) if ledger else None for n in range(config.best_of)] for q in questions
            ]
            there = ledger.has(name for several in names for name in several if name) if ledger else set()
            self.prompts += len(some)
            for question, several in zip(questions, names, strict=True):
                missing = sum(name is None or name not in there for name in several)
                self.held += not missing
                if question is not None and missing:
                    self._add(teacher, config, question, missing)
        return self

    def _add(self, teacher: Teacher, config: TeacherGenerationConfig, question: Any, times: int) -> None:
        self.input_tokens += times * input_estimate(question)
        self.output_tokens += times * min(ANSWER_TOKENS, output_bound(question) or ANSWER_TOKENS)
        self.reserved += times * (input_estimate(question) + output_bound(question))
        found = price_of(teacher, question, config) or FREE
        self.at_most += times * bound(found, question)

    def said(self, teacher: Teacher, config: TeacherGenerationConfig, question: Any) -> str:
        """One sentence or two for a person."""
        todo = self.prompts - self.held
        parts = [f"{self.prompts:,} prompts for {teacher.name}"]
        if self.held:
            parts.append(f"{self.held:,} of them answered in the ledger already")
        if todo:
            parts.append(f"about {self.input_tokens:,} tokens in and {self.output_tokens:,} out")
            found = price_of(teacher, question, config)
            if found is None:
                parts.append("no price is known (teacher_generation.prices)")
            else:
                dollars = found.of(self.input_tokens, self.output_tokens)
                table = "" if model_of(teacher, question) in config.prices else f" by the prices of {DATED}"
                parts.append(f"about ${dollars:.2f} and never more than ${self.at_most:.2f}{table}")
            parts.append(f"some {self._time(config)}")
        said = ", ".join(parts) + "."
        if config.max_cost_usd is not None:
            said += f" The budget is ${config.max_cost_usd:.2f}"
            said += (
                ", which may not be enough: the run then stops, resumable."
                if todo and self.at_most > Decimal(str(config.max_cost_usd))
                else "."
            )
        return said

    def seconds(self, config: TeacherGenerationConfig) -> float:
        """How long it will take, about: by the calls at once, or by the quota where that is known and is less."""
        calls = (self.prompts - self.held) * config.best_of * SECONDS_A_CALL / config.workers
        return max(calls, 60 * self.reserved / (config.tokens_per_minute or math.inf))

    def _time(self, config: TeacherGenerationConfig) -> str:
        known = config.tokens_per_minute is not None
        how = "at the quota" if known else f"with {config.workers} at once, or what the quota takes"
        return f"{lasting(self.seconds(config))} {how}"


def of_run(ctx: Context, teacher: Teacher, prompts: Iterator[str]) -> list[str]:
    """What the run's log says of its prompts, and then what its teacher warns of where it will be asked; nothing for a
    teacher that costs nothing.

    Raises ConfigError where there is a budget and no price; what `Teacher.check` raises.
    """
    first = next(prompts, None)
    if first is None or (question := teacher.question(first)) is None:
        return []
    price_of(teacher, question, ctx.config)
    found = Estimate().of(teacher, ctx.config, itertools.chain([first], prompts), ctx.shelf(SHELF))
    warnings: Sequence[str] = ()
    if found.held < found.prompts:
        warnings = teacher.check(timedelta(seconds=found.seconds(ctx.config)))
    return [found.said(teacher, ctx.config, question), *warnings]


def foresee(config: TeacherGenerationConfig, program: Any, store: Callable[[], Store]) -> list[str]:
    """What a configuration will come to, as far as its prompts are there to be read. Asks no service but the store.

    Raises ConfigError where there is a budget and no price, or a price is missing.
    """
    if program.root not in ("pipeline", "teacher_generation") or config.teacher.kind == "offline":
        return []
    if getattr(program.sections.get("pipeline"), "skip_teacher", False) and program.root == "pipeline":
        return []
    teacher = unconnected(config.teacher)
    question = teacher.question("Write a function.")
    if question is None:
        return []
    price_of(teacher, question, config)
    path = Path(config.prompts) if config.prompts else None
    if config.test or path is None or not path.is_file():
        return [_unread(config, teacher, question)]
    said = []
    try:
        shelf: Shelf | None = store().shelf(SHELF)
        with path.open("rb") as file:
            asked = _asked(file, str(path), teacher)
            found = Estimate().of(teacher, config, itertools.islice(asked, config.limit), shelf)
    except (PipelineError, TextError, OSError) as error:
        return [f"{path} cannot be asked: {error}"]
    except StoreError as error:
        said = [f"The ledger cannot be read: {error.message}"]
        with path.open("rb") as file:
            asked = _asked(file, str(path), teacher)
            found = Estimate().of(teacher, config, itertools.islice(asked, config.limit), None)
    return [found.said(teacher, config, question), *said]


def _asked(file: BinaryIO, where: str, teacher: Teacher) -> Iterator[str]:
    return (prompt for _, prompt in fitting(each(lines(file, where), where), teacher, where))


def _unread(config: TeacherGenerationConfig, teacher: Teacher, question: Any) -> str:
    """Where the prompts are made by the run itself: what a thousand of them come to."""
    found = price_of(teacher, question, config)
    thousand = (
        ""
        if found is None
        else f": about ${1000 * found.of(input_estimate(question), ANSWER_TOKENS):.2f} for each thousand"
    )
    limit = f" The budget is ${config.max_cost_usd:.2f}." if config.max_cost_usd is not None else ""
    return f"{teacher.name} is asked for what the run prepares{thousand}, by the prices of {DATED}.{limit}"
