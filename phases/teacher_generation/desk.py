"""Where a run asks its teacher, and on which terms: each call waits for money, room and rate, and says what it came to."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from fsm.engine import Context
from fsm.errors import StoreError
from phases.errors import BudgetReached
from phases.sagemaker_job.environment import launched_by
from phases.teacher_generation.asking import Call, Stopping
from phases.teacher_generation.checking import Checker
from phases.teacher_generation.config import AskingConfig
from phases.teacher_generation.ledger import SHELF, Ledger, Paid
from phases.teacher_generation.pace import Pace, Turn
from phases.teacher_generation.policy import Everybodys, judged, maybe_paid, retry_after
from phases.teacher_generation.prices import (
    FREE,
    Price,
    bound,
    input_estimate,
    output_bound,
    price,
    require,
    usage,
)
from phases.teacher_generation.purse import Hold, Purse
from phases.teacher_generation.tally import Tally
from phases.teacher_generation.teacher import Response, Teacher, is_response

FIT_AFTER = 32  # answers from which the run knows how long they are
FIT_ROOM = 1.5  # of the longest answer so far
FIT_STEP = 256  # tokens, rounded up


@dataclass
class Fit:
    """How long answers are in this run, for whoever may reserve less than the configuration's max_tokens."""

    longest: int = 0
    seen: int = 0

    def learn(self, tokens: int) -> None:
        self.longest, self.seen = max(self.longest, tokens), self.seen + 1

    def tokens(self, most: int) -> int:
        """What to reserve where `most` may be."""
        if self.seen < FIT_AFTER:
            return most
        return min(most, -(-int(self.longest * FIT_ROOM) // FIT_STEP) * FIT_STEP)


@dataclass(eq=False)
class Desk:
    """Where one run asks its teacher, as long as this process drives it: the ledger, what its calls have shown so far of
    the teacher, how fast it takes them, and what they cost. Leaving it awaits what is under way."""

    ledger: Ledger
    everybodys: Everybodys
    run: str = ""
    checker: Checker = field(default_factory=lambda: Checker("none"))
    pace: Pace | None = None
    purse: Purse | None = None
    tally: Tally = field(default_factory=Tally)
    fit: Fit = field(default_factory=Fit)
    window: Any = None
    """What is under way (window.py)."""
    damaged: int = 0

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self.window is not None:
                self.window.close()
        finally:
            with suppress(
                StoreError
            ):  # else what was under way counts as paid, and nothing is packed: both do no harm
                if self.purse is not None:
                    self.purse.close()
                self.ledger.shelf.pack()

    def at(self, scope: str) -> Ledger:
        """The ledger of a scope alone."""
        return Ledger(self.ledger.shelf, scope) if scope else self.ledger

    def tell(self, log: Any) -> None:
        """What was found altered, to the screen alone: a record says the same of an answer wherever it is from."""
        if log is not None and (damaged := self.ledger.shelf.damaged) > self.damaged:
            where = self.ledger.shelf.url
            log.warning(
                "entries of the ledger are altered, and are asked anew", entries=damaged, ledger=where
            )
            self.damaged = damaged


def desk(ctx: Context, asking: AskingConfig, run: str) -> Desk:
    """The desk of this run in this process."""

    def make() -> Desk:
        ledger = Ledger(ctx.shelf(SHELF))
        quality = ctx.program.sections.get("quality_scoring")
        return Desk(ledger, Everybodys(asking.workers), run, Checker.of(asking, quality))

    return ctx.lasting("teacher", make)


@dataclass
class Terms:
    """On which terms a teacher is asked: what it costs, how it is counted, how many may ask at once."""

    teacher: Teacher
    asking: AskingConfig
    desk: Desk
    ending: Callable[[], bool]
    price: Price = FREE
    priced: bool = False
    burndown: float = 1.0

    @classmethod
    def of(
        cls, teacher: Teacher, question: Any, asking: AskingConfig, desk: Desk, ending: Callable[[], bool]
    ) -> Terms:
        """Raises ConfigError where there is a budget and no price."""
        takes = getattr(teacher, "takes", None)
        if desk.pace is None:
            counted = asking.tokens_per_minute is not None or bool(getattr(takes, "tokens_a_minute", False))
            desk.pace = Pace(asking.workers, counted, asking.tokens_per_minute, asking.backoff_base_s)
        terms = cls(teacher, asking, desk, ending)
        if question is not None:
            terms.burndown = teacher.takes.burndown
            found = price_of(teacher, question, asking)
            terms.price, terms.priced = found or FREE, found is not None
            if desk.purse is None:
                desk.purse = Purse(desk.ledger, desk.run, asking.max_cost_usd)
        return terms

    def send(self, call: Call) -> tuple[Response, Paid | None]:
        """Ask once, when there is money, room and rate for it. Raises what the teacher raises; BudgetReached; Stopping."""
        question = call.question
        assert self.desk.pace is not None
        if question is None or self.desk.purse is None:
            with self.desk.pace.turn(0.0, self.ending) as turn:
                return self._invoke(self.teacher, call, turn, None, Decimal(0), {})[0], None
        teacher, question = self._fitted(call.prompt, question)
        response, paid = self._paid_call(teacher, call, question)
        if teacher is not self.teacher and response.get("stopReason") == "max_tokens":
            # what fit_max_tokens cut off was paid for, and is asked in full
            self.desk.fit.longest = max(self.desk.fit.longest, output_bound(question))
            if paid is not None:
                self.desk.ledger.note(Paid(**vars(paid) | {"what": "cut"}), str(call.name))
            response, paid = self._paid_call(self.teacher, call, call.question)
        return response, paid

    def _fitted(self, prompt: str, question: Any) -> tuple[Teacher, Any]:
        """The teacher that reserves what answers need, where the configuration lets it and the teacher can."""
        most = output_bound(question)
        settings = getattr(self.teacher, "settings", None)
        if not self.asking.fit_max_tokens or (fit := self.desk.fit.tokens(most)) >= most or settings is None:
            return self.teacher, question
        shorter = settings.model_copy(update={"max_tokens": fit})
        teacher: Teacher = dataclasses.replace(self.teacher, settings=shorter)  # type: ignore[type-var]
        return teacher, teacher.question(prompt)

    def _paid_call(self, teacher: Teacher, call: Call, question: Any) -> tuple[Response, Paid | None]:
        assert self.desk.pace is not None
        assert self.desk.purse is not None
        most = bound(self.price, question)
        reserve = input_estimate(question) + output_bound(question)
        with ExitStack() as held:
            try:
                hold = held.enter_context(self.desk.purse.hold(most, self.ending))
            except BudgetReached:
                # a bound on its tokens is some three times what they are: where that alone is too much, they are counted
                count = getattr(teacher, "count", None)
                if count is None or (tokens := count(call.prompt)) is None:
                    raise
                most = min(most, self.price.bound(tokens, output_bound(question)))
                hold = held.enter_context(self.desk.purse.hold(most, self.ending))
            turn = held.enter_context(self.desk.pace.turn(reserve, self.ending))
            return self._invoke(teacher, call, turn, hold, most, question)

    def _invoke(
        self, teacher: Teacher, call: Call, turn: Turn | None, hold: Hold | None, most: Decimal, question: Any
    ) -> tuple[Response, Paid | None]:
        if turn is None or (hold is None and question):
            raise Stopping
        model = model_of(teacher, question)
        try:
            response = teacher.invoke(call.prompt)
        except Exception as error:
            found = judged(error)
            turn.throttled, turn.wait = found.cause == "throttling", retry_after(error)
            if hold is not None and maybe_paid(error, found):
                hold.paid = most
                lost = Paid(self.desk.run, model, usd=str(most) if self.priced else "", what="lost")
                self.desk.ledger.note(lost, str(call.name), str(call.attempt), str(time.time_ns()))
            raise
        counted = usage(response) if is_response(response) else None
        if counted is None:  # nothing tells what it cost, so all that it may have
            turn.used = turn.reserved
            if hold is not None:
                hold.paid = most
            return response, Paid(
                self.desk.run, model, usd=str(most) if self.priced and most else ""
            ) if question else None
        read, written, *cached = counted
        turn.used = read + self.burndown * written
        self.desk.fit.learn(written)
        dollars = self.price.of(read, written, *cached)
        if hold is not None:
            hold.paid = dollars
        return response, Paid(
            self.desk.run, model, read + sum(cached), written, str(dollars) if self.priced else ""
        )


def model_of(teacher: Teacher, question: Any) -> str:
    """The model that answers, as prices are named by."""
    return str((question or {}).get("model") or teacher.name)


def price_of(teacher: Teacher, question: Any, asking: AskingConfig) -> Price | None:
    """What its tokens cost: by the configuration, by the teacher's own word, by the table; None where nobody knows.

    Raises ConfigError where there is a budget and nobody knows.
    """
    model = model_of(teacher, question)
    own: Price | None = getattr(getattr(teacher, "takes", None), "price", None)
    found = asking.prices.get(model) or own or price(model)
    if found is None and asking.max_cost_usd is not None:
        return require(model, asking.prices, "teacher_generation.max_cost_usd")
    return found


def spends_for(ctx: Context) -> str:
    """The run whose budget it is: of a job that a run has launched, that run."""
    return launched_by(ctx.run_identity)


def note(desk: Desk, left: int) -> str:
    """How it goes, for a person: from the ledger, failed, tokens, dollars, calls a second, window, time left."""
    spent = desk.purse.spent if desk.purse is not None else Decimal(0)
    limit = desk.purse.limit if desk.purse is not None else None
    return desk.tally.note(left, spent, limit, desk.pace.said if desk.pace else "")
