"""Every error has a number of its own: it may be searched for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from fsm import errors
from fsm.errors import FsmError


def kinds(of: type[FsmError] = FsmError) -> Iterator[type[FsmError]]:
    for kind in of.__subclasses__():
        yield kind
        yield from kinds(kind)


def test_no_two_errors_share_a_number() -> None:
    own = [k for k in kinds() if k.__module__ == errors.__name__ and "code" in vars(k)]
    assert len(own) > 10
    assert [code for code, n in Counter(k.code for k in own).items() if n > 1] == []
