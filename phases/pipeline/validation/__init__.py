"""The checks of Validation: everything that can fail early, before anything is paid for.

A check asks what this configuration really needs, and nothing else. Where it needs nothing, it says so and passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from phases.pipeline.validation.buckets import s3_access
from phases.pipeline.validation.caller import aws_credentials
from phases.pipeline.validation.finding import Finding, Result, timed
from phases.pipeline.validation.here import config_check, import_check, local_files, script_syntax
from phases.pipeline.validation.hub import hf_token
from phases.pipeline.validation.needs import Needs
from phases.pipeline.validation.role import iam_role
from phases.pipeline.validation.table import paragraph, summary, table
from phases.pipeline.validation.teacher import SKIPPED, bedrock_auth

__all__ = [
    "CHECKS",
    "SKIPPED",
    "Finding",
    "Needs",
    "Result",
    "look",
    "paragraph",
    "summary",
    "table",
    "timed",
]

CALLER = "AWSCredentials"
CHECKS: Mapping[str, Callable[[Needs], Iterator[Finding]]] = {
    CALLER: aws_credentials,
    "S3Access": s3_access,
    "BedrockAuth": bedrock_auth,
    "IAMRole": iam_role,
    "HFToken": hf_token,
    "ConfigCheck": config_check,
    "LocalFiles": local_files,
    "ScriptSyntax": script_syntax,
    "ImportCheck": import_check,
}
"""The check of each drawn state, in the order of the drawing."""


def look(needs: Needs, known: Mapping[str, list[Finding]] | None = None) -> Iterator[tuple[str, Finding]]:
    """Every check, whatever the ones before it found: (the state it is drawn as, a finding).

    `known` are those of checks that need not be asked again. Where AWS does not know the caller, nothing else of it is asked.
    """
    for name, check in CHECKS.items():
        found = (known or {}).get(name)
        for one in timed(check(needs)) if found is None else found:
            yield name, one
            if name == CALLER and one.bad:
                needs = needs.without_aws()
