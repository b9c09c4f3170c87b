"""What is asked for a function: what its comment says of it; without one, its signature and what its code tells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from phases.data_preparation.comments import words
from phases.data_preparation.declarators import Language
from phases.data_preparation.functions import Function

PromptFrom = Literal["comment", "code", "name"]
"""What a prompt is made of; `name` is one that says nothing else."""

TEMPLATES = (
    "Write a {language} function `{name}` for {domain}: {summary}",
    "Implement `{name}` in {language} for {domain}. Purpose: {summary}",
    "{domain}: write the {language} function `{signature}`. {summary}",
    "In {language}, write `{name}` ({domain}). {summary}",
)
"""The four variants of SelectTemplate, of a function that its comment describes."""
BARE = (
    "Write the {language} function `{signature}`{scope} for {domain}. {facts}",
    "Implement `{signature}`{scope} in {language} for {domain}. {facts}",
    "{domain}: write the {language} function `{signature}`{scope}. {facts}",
    "In {language}, write `{signature}`{scope} ({domain}). {facts}",
)
"""The same four, of a function without a comment that says what it does."""
COMPLETION = "Complete this {language} source for {domain}:\n```{fence}\n{head}```"

_MOST = 8  # names in a list: more are no description


def prompt(function: Function, template: int, domain: str, language: Language) -> tuple[str, PromptFrom]:
    """(the prompt by a template's number, what it is made of)."""
    if function.told:
        asked = TEMPLATES[template].format(
            language=language,
            domain=domain,
            name=function.name,
            signature=function.signature,
            summary=function.doc.summary,
        )
        return asked + _details(function), "comment"
    facts = _facts(function)
    scope = function.name.rpartition("::")[0]
    asked = BARE[template].format(
        language=language,
        domain=domain,
        signature=function.signature,
        scope=f" of `{scope}`" if scope and scope not in function.signature else "",
        facts=facts or f"Do what its name says: {' '.join(words(function.name))}.",
    )
    details = _details(function)
    return asked + details, "comment" if details else "code" if facts else "name"


def _details(function: Function) -> str:
    """What the comment says of parameters and of the value returned, a line each."""
    lines = [f"- `{name}`: {said}" for name, said in function.doc.parameters]
    if lines:
        lines.insert(0, "Parameters:")
    if function.doc.returns:
        lines.append(f"Returns: {function.doc.returns}")
    return "".join(f"\n{line}" for line in lines)


def _facts(function: Function) -> str:
    """What the code says of a function, in one or two sentences; empty where it has neither parameters nor calls nor names."""
    takes = f"takes {listed(function.parameters)}" if function.parameters else ""
    calls = f"calls {listed(function.callees)}" if function.callees else ""
    uses = f"uses {listed(function.uses)}" if function.uses and not calls else ""
    said = [part for part in (takes, calls, uses) if part]
    return f"It {' and '.join(said)}." if said else ""


def listed(names: Sequence[str]) -> str:
    """Names as a sentence has them: `a`, `b` and `c`; the first of many."""
    shown = [f"`{name}`" for name in names[:_MOST]]
    if len(names) > _MOST:
        shown.append(f"{len(names) - _MOST} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
