"""IAMRole: the role that a job runs as, and what it and the launcher may do."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fsm.faults import fault
from phases.errors import AccessDenied, RoleNotFound
from phases.pipeline.validation import caller, rights, teacher
from phases.pipeline.validation.finding import (
    Finding,
    asked,
    failed,
    good,
    idle,
    not_told,
    unknown,
    warning,
)
from phases.pipeline.validation.needs import Needs
from phases.pipeline.validation.rights import Account, Right
from phases.sagemaker_job.role import OF_BATCHES, SERVICE, base, deploy

CREATE = "Create it by {command}; or correct {key}."
MOST_SHOWN = 6  # rights that are missing, in a sentence


def iam_role(needs: Needs) -> Iterator[Finding]:
    """GetRole, its trust policy, and SimulatePrincipalPolicy for exactly what the run does."""
    if not needs.aws:
        yield idle("the training job runs on this machine, as this user")
        return
    if needs.refused:
        yield unknown("no role is asked for: AWS does not know the caller")
        return
    who = asked("AWS does not know the caller", lambda: good(caller.identity(needs)["Arn"]))
    if who.bad:
        yield who
        return
    account = _account(needs, who.text)
    iam = needs.client("iam")
    yield from _rights(
        needs, iam, "the launcher", _principal(needs, iam, who.text), rights.launcher(needs, account)
    )
    if needs.batch:
        role, key = str(needs.batch.role), "teacher_generation.teacher.batch.role"
        found = _role(needs, iam, account.number, key, role, OF_BATCHES)
        yield from found
        if not any(f.bad for f in found):
            yield from _rights(needs, iam, "the role", role, rights.batches(needs, account))
    if not needs.rents:
        yield idle("the training job runs on this machine, as this user")
        return
    found = _role(needs, iam, account.number, "sagemaker_job.role", account.role, SERVICE)
    yield from found
    if not any(f.bad for f in found):
        yield from _rights(needs, iam, "the role", account.role, rights.container(needs, account))


def _account(needs: Needs, arn: str) -> Account:
    _, partition, _, _, number, *_ = arn.split(":")
    region = needs.region or needs.session.region_name or "us-east-1"
    role = str(needs.job.role) if needs.rents else ""
    if role and not role.startswith("arn:"):
        role = f"arn:{partition}:iam::{number}:role/{role}"
    return Account(partition, number, region, role, _models(needs, partition))


def _models(needs: Needs, partition: str) -> tuple[str, ...]:
    """The models behind the teacher; where the caller may not ask, the one of the region."""
    settings = needs.teacher
    if not needs.teaches_on_aws or needs.pipeline.skip_bedrock:
        return ()
    try:
        return teacher.models(needs)
    except Exception:  # BedrockAuth has said it
        return (f"arn:{partition}:bedrock:{settings.region}::foundation-model/{base(settings.model)}",)


# The role itself


def _role(needs: Needs, iam: Any, number: str, key: str, role: str, service: str) -> list[Finding]:
    """Whether the role that `key` of the configuration names is there, of account `number`, and its `service`'s to assume."""
    create = CREATE.format(
        command=f"`{deploy(needs.program.sections, needs.store, needs.pipeline.output)}`", key=key
    )
    if not role:
        return [failed(f"{key} is empty: the job needs a role to run as", create, RoleNotFound)]
    if f"::{number}:" not in role:
        owner = role.split(":")[4]
        return [
            failed(
                f"the role {role} is of account {owner}, and the caller of {number}: a job takes a role of its own account only",
                create,
                RoleNotFound,
            )
        ]
    name = role.rpartition("/")[2]
    try:
        answer = needs.ask(lambda: iam.get_role(RoleName=name))["Role"]
    except Exception as e:
        if fault(e).code == "NoSuchEntity":
            return [failed(f"there is no role {name} in account {number}", create, RoleNotFound)]
        without = (
            "A role that is missing, or not the service's to assume, is then seen when the job is created."
        )
        return [not_told(f"whether the role {name} is there", e, without)]
    found = good(f"the role {answer['Arn']} is there")
    if service == SERVICE and not needs.job.role.startswith("arn:"):
        found = failed(
            f"{key} is {needs.job.role}, and CreateTrainingJob takes a role by its ARN",
            f"Set it to {answer['Arn']}.",
            RoleNotFound,
        )
    return [found, _trust(name, answer["AssumeRolePolicyDocument"], create, service)]


def _trust(name: str, policy: Mapping[str, Any], create: str, service: str) -> Finding:
    whose = {SERVICE: "SageMaker", OF_BATCHES: "Bedrock"}[service]
    for statement in _statements(policy):
        services = _several(_mapping(statement.get("Principal")).get("Service"))
        assumes = {"sts:AssumeRole", "sts:*", "*"} & set(_several(statement.get("Action")))
        if statement.get("Effect") == "Allow" and assumes and service in services:
            return good(f"{whose} may assume the role {name}")
    return failed(
        f"{whose} cannot assume the role {name}: its trust policy does not allow sts:AssumeRole to {service}",
        f"Add {service} to its trust policy (`aws iam update-assume-role-policy --role-name {name} ...`). {create}",
        RoleNotFound,
    )


def _statements(policy: Mapping[str, Any]) -> list[Any]:
    said = policy.get("Statement", [])
    return said if isinstance(said, list) else [said]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _several(value: Any) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else list(value)


