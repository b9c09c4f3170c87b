"""The states of Diagram 6. Each looks at the item, gives or takes points, and names the edge to take."""

from __future__ import annotations

import re
from functools import lru_cache

import structlog

from fsm.engine import Phase
from phases.quality_scoring import extract
from phases.quality_scoring.asked import named
from phases.quality_scoring.brought import scorer
from phases.quality_scoring.compiler import Compiler, find_compiler
from phases.quality_scoring.config import QualityScoringConfig, SyntaxConfig
from phases.quality_scoring.diagnosis import Fault, diagnose
from phases.quality_scoring.keywords import detect_domain, matches
from phases.quality_scoring.scoring import Scoring

PHASE = Phase("quality_scoring", config=QualityScoringConfig)

_MOST_SHOWN = 20  # reasons of one rule; the others are one

# ExtractCode


@PHASE.state("ExtractCode.CheckMarkdown")
def check_markdown(item: Scoring) -> str:
    """Whether something in the answer sets the code apart: a fence, a tag, an escape, a patch."""
    if len(item.text) > item.config.max_chars:
        item.refuse(f"{len(item.text)} characters are more than {item.config.max_chars}")
        item.text = ""
    item.text = extract.clean(item.text)
    return "Has ``` blocks" if extract.is_marked(item.text) else "No markdown"


@PHASE.state("ExtractCode.ParseCodeBlocks")
def parse_code_blocks(item: Scoring) -> None:
    """What is set apart is the code."""
    item.take(extract.joined(extract.marked_code(item.text, item.prompt)))


@PHASE.state("ExtractCode.UseRawText")
def use_raw_text(item: Scoring) -> None:
    """All of the text is the code, but for words around it."""
    text = extract.at_margin(item.text)
    item.take(extract.joined(text))
    if item.structure.faults and (code := extract.searched(text)) != text:
        item.take(extract.joined(code))


# SyntaxCheck


@PHASE.state("SyntaxCheck.TryGCC")
def try_gcc(item: Scoring) -> str:
    """Whether there is a compiler to ask, and code to ask it about that is an answer to the prompt."""
    if not item.structure.substance:
        return "Nothing to compile"
    if item.astray:
        return "Answers another question"
    return "GCC available" if compiler_of(item.config.syntax) else "GCC not found"


def compiler_of(config: SyntaxConfig) -> Compiler | None:
    """The compiler to ask; None where there is none, which is said once, or none is to be asked."""
    if config.use == "heuristic":
        return None
    compiler = find_compiler(config.compiler)
    if compiler is None:
        _say_once(config.compiler)
    return compiler


@lru_cache(maxsize=8)
def _say_once(command: str) -> None:
    structlog.get_logger().warning(
        "no GCC; syntax is scored by the heuristic",
        compiler=command,
        next="install gcc, or name it in quality_scoring.syntax.compiler",
    )


@PHASE.state("SyntaxCheck.GCCCompile")
def gcc_compile(item: Scoring) -> str:
    """Have GCC read the code; what it found is scored by the state that the edge leads to."""
    config = item.config.syntax
    compiler = compiler_of(config)
    assert compiler is not None
    item.diagnosis = found = diagnose(item.code, item.structure, compiler, config)
    if found.failure or found.grammar >= config.critical_errors:
        return "Multiple critical errors"
    if found.errors:
        return "Errors present"
    return "Warnings only" if found.warnings else "Clean compile"


@PHASE.state("SyntaxCheck.Score10")
def score_10(item: Scoring) -> None:
    """Clean."""
    item.give("SyntaxCheck.Score10", item.config.syntax.clean, "clean compile")


@PHASE.state("SyntaxCheck.Score7to9")
def score_7_to_9(item: Scoring) -> None:
    """Warnings: 9 for one, less for each more, 7 at least."""
    config = item.config.syntax
    faults = item.diagnosis.warnings
    _descend(
        item, "SyntaxCheck.Score7to9", faults, config.one_warning, config.many_warnings, config.each_more
    )


@PHASE.state("SyntaxCheck.Score5to6")
def score_5_to_6(item: Scoring) -> None:
    """Errors: 6 for one, less for each more, 5 at least."""
    config = item.config.syntax
    _descend(
        item,
        "SyntaxCheck.Score5to6",
        item.diagnosis.errors,
        config.one_error,
        config.many_errors,
        config.each_more,
    )


def _descend(
    item: Scoring, rule: str, faults: tuple[Fault, ...], first: float, least: float, each: float
) -> None:
    now = first
    item.give(rule, first, faults[0].note, faults[0].line)
    for fault in faults[1:_MOST_SHOWN]:
        step = max(each, least - now)
        now += step
        item.give(rule, step, fault.note, fault.line)
    if more := faults[_MOST_SHOWN:]:
        item.give(rule, max(each * len(more), least - now), f"and {len(more)} more", more[0].line)


