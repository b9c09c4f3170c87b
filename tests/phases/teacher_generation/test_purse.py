"""A budget: reserved before a call is sent, never gone over, whatever becomes of the calls and of the process."""

from __future__ import annotations

import threading
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsm.errors import ConfigError
from fsm.store.local_shelf import LocalShelf
from phases.errors import BudgetReached
from phases.teacher_generation.ledger import Entry, Ledger, Paid
from phases.teacher_generation.prices import Price, bound, input_bound, price, require, usage
from phases.teacher_generation.purse import Purse


def never() -> bool:
    return False


def cents(number: float) -> Decimal:
    return Decimal(str(number)) / 100


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 100), st.booleans()), max_size=40),
    st.integers(1, 400),
    st.integers(1, 4),
)
def test_calls_never_come_to_more_than_the_limit(
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[int, int, bool]], limit: int, threads: int
) -> None:
    """From several threads, each call paying some share of what it reserved, or all, or none."""
    purse = Purse(Ledger(LocalShelf(tmp_path_factory.mktemp("ledger"))), "run/0", limit / 100)
    waiting = list(calls)
    over: list[Decimal] = []

    def work() -> None:
        while True:
            try:
                most, share, failed = waiting.pop()
            except IndexError:
                return
            try:
                with purse.hold(cents(most), never) as hold:
                    assert hold is not None
                    hold.paid = Decimal(0) if failed else cents(most) * share / 100
            except BudgetReached:
                continue
            if purse.spent > cents(limit):
                over.append(purse.spent)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not over
    assert purse.spent <= cents(limit)


def test_what_would_fit_if_calls_under_way_cost_less_waits_for_them(tmp_path: Path) -> None:
    purse = Purse(Ledger(LocalShelf(tmp_path)), "run/0", 0.10)
    got = threading.Event()

    def second() -> None:
        with purse.hold(cents(6), never):
            got.set()

    thread = threading.Thread(target=second)
    with purse.hold(cents(6), never) as hold:
        assert hold is not None
        thread.start()
        assert not got.wait(0.2)
        hold.paid = cents(1)
    assert got.wait(5)
    thread.join()


def test_what_does_not_fit_stops_the_run_and_says_what_is_left(tmp_path: Path) -> None:
    purse = Purse(Ledger(LocalShelf(tmp_path)), "run/0", 0.10)
    with purse.hold(cents(6), never) as hold:
        assert hold is not None
        hold.paid = cents(6)
    with pytest.raises(
        BudgetReached, match=r"run run is reached: \$0\.0600 .*\$0\.0400 are left.*same command again"
    ):
        purse._reserve(cents(5), never)


def test_a_process_that_was_killed_has_spent_all_that_it_had_under_way(tmp_path: Path) -> None:
    ledger = Ledger(LocalShelf(tmp_path))
    killed = Purse(ledger, "run/0", 1.0)
    hold = killed._reserve(cents(3), never)  # it was sent, and then the process was gone
    assert hold is not None
    after = Purse(ledger, "run/0", 1.0)
    assert cents(3) <= after.spent <= cents(30)
    assert Purse(ledger, "other/0", 1.0).spent == 0


def test_a_process_that_ends_in_good_order_takes_off_what_it_had_under_way(tmp_path: Path) -> None:
    ledger = Ledger(LocalShelf(tmp_path))
    purse = Purse(ledger, "run/0", 1.0)
    with purse.hold(cents(3), never) as hold:
        assert hold is not None
        hold.paid = cents(2)
    ledger.keep("a" * 64, Entry({"usage": {}}, paid=Paid("run/0", "m", usd="0.02")))
    purse.close()
    assert Purse(ledger, "run/0", 1.0).spent == cents(2)


# Prices


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ("global.anthropic.claude-sonnet-4-5-20250929-v1:0", (3.0, 15.0)),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", (3.3, 16.5)),
        ("anthropic.claude-3-haiku-20240307-v1:0", (0.25, 1.25)),
        ("us.anthropic.claude-opus-4-1-20250805-v1:0", (15.0, 75.0)),
    ],
)
def test_a_models_price_is_by_its_family_and_its_profile(model: str, found: tuple[float, float]) -> None:
    cost = price(model)
    assert cost is not None
    assert (cost.input, cost.output) == pytest.approx(found)


def test_the_configurations_price_goes_first_and_an_unknown_one_has_to_be_named() -> None:
    named = {"mine": Price(input=1, output=2), "claude-3-haiku": Price(input=9, output=9)}
    assert price("claude-3-haiku", named) == named["claude-3-haiku"]
    assert price("mine") is None
    with pytest.raises(
        ConfigError, match=r"mine costs is not known, and a budget needs it.*teacher_generation\.prices"
    ):
        require("mine", {}, "a budget")


@given(st.text(max_size=200), st.text(max_size=200))
def test_a_bound_is_never_below_what_a_tokenizer_can_make_of_a_text(system: str, prompt: str) -> None:
    question = {
        "model": "m",
        "system": [{"text": system}],
        "messages": [{"role": "user", "content": [{"text": prompt}]}],
        "inferenceConfig": {"maxTokens": 10},
    }
    size = len((system + prompt).encode("utf-8", "surrogatepass"))
    assert input_bound(question) >= size
    cost = Price(input=3, output=15)
    assert bound(cost, question) >= cost.of(size, 10)
    assert bound(cost, question) >= cost.of(0, 10, written=size)


def test_tokens_of_a_cache_have_prices_of_their_own() -> None:
    assert Price(input=10, output=0).of(0, 0, read=1_000_000) == 1
    assert Price(input=10, output=0).of(0, 0, written=1_000_000) == Decimal("12.5")
    assert usage({"usage": {"inputTokens": 1, "outputTokens": 2, "cacheReadInputTokens": 3}}) == (1, 2, 3, 0)
    assert usage({"usage": {"inputTokens": -1}}) is None
    assert usage({"usage": {}}) is None
