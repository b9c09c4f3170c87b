"""What a service's failure is to the phases: the error of Diagram 8 that it enters, said in one paragraph.

Whose failure it is, and what to do next, is the table's of `fsm.faults` to say; here is only which of the drawn entry
states its cause belongs to.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

from fsm.faults import Fault, Kind, Patient, fault
from phases import errors
from phases.errors import PipelineError

T = TypeVar("T")

CODES: dict[str, type[PipelineError]] = {
    "NoSuchEntity": errors.RoleNotFound,
    "ResourceLimitExceeded": errors.NotRented,
    "ServiceUnavailableException": errors.ThrottlingException,
    "ModelNotReadyException": errors.ThrottlingException,
}
"""Error codes that enter another state than their cause does."""

CAUSES: dict[str, type[PipelineError]] = {
    "credentials": errors.NoCredentials,
    "clock": errors.NoCredentials,  # a signature that is out of date is refused like one that is wrong
    "configuration": errors.NoCredentials,  # what SetEnvVars sets
    "certificate": errors.NoCredentials,
    "access": errors.AccessDenied,
    "account": errors.AccessDenied,
    "key": errors.AccessDenied,
    "model": errors.AccessDenied,
    "quota": errors.AccessDenied,
    "request": errors.AccessDenied,
    "bucket": errors.EmptyDataset,
    "region": errors.EmptyDataset,
    "throttling": errors.ThrottlingException,
    "service": errors.ModelStreamError,
    "network": errors.ModelStreamError,
}
"""The entry states by cause, for what is everybody's or passing."""


def entered(found: Fault) -> type[PipelineError] | None:
    """The error whose entry state a service's failure enters; None for what is the item's own, or not known."""
    if found.code == "NoSuchEntity" or found.kind in (Kind.PASSING, Kind.EVERYBODY):
        return CODES.get(found.code) or CAUSES.get(found.cause)
    return None


def named(error: Exception, doing: str) -> Exception:
    """The error to raise, from this one: that of its entry state, with what to do next; itself where there is none.

    `doing` names what was asked of whom, as a message begins.
    """
    found = fault(error)
    own = entered(found)
    return own(f"{doing}: {found.message.rstrip('.')}. {found.advice}") if own else error


def fresh_session(profile: str | None = None) -> Any:
    """A boto3 session of one's own: the default one keeps the credentials of whoever asked first.

    The services' models are read once in a process, whatever session they are for: that of EC2 alone takes a second.
    """
    import boto3  # half a second: only where AWS is asked
    import botocore.session

    core = botocore.session.Session(profile=profile)
    core.register_component("data_loader", _loader())
    return boto3.Session(botocore_session=core)


@cache
def _loader() -> Any:
    import botocore.session

    return botocore.session.get_session().get_component("data_loader")


def client(
    service: str,
    *,
    region: str | None = None,
    endpoint_url: str | None = None,
    connections: int = 10,
    session: Any = None,
) -> Any:
    """A boto3 client that asks once: whether it is asked again is for a Patient to say, by the time, not the number.

    Of a session of its own, or of the one that is given: boto3's default one keeps the credentials of whoever asked first.
    `connections` are kept for as many requests at a time.
    """
    from botocore.config import Config

    once = Config(retries={"total_max_attempts": 1, "mode": "standard"}, max_pool_connections=connections)
    own = session or fresh_session()
    return own.client(service, region_name=region, endpoint_url=endpoint_url, config=once)


def asked(ask: Patient, call: Callable[[], T], doing: str) -> T:
    """What a call of a client returns, asked patiently.

    Raises the error of Diagram 8 that its failure enters, or what botocore raised; Unanswered at the end of patience.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return ask(call)
    except (ClientError, BotoCoreError) as error:
        raise named(error, doing) from error