@PHASE.state("SyntaxCheck.Score0")
def score_0(item: Scoring) -> None:
    """Not C, nothing of it, or no answer."""
    rule, points, found = "SyntaxCheck.Score0", item.config.syntax.critical, item.diagnosis
    if found.failure:
        item.give(rule, points, f"the compiler could not read it: {found.failure}")
    elif not item.structure.substance:
        item.give(rule, points, "nothing to compile: no code, or only functions that do nothing")
    elif item.astray:
        item.give(rule, points, f"another question's answer: nothing is named {_either(item.prompt)}")
    else:
        item.give(rule, points, f"{found.grammar} errors of grammar")
        for fault in found.errors[:_MOST_SHOWN]:
            item.give(rule, 0.0, fault.note, fault.line)


def _either(prompt: str) -> str:
    return " or ".join(f"`{name}`" for name in sorted(named(prompt)))


@PHASE.state("SyntaxCheck.HeuristicCheck")
def heuristic_check(item: Scoring) -> None:
    """Without a compiler."""
    item.give("SyntaxCheck.HeuristicCheck", item.config.syntax.heuristic, "no compiler: heuristic")


@PHASE.state("SyntaxCheck.CheckBraces")
def check_braces(item: Scoring) -> None:
    """Whether { and } match."""
    if open_ones := _unmatched(item.structure.bare, b"{", b"}"):
        item.give(
            "SyntaxCheck.CheckBraces", item.config.syntax.braces, f"{open_ones} without its other brace"
        )


@PHASE.state("SyntaxCheck.CheckParens")
def check_parens(item: Scoring) -> None:
    """Whether ( and ) match."""
    if open_ones := _unmatched(item.structure.bare, b"(", b")"):
        item.give(
            "SyntaxCheck.CheckParens", item.config.syntax.parens, f"{open_ones} without its other parenthesis"
        )


def _unmatched(code: bytes, opening: bytes, closing: bytes) -> int:
    depth = unmatched = 0
    for mark in re.findall(b"[" + re.escape(opening) + re.escape(closing) + b"]", code):
        if mark == opening:
            depth += 1
        elif depth:
            depth -= 1
        else:
            unmatched += 1
    return depth + unmatched


@PHASE.state("SyntaxCheck.CheckSemicolons")
def check_semicolons(item: Scoring) -> None:
    """Statements that do not end, or could not be read as any."""
    config = item.config.syntax
    left = config.semicolons
    for fault in item.structure.faults:
        if left < 0 and fault.text in (";", "error"):
            step = max(config.semicolon, left)
            left -= step
            note = "a semicolon is missing" if fault.text == ";" else "no statement of C"
            item.give("SyntaxCheck.CheckSemicolons", step, note, fault.line)
    item.clamp("SyntaxCheck.CheckSemicolons")


# ProtocolCheck


@PHASE.state("ProtocolCheck.DetectDomain")
def detect(item: Scoring) -> str:
    """The domain of the prompt."""
    found = detect_domain(item.prompt, item.config.protocol.domains)
    item.domain = found or "unknown"
    return f"{found} prompt" if found else "Unknown domain"


@PHASE.state("ProtocolCheck.CheckTSNKeywords", "ProtocolCheck.CheckAVBKeywords")
def check_keywords(item: Scoring) -> None:
    """The domain's keywords in the names of the code: comments and strings say nothing."""
    item.keywords = item.config.protocol.domains[item.domain].keywords
    answers = item.structure.substance and not item.astray
    item.found = matches(item.keywords, item.structure.names) if answers else ()


@PHASE.state("ProtocolCheck.CountMatches")
def count_matches(item: Scoring) -> str:
    """Three or more are the full score."""
    enough = item.config.protocol.enough
    found = ", ".join(item.found) or "none"
    item.give(
        "ProtocolCheck.CountMatches",
        item.config.protocol.full,
        f"{item.domain} keywords in the code: {found}",
    )
    return "< 3 keywords found" if len(item.found) < enough else ">= 3 keywords found"


@PHASE.state("ProtocolCheck.ApplyPenalties")
def apply_penalties(item: Scoring) -> None:
    """For each keyword short of three."""
    config = item.config.protocol
    short = config.enough - len(item.found)
    item.give(
        "ProtocolCheck.ApplyPenalties", config.missing * short, f"{short} short of {config.enough} keywords"
    )
    item.clamp("ProtocolCheck.ApplyPenalties")


