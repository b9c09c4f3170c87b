"""Findings as SARIF, which code hosts show beside a change: https://docs.oasis-open.org/sarif/sarif/v2.1.0/"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fsm.check.finding import Finding

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif(findings: Sequence[Finding], version: str) -> dict[str, Any]:
    """One run of this tool. Files below the working directory are named from there, others whole."""
    rules = sorted({f.code for f in findings})
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {"name": "fsm", "version": version, "rules": [{"id": code} for code in rules]}
                },
                "results": [_result(f, rules.index(f.code)) for f in findings],
            }
        ],
    }


def _result(finding: Finding, rule: int) -> dict[str, Any]:
    path, here = Path(finding.file).absolute(), Path.cwd()
    where = path.relative_to(here).as_posix() if path.is_relative_to(here) else path.as_uri()
    return {
        "ruleId": finding.code,
        "ruleIndex": rule,
        "level": finding.severity,
        "message": {"text": finding.message},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": where},
                    "region": {"startLine": max(1, finding.line), "startColumn": max(1, finding.column)},
                }
            }
        ],
    }
