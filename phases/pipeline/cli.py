"""`fsm check --aws`: the checks of Validation, all of them, of a configuration that nothing runs of yet."""

from __future__ import annotations

import json

from fsm.config import Config
from fsm.speech import out


def aws(config: Config, as_json: bool) -> int:
    """ask AWS, and whatever else the run will need, before it is begun"""
    from phases.pipeline.validation import Needs, look, summary, table

    found = list(look(Needs.of_config(config)))
    if as_json:
        for check, one in found:
            out(json.dumps({"check": check, **one.as_json()}, ensure_ascii=False))
    else:
        out(config.redact(table(found)))
        out(f"{config.file}: {summary(found)}")
    return 2 if any(one.bad for _, one in found) else 0