@PHASE.state("ProtocolCheck.GenericScore")
def generic_score(item: Scoring) -> None:
    """A prompt of no known domain."""
    item.give("ProtocolCheck.GenericScore", item.config.protocol.unknown, "the prompt names no known domain")


# SafetyCheck


@PHASE.state("SafetyCheck.CheckViolations")
def check_violations(item: Scoring) -> None:
    """Where safety starts; the four checks all follow."""
    item.give("SafetyCheck.CheckViolations", item.config.safety.base, "base")


@PHASE.state("SafetyCheck.GotoCheck")
def goto_check(item: Scoring) -> None:
    """goto, however often (MISRA C:2012 15.1)."""
    if gotos := item.structure.gotos:
        note = "goto" if len(gotos) == 1 else f"goto, {len(gotos)} times"
        item.give("SafetyCheck.GotoCheck", item.config.safety.goto, note, gotos[0].line)


@PHASE.state("SafetyCheck.MallocCheck")
def malloc_check(item: Scoring) -> None:
    """Each allocation on the heap (MISRA C:2012 21.3)."""
    rule, each = "SafetyCheck.MallocCheck", item.config.safety.malloc
    calls = item.structure.calls(frozenset(item.config.safety.malloc_functions))
    for call in calls[:_MOST_SHOWN]:
        item.give(rule, each, call.text, call.line)
    if more := calls[_MOST_SHOWN:]:
        item.give(rule, each * len(more), f"and {len(more)} more", more[0].line)


@PHASE.state("SafetyCheck.SetjmpCheck")
def setjmp_check(item: Scoring) -> None:
    """setjmp and longjmp, however often (MISRA C:2012 21.4)."""
    if calls := item.structure.calls(frozenset(item.config.safety.setjmp_functions)):
        item.give("SafetyCheck.SetjmpCheck", item.config.safety.setjmp, calls[0].text, calls[0].line)


@PHASE.state("SafetyCheck.AbortCheck")
def abort_check(item: Scoring) -> None:
    """abort and exit, however often (MISRA C:2012 21.8)."""
    if calls := item.structure.calls(frozenset(item.config.safety.abort_functions)):
        item.give("SafetyCheck.AbortCheck", item.config.safety.abort, calls[0].text, calls[0].line)


@PHASE.state("SafetyCheck.CheckGoodPractices")
def check_good_practices(item: Scoring) -> None:
    """The violations are counted; what is good follows."""


@PHASE.state("SafetyCheck.FixedWidthTypes")
def fixed_width_types(item: Scoring) -> None:
    """Each fixed-width type that is used (MISRA C:2012 D4.6)."""
    seen: set[str] = set()
    for name in sorted(item.structure.types):
        width = _FIXED_WIDTH.get(name)
        if width is not None and width not in seen:
            seen.add(width)
            item.give(
                "SafetyCheck.FixedWidthTypes",
                item.config.safety.fixed_width,
                name,
                item.structure.type_line(name),
            )


_FIXED_WIDTH = {
    name: f"{sign}{bits}"
    for bits in (8, 16, 32, 64)
    for sign, spellings in (("u", ("uint{}_t", "u{}", "__u{}")), ("s", ("int{}_t", "s{}", "__s{}")))
    for name in (s.format(bits) for s in spellings)
}  # the kernel's own names are the same types


@PHASE.state("SafetyCheck.StaticConst")
def static_const(item: Scoring) -> None:
    """static and const, each once."""
    for word in ("static", "const"):
        if found := item.structure.qualifier(word):
            item.give("SafetyCheck.StaticConst", item.config.safety.static_const, word, found.line)


@PHASE.state("SafetyCheck.Volatile")
def volatile(item: Scoring) -> None:
    """volatile, once."""
    if found := item.structure.qualifier("volatile"):
        item.give("SafetyCheck.Volatile", item.config.safety.volatile, "volatile", found.line)


@PHASE.state("SafetyCheck.CheckRecursion")
def check_recursion(item: Scoring) -> None:
    """A function that can come to call itself (MISRA C:2012 17.2)."""
    if found := item.structure.recursive:
        note = ", ".join(f.name for f in found)
        item.give("SafetyCheck.CheckRecursion", item.config.safety.recursion, note, found[0].line)


@PHASE.state("SafetyCheck.CheckInfiniteLoops")
def check_infinite_loops(item: Scoring) -> None:
    """while(1) without a way out."""
    if found := item.structure.endless_loops:
        note = "no break or return in it"
        item.give("SafetyCheck.CheckInfiniteLoops", item.config.safety.infinite_loop, note, found[0].line)
    item.clamp("SafetyCheck.CheckInfiniteLoops")


# StyleCheck


