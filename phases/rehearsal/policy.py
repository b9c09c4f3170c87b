"""IAM's policies, as far as a rehearsal needs them: what their statements say of an action on a resource.

(https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

ALLOWED, DENIED, UNSAID = "allowed", "explicitDeny", "implicitDeny"
"""As SimulatePrincipalPolicy calls them."""


def decision(
    policies: Iterable[Mapping[str, Any]],
    action: str,
    resource: str,
    context: Mapping[str, str] | None = None,
) -> str:
    """What the policies come to: what one denies is denied, what none allows is not allowed."""
    effects = {
        statement["Effect"]
        for policy in policies
        for statement in statements(policy)
        if _about(statement, action, resource, context or {})
    }
    return DENIED if "Deny" in effects else ALLOWED if "Allow" in effects else UNSAID


def statements(policy: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    said = policy["Statement"]
    return said if isinstance(said, list) else [said]


def several(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _about(statement: Mapping[str, Any], action: str, resource: str, context: Mapping[str, str]) -> bool:
    return (
        any(_like(pattern.lower(), action.lower()) for pattern in several(statement["Action"]))
        and any(_like(pattern, resource) for pattern in several(statement["Resource"]))
        and all(_holds(*condition, context) for condition in _conditions(statement))
    )


def _conditions(statement: Mapping[str, Any]) -> Iterator[tuple[str, str, list[str]]]:
    for operator, keys in statement.get("Condition", {}).items():
        for key, values in keys.items():
            yield operator, key, several(values)


def _holds(operator: str, key: str, values: list[str], context: Mapping[str, str]) -> bool:
    """A key that does not come with the request meets no condition."""
    if operator not in ("StringEquals", "StringLike"):
        raise NotImplementedError(f"the condition {operator} is not rehearsed")
    said = context.get(key)
    if said is None:
        return False
    return any(said == v if operator == "StringEquals" else _like(v, said) for v in values)


def _like(pattern: str, word: str) -> bool:
    return (
        re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), word, re.DOTALL) is not None
    )
