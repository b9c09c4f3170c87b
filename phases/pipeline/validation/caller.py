"""AWSCredentials: whether AWS knows the caller, and whether this machine's clock is right."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from fsm.faults import fault
from phases.errors import NoCredentials
from phases.pipeline.validation.finding import Finding, asked, failed, good, idle, refused, warning
from phases.pipeline.validation.needs import Needs

TOO_FAR = timedelta(minutes=5)  # AWS refuses signatures that are older, or younger
FAR = timedelta(minutes=1)
SET = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN for temporary ones), or AWS_PROFILE; renew those "
    "that are expired (`aws sso login`)."
)
NTP = "Set this machine's clock (NTP): AWS refuses what was signed more than 5 minutes ago, or will be."


def aws_credentials(needs: Needs) -> Iterator[Finding]:
    """STS GetCallerIdentity, and the clock against the Date of the answer."""
    if not needs.aws:
        yield idle("no part of this configuration is on AWS")
        return
    doubt = f"AWS does not know the caller, and {_listed(needs.aws)} to"
    if needs.session.get_credentials() is None:
        where = "there are no credentials in the environment, in a profile, or from a role of this machine"
        yield failed(f"{doubt}: {where}", SET, NoCredentials)
        return
    try:
        answer = identity(needs)
    except Exception as e:
        yield _unknown_caller(doubt, e)
        return
    yield good(f"AWS knows the caller as {answer['Arn']}")
    yield asked("the clock", lambda: _clock(answer["ResponseMetadata"]))


def identity(needs: Needs) -> dict[str, Any]:
    """STS GetCallerIdentity, which needs no right. Raises what botocore raises."""
    sts = needs.client("sts")
    found: dict[str, Any] = needs.ask(sts.get_caller_identity)
    return found


def _unknown_caller(doubt: str, error: Exception) -> Finding:
    """A clock that is wrong is told as such: a signature of another hour looks like a wrong one."""
    answer = getattr(error, "response", None) or {}
    off = _off(answer.get("ResponseMetadata", {}))
    if off is not None and abs(off) > TOO_FAR:
        return failed(f"{doubt}: {_said(off)}", NTP, NoCredentials)
    found = fault(error)
    do = SET if found.cause in ("credentials", "unknown") else found.advice
    return refused(doubt, error, do)


def _clock(metadata: dict[str, Any]) -> Finding:
    off = _off(metadata)
    if off is None:
        return warning("the answer of STS has no Date to hold the clock against")
    if abs(off) > TOO_FAR:
        return failed(_said(off), NTP, NoCredentials)
    return (
        warning(_said(off), NTP) if abs(off) > FAR else good("this machine's clock agrees with that of AWS")
    )


def _off(metadata: dict[str, Any]) -> timedelta | None:
    """How far this machine's clock is ahead of the service's."""
    date = metadata.get("HTTPHeaders", {}).get("date")
    if not date:
        return None
    return datetime.now(UTC) - parsedate_to_datetime(date)


def _said(off: timedelta) -> str:
    minutes = round(abs(off.total_seconds()) / 60)
    return f"this machine's clock is {minutes} minutes {'ahead of' if off > timedelta(0) else 'behind'} that of AWS"


def _listed(things: list[str]) -> str:
    return f"{', '.join(things)} {'needs' if len(things) == 1 else 'need'} it"