@PHASE.state("StyleCheck.CountComments")
def count_comments(item: Scoring) -> str:
    """How many comments say something."""
    n = len(item.structure.comments)
    if n >= item.config.style.many:
        return "5+ comments"
    return "2-5 comments" if n else "0 comments"


@PHASE.state("StyleCheck.Score8")
def style_8(item: Scoring) -> None:
    """Many comments."""
    item.give(
        "StyleCheck.Score8", item.config.style.many_comments, f"{len(item.structure.comments)} comments"
    )


@PHASE.state("StyleCheck.Score7")
def style_7(item: Scoring) -> None:
    """Some comments."""
    n = len(item.structure.comments)
    item.give("StyleCheck.Score7", item.config.style.some_comments, f"{n} comment{'s' * (n > 1)}")


@PHASE.state("StyleCheck.Score5")
def style_5(item: Scoring) -> None:
    """No comment."""
    item.give("StyleCheck.Score5", item.config.style.no_comments, "no comment")


@PHASE.state("StyleCheck.CheckDoxygen")
def check_doxygen(item: Scoring) -> None:
    """A Doxygen comment, and what it documents."""
    config = item.config.style
    if not (comments := item.structure.doxygen):
        return
    left = config.doxygen_most
    for found, note in ((comments[0], "Doxygen"), *((t, t.text) for t in item.structure.doxygen_tags)):
        step = min(config.doxygen, left)
        left -= step
        item.give("StyleCheck.CheckDoxygen", step, note, found.line)


@PHASE.state("StyleCheck.CheckVarNames")
def check_var_names(item: Scoring) -> None:
    """More than five variables of a single letter."""
    single = sorted(n for n in item.structure.variables if len(n) == 1 and n.isalpha())
    if len(single) > item.config.style.single_letters:
        note = ", ".join(single)
        item.give(
            "StyleCheck.CheckVarNames", item.config.style.names, note, item.structure.name_line(single[0])
        )


@PHASE.state("StyleCheck.CheckIndentation")
def check_indentation(item: Scoring) -> str:
    """Lines of code indented by tabs and others by blanks."""
    code = item.structure.bare
    tabs, blanks = _TABS.search(code), _BLANKS.search(code)
    if (tabs and blanks) or _BOTH.search(code):
        note = "some lines are indented by tabs, some by blanks"
        item.give("StyleCheck.CheckIndentation", item.config.style.indentation, note)
    if item.structure.copies:
        return "Same function again"
    item.clamp("StyleCheck.CheckIndentation")
    return "Behaviour asked for" if item.behaves else "-0.5 if mixed tabs/spaces"


_TABS = re.compile(rb"^\t+[^\s]", re.MULTILINE)
_BLANKS = re.compile(rb"^  +[^\s]", re.MULTILINE)
_BOTH = re.compile(rb"^ +\t", re.MULTILINE)


@PHASE.state("StyleCheck.CheckRepetition")
def check_repetition(item: Scoring) -> str:
    """Each copy of a function: repetition makes a text longer, not better."""
    rule, each = "StyleCheck.CheckRepetition", item.config.style.repetition
    copies = item.structure.copies
    for again, first in copies[:_MOST_SHOWN]:
        item.give(rule, each, f"{again.name} is {first.name} again", again.line)
    if more := copies[_MOST_SHOWN:]:
        item.give(rule, each * len(more), f"and {len(more)} more", more[0][0].line)
    item.clamp("StyleCheck.CheckRepetition")
    return "Behaviour asked for" if item.behaves else "-1.0 each"


# ComputeOverall


@PHASE.state("ComputeOverall.WeightedAverage")
def weighted_average(item: Scoring) -> str:
    """The weighted average of the scores, those of other packages' scorers too; where behaviour could not be compared, of the others."""
    weights = item.config.weights
    if weights.get("behaviour") and "behaviour" not in item.scores:
        rest = 1.0 - weights["behaviour"]
        weights = {name: weight / rest for name, weight in weights.items() if name != "behaviour"}
    for name in (n for n, weight in weights.items() if weight and n not in item.scores):
        if score := scorer(name):
            score(item)
            item.clamp(f"{name.capitalize()}Check")
    item.scores["overall"] = round(
        sum(weight * item.scores.get(name, 0.0) for name, weight in weights.items() if weight), 6
    )
    return "overall < 7.0" if item.scores["overall"] < item.config.acceptable else "overall >= 7.0"


@PHASE.state("ComputeOverall.NeedsCorrection")
def needs_correction(item: Scoring) -> None:
    """The teacher is to correct it."""
    item.needs_correction = True


@PHASE.state("ComputeOverall.Acceptable")
def acceptable(item: Scoring) -> None:
    """Good enough."""
    item.needs_correction = False
