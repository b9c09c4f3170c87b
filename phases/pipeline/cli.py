"""`fsm check --aws`: the checks of Validation, all of them, before there is a run."""

from __future__ import annotations

import json

from fsm.config import Config
from fsm.speech import out


def aws(config: Config, as_json: bool) -> int:
    """Make every check, whatever the ones before it found; returns the exit code, 2 where one is bad."""
    from phases.pipeline import validation
    from phases.pipeline.finding import table
    from phases.pipeline.subject import Subject

    subject = Subject.of_config(config, validation.environment())
    skip = getattr(subject.section("pipeline"), "skip_bedrock", False)
    states = [s for s in validation.CHECKS if not (s == "BedrockAuth" and skip)]
    findings = [f for state in states for f in validation.made(state, subject)]
    if as_json:
        for f in findings:
            out(json.dumps(f.to_json() | {"seconds": round(f.seconds or 0.0, 3)}))
    else:
        for line in table(findings):
            out(line)
    return 0 if all(f.good for f in findings) else 2
