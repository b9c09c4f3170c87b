"""Values from the environment: filled in where a configuration names them, and kept secret where they look like it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, SecretStr

from fsm.config.document import Steps
from fsm.config.draft import Draft
from fsm.text import unspelt

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSWORD|CREDENTIAL|API_?KEY|ACCESS_KEY", re.IGNORECASE)
SHORTEST_SECRET = 8  # shorter values would blot out ordinary words


def fill(draft: Draft) -> None:
    """Fill in the variables of all values, note where they went, and what is wrong with them."""
    draft.values = {key: _filled(value, draft, (key,)) for key, value in draft.values.items()}


def _filled(value: Any, draft: Draft, path: Steps) -> Any:
    if isinstance(value, dict):
        return {k: _filled(v, draft, (*path, k)) for k, v in value.items()}
    if isinstance(value, list):
        return [_filled(v, draft, (*path, i)) for i, v in enumerate(value)]
    if not isinstance(value, str):
        return value
    names = [match[1] for match in VARIABLE.finditer(value)]
    if names:
        draft.variables[path] = tuple(dict.fromkeys(names))

    def one(match: re.Match[str]) -> str:
        name, default = match.groups()
        found = os.environ.get(name, default)
        if found is None:
            draft.mistake(
                path,
                f"{draft.dotted(path)} names the environment variable {name}, which is not set: set it, or write "
                f"${{{name}:-default}}",
            )
            return match[0]
        if unspelt(found):  # how Python holds bytes that are not UTF-8
            draft.mistake(
                path, f"{draft.dotted(path)} names the environment variable {name}, which is not UTF-8 text"
            )
            return match[0]
        if SECRET_NAME.search(name) and len(found) >= SHORTEST_SECRET:
            draft.secrets.add(found)
        return found

    return VARIABLE.sub(one, value)


def secret_values(value: Any) -> Iterator[str]:
    """The secrets in a section: every SecretStr, however deep."""
    if isinstance(value, SecretStr):
        if len(secret := value.get_secret_value()) >= SHORTEST_SECRET:
            yield secret
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from secret_values(getattr(value, name))
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from secret_values(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from secret_values(inner)


def environment_secrets() -> frozenset[str]:
    """Values of environment variables that are named like secrets: never to be written anywhere."""
    return frozenset(v for n, v in os.environ.items() if SECRET_NAME.search(n) and len(v) >= SHORTEST_SECRET)
