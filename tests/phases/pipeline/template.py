"""configs/role.yaml with its parameters filled in, as CloudFormation would: the policies that come of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from fsm.config import Config
from phases.sagemaker_job.role import parameters

TEMPLATE = Path(__file__).parents[3] / "configs" / "role.yaml"
NOTHING = object()


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms: `!Ref x` as {"Ref": x}, `!Sub x` as {"Fn::Sub": x}."""


def _short(loader: _Loader, name: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.SequenceNode):
        value: Any = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_scalar(node)  # type: ignore[arg-type]
    return {"Ref" if name == "Ref" else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _short)


def read() -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(TEMPLATE.read_text(), _Loader)
    return found


def policies(
    config: Config, account: str, role: str = "pipeline", **more: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(the container's policy, the launcher's) for a configuration, in an account and with a role of that name.

    `more` are parameters given besides.
    """
    resources, filled = _filled(config, account, role, more)
    container = filled(resources["ContainerRole"]["Properties"]["Policies"][0]["PolicyDocument"])
    return container, filled(resources["LauncherPolicy"]["Properties"]["PolicyDocument"])


def of_batches(config: Config, account: str, **more: str) -> dict[str, Any]:
    """The policy of the role that Bedrock does batches as."""
    resources, filled = _filled(config, account, "pipeline", more)
    found: dict[str, Any] = filled(resources["BatchRole"]["Properties"]["Policies"][0]["PolicyDocument"])
    return found


def _filled(
    config: Config, account: str, role: str, more: Mapping[str, str]
) -> tuple[dict[str, Any], _Filled]:
    template = read()
    values: dict[str, Any] = {n: p.get("Default") for n, p in template["Parameters"].items()}
    section = config.program.sections.get("pipeline")
    values |= parameters(config.program.sections, config.engine.store, section.output if section else "")
    values |= more
    values["Keys"] = [key for key in str(values["Keys"] or "").split(",") if key]
    values |= {
        "AWS::AccountId": account,
        "AWS::Region": "us-east-1",
        "AWS::Partition": "aws",
        "AWS::NoValue": NOTHING,
    }
    roles = {"ContainerRole.Arn": role, "BatchRole.Arn": "batch"}
    arns = {name: f"arn:aws:iam::{account}:role/{called}" for name, called in roles.items()}
    return template["Resources"], _Filled(template, values, arns)


class _Filled:
    def __init__(
        self, template: Mapping[str, Any], values: Mapping[str, Any], roles: Mapping[str, str]
    ) -> None:
        self.values = values
        self.roles = roles
        self.conditions = template["Conditions"]

    def __call__(self, value: Any) -> Any:
        if isinstance(value, list):
            return [made for one in value if (made := self(one)) is not NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((name, inner),) = value.items()
            if name == "Ref":
                return self.values[inner]
            if name == "Fn::Sub":
                text = re.sub(r"\$\{([^!}]+)\}", lambda m: str(self.values[m[1]]), inner)
                return text.replace("${!", "${").replace("${aws:username}", "launcher")
            if name == "Fn::GetAtt":
                return self.roles[inner]
            if name == "Fn::If":
                return self(inner[1] if self._holds(inner[0]) else inner[2])
        return {k: self(v) for k, v in value.items()}

    def _holds(self, name: str) -> bool:
        return bool(self._judge(self.conditions[name]))

    def _judge(self, rule: Any) -> Any:
        ((name, inner),) = rule.items()
        if name == "Fn::Not":
            return not self._judge(inner[0])
        assert name == "Fn::Equals", name
        left, right = inner
        if isinstance(left, dict) and "Fn::Join" in left:
            separator, parts = left["Fn::Join"]
            return separator.join(self(parts)) == right
        return self(left) == right
