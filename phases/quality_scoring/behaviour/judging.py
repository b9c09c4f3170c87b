"""From two texts to what the code in one does beside the code in the other; or from one text to what it does alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache

import structlog

from fsm.errors import ConfigError
from phases.quality_scoring import extract
from phases.quality_scoring.asked import named
from phases.quality_scoring.behaviour.compare import Behaviour, NotComparable, call_of, compare, identity
from phases.quality_scoring.behaviour.compile import Program, Refusal, compiled, find_toolchain
from phases.quality_scoring.behaviour.declarations import Declarations
from phases.quality_scoring.behaviour.inputs import Maker
from phases.quality_scoring.behaviour.run import Unrunnable
from phases.quality_scoring.config import BehaviourConfig
from phases.quality_scoring.heaps import Unreadable
from phases.quality_scoring.structure import Structure

NEXT = "pip install 'fsm-pipelines[behaviour]' (a compiler, 400 MB)"
_KEPT = 4096


class SandboxMissing(ConfigError):
    """The configuration has something decided by what code does, and there is nothing to run it in."""


def available(config: BehaviourConfig) -> bool:
    """Whether there is a sandbox to run code in, and it is to be used."""
    return config.use == "wasm" and find_toolchain() is not None


def require(config: BehaviourConfig, why: str) -> None:
    """Raises SandboxMissing where there is no sandbox, and `why` it is needed."""
    if not available(config):
        off = (
            "quality_scoring.behaviour.use is none" if config.use == "none" else "the extra is not installed"
        )
        raise SandboxMissing(f"{why}, and nothing can run code here: {off}. Next: {NEXT}, or do without.")


@lru_cache(maxsize=1)
def say_missing() -> None:
    """Say once that nothing is measured."""
    structlog.get_logger().warning("no sandbox to run code in; behaviour is not measured", next=NEXT)


def asked_function(code: str, prompt: str, like: str = "") -> str | None:
    """The function of a text that is the answer: the one of that name (`like`), the one the prompt names, the only one
    that no other calls; None where that tells nothing.
    """
    try:
        structure = Structure(code)
    except Unreadable:
        return None
    defined = [f.name for f in structure.functions]
    asked = named(prompt)
    for wanted in ([like] if like else [], sorted(asked)):
        if found := [name for name in defined if name in wanted]:
            return found[0]
    if asked or not defined:
        return None
    called = {name for _, name in structure.called}
    roots = [name for name in dict.fromkeys(defined) if name not in called and name != "main"]
    return roots[0] if len(roots) == 1 else (defined[-1] if not like else None)


def programs(
    answer: str, reference: str, prompt: str, config: BehaviourConfig, *, stand_ins: bool = True
) -> tuple[Program | Refusal, Program | Refusal]:
    """(the answer's program, the reference's): of the function that the prompt asks for, from code as `extract` leaves it.

    `stand_ins`: what the reference calls and is nowhere is stood in for, on both sides. Not where the reference is itself in
    doubt, or a function that somebody made up would be as good as one that is there.
    """
    name = asked_function(reference, prompt)
    if name is None:
        refusal = Refusal("the reference defines no function that is asked for", fault=False)
        return refusal, refusal
    ours = compiled(reference, name, config, standing=None if stand_ins else ())
    theirs = asked_function(answer, prompt, name)
    if theirs is None:
        return Refusal(f"it does not define `{name}`", fault=True), ours
    standing = ours.standing if isinstance(ours, Program) else ()
    found = compiled(answer, theirs, config, standing=standing)
    lacks = found.fault if isinstance(found, Refusal) else bool(set(found.lacking) & set(standing))
    if lacks:  # what the prompt gives need not stand in the answer again
        lent = _lent(reference, answer, standing)
        found = compiled(answer, theirs, config, lent=lent, standing=standing)
    return found, ours


def beside(
    answer: str, reference: str, prompt: str, config: BehaviourConfig, *, stand_ins: bool = True
) -> Behaviour:
    """What the code of an answer does, beside that of a reference; both as texts, with words around the code or not.

    `stand_ins` as for `programs`: not where the reference is in doubt itself. Raises SandboxMissing.
    """
    require(config, "Two answers are to be compared by what they do")
    return _beside(extract.code(answer, prompt), extract.code(reference, prompt), prompt, config, stand_ins)


@lru_cache(maxsize=_KEPT)
def _beside(
    answer: str, reference: str, prompt: str, config: BehaviourConfig, stand_ins: bool = True
) -> Behaviour:
    theirs, ours = programs(answer, reference, prompt, config, stand_ins=stand_ins)
    if isinstance(ours, Refusal):
        return Behaviour(None, f"not comparable: the reference: {ours.why}")
    if isinstance(theirs, Refusal):
        return refused(theirs, config)
    return judged(theirs, ours, config)


def forget() -> None:
    """Let go of all that is kept from one text to the next: for whoever measures."""
    for kept in (compiled, _beside, judged):
        kept.cache_clear()


def refused(refusal: Refusal, config: BehaviourConfig) -> Behaviour:
    """Of an answer that is no program: wrong where that is its fault, else not comparable."""
    if refusal.fault:
        return Behaviour(config.trap, refusal.why)
    return Behaviour(None, f"not comparable: {refusal.why}")


@lru_cache(maxsize=_KEPT)
def judged(answer: Program, reference: Program, config: BehaviourConfig) -> Behaviour:
    """What comes of calling both; kept by both programs."""
    try:
        return compare(answer, reference, config)
    except (NotComparable, Unrunnable) as e:
        return Behaviour(None, f"not comparable: {e}")


def alone(program: Program, config: BehaviourConfig) -> Behaviour:
    """What shows without a reference: the first input, of those that nobody would call wrong, that it does not bear.

    Without null pointers, and lengths as they are: what is left is what the function does to itself.
    """
    try:
        side, parameters = identity(program, config)
    except (NotComparable, Unrunnable) as e:
        return Behaviour(None, f"not run: {e}")
    maker = Maker(random.Random(f"behaviour {config.seed}"), program.hints, null=0.0)
    findings: dict[str, str] = {}
    inputs = 0
    for n in range(config.inputs):
        if n % config.calls == 0:
            side.anew()
        values = maker.call(parameters)
        inputs += 1
        got = side.call(values, n, {})
        if got.failure:
            findings.setdefault(got.failure, f"{got.failure}, on {call_of(program.signature.name, values)}")
    told = tuple((None, note) for note in findings.values())
    return Behaviour(None, "no reference to compare with", inputs, findings=told)


def consensus(answers: Sequence[str], prompt: str, config: BehaviourConfig) -> list[float | None]:
    """How far each of several answers to one prompt behaves as the others do, in [0, 10]; None where none compares.

    The mean over the others, each of them taken as the reference: of several samples the one to keep. Raises
    SandboxMissing.
    """
    require(config, "Of several answers the one that most agree with is to be kept")
    codes = [extract.code(a, prompt) for a in answers]
    found: list[float | None] = []
    for i, code in enumerate(codes):
        scores = [
            score
            for j, other in enumerate(codes)
            if j != i and (score := _beside(code, other, prompt, config, False).score) is not None
        ]
        found.append(round(sum(scores) / len(scores), 4) if scores else None)
    return found


def _lent(reference: str, answer: str, standing: Sequence[str]) -> str:
    """Of the reference the types and macros, and the functions that are stood in for, that the answer does not have itself."""
    own, others = Declarations(answer), Declarations(reference)
    types = [text for text, names in others.types() if not names & own.type_names()]
    wanted = [name for name in standing if name not in own.functions and name not in own.prototypes]
    return "\n".join([*types, *others.signatures(wanted)])


__all__ = [
    "Behaviour",
    "SandboxMissing",
    "alone",
    "asked_function",
    "available",
    "beside",
    "consensus",
    "judged",
    "programs",
    "refused",
    "require",
    "say_missing",
]