# What they may do


def _principal(needs: Needs, iam: Any, arn: str) -> str:
    """The caller as IAM knows it: the role behind a session, whose path the session does not say. "" for the root user."""
    if arn.endswith(":root"):
        return ""
    if ":assumed-role/" not in arn:
        return arn
    partition, number, name = arn.split(":")[1], arn.split(":")[4], arn.split("/")[1]
    try:
        return str(needs.ask(lambda: iam.get_role(RoleName=name))["Role"]["Arn"])
    except Exception:  # it may not be asked; most roles have no path
        return f"arn:{partition}:iam::{number}:role/{name}"


@dataclass(frozen=True)
class Lack:
    """A right that is missing. `bounded`: no policy of its own would help; `elsewhere`: that of the resource may allow it."""

    said: str
    bounded: bool
    elsewhere: bool


def _rights(needs: Needs, iam: Any, whose: str, principal: str, wanted: Iterable[Right]) -> Iterator[Finding]:
    """What of the rights is missing, by SimulatePrincipalPolicy; nothing of this touches what the rights are for."""
    if not principal:
        do = "Use a user or a role of your own."
        yield warning(f"{whose} is the root user of the account, who may do everything", do)
        return
    missing: list[Lack] = []
    for right in wanted:
        try:
            lacking = list(_lacking(needs, iam, principal, right))
        except Exception as e:
            without = "A right that is missing is then seen when it is needed. Allow iam:SimulatePrincipalPolicy to know before."
            yield not_told(f"what {whose} may do", e, without)
            return
        for lack in lacking:
            if not right.needed:
                do = "What that would show is not known; the run goes without."
                yield warning(f"{whose} may not {lack.said}", do)
            elif lack.elsewhere:
                do = "The policy of the bucket, or of the key, may allow it: see that it does."
                yield warning(f"{whose} may not {lack.said}", do)
            else:
                missing.append(lack)
    if missing:
        yield _short(needs, whose, principal, missing)
    else:
        yield good(f"{whose} {principal} may do what the run needs")


def _short(needs: Needs, whose: str, principal: str, missing: list[Lack]) -> Finding:
    """What somebody lacks that the run needs: the role's own is the template's to give, the launcher's somebody's to attach."""
    more = f"; and {len(missing) - MOST_SHOWN} more" if len(missing) > MOST_SHOWN else ""
    bounded = any(lack.bounded for lack in missing)
    role = whose == "the role"
    command = deploy(needs.program.sections, needs.store, needs.pipeline.output)
    return failed(
        f"{whose} {principal} may not {'; '.join(lack.said for lack in missing[:MOST_SHOWN])}{more}",
        f"Deploy configs/role.yaml, which has what is needed: `{command}`"
        + ("." if role else ", and attach its LauncherPolicy to them.")
        + (" A boundary allows nothing that it does not name: have it widened." if bounded else ""),
        RoleNotFound if role and not bounded else AccessDenied,
    )


def _lacking(needs: Needs, iam: Any, principal: str, right: Right) -> Iterator[Lack]:
    question = {
        "PolicySourceArn": principal,
        "ActionNames": list(right.actions),
        "ResourceArns": list(right.resources),
        "ContextEntries": [
            {"ContextKeyName": k, "ContextKeyValues": [v], "ContextKeyType": "string"}
            for k, v in sorted(right.context.items())
        ],
    }
    answers: list[dict[str, Any]] = []
    marker: dict[str, str] = {}
    while True:
        page = needs.ask(lambda: iam.simulate_principal_policy(**question, **marker))  # noqa: B023 (called at once)
        answers += page["EvaluationResults"]
        if not page.get("IsTruncated"):
            break
        marker = {"Marker": page["Marker"]}
    for answer in answers:
        if answer["EvalDecision"] != "allowed":
            why, bounded = _why(answer)
            action, resource = answer["EvalActionName"], answer.get("EvalResourceName", "*")
            unsaid = answer["EvalDecision"] == "implicitDeny" and not bounded
            yield Lack(
                f"{action} on {resource} ({why}; for {right.why})",
                bounded,
                unsaid
                and (action.startswith("kms:") or (action.startswith("s3:") and _shared(needs, resource))),
            )


def _why(answer: Mapping[str, Any]) -> tuple[str, bool]:
    """Why something is not allowed, and whether that is for a bound around all policies of the principal's own."""
    if answer.get("PermissionsBoundaryDecisionDetail", {}).get("AllowedByPermissionsBoundary") is False:
        return "its permissions boundary does not allow it", True
    if answer.get("OrganizationsDecisionDetail", {}).get("AllowedByOrganizations") is False:
        return "a policy of the organization does not allow it", True
    return ("it is denied" if answer["EvalDecision"] == "explicitDeny" else "no policy allows it"), False


def _shared(needs: Needs, resource: str) -> bool:
    """Whether the bucket of an ARN has a policy that allows somebody something."""
    bucket = resource.rpartition(":::")[2].partition("/")[0]
    s3 = needs.client("s3")
    try:
        policy = json.loads(needs.ask(lambda: s3.get_bucket_policy(Bucket=bucket))["Policy"])
    except Exception:  # there is none, or it may not be read
        return False
    return any(s.get("Effect") == "Allow" for s in _statements(policy))
