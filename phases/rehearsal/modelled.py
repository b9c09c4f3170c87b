"""A service spoken by its model in botocore: what an unmodified client sends is read by it, and what it is answered written.

So no answer can have a shape that the service's has not: a value is held against the model before it goes out. The protocols
are json, rest-json, query and ec2; those are of https://smithy.io/2.0/aws/protocols/.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

from phases.rehearsal.wire import Reply, Request

_SCOPE = re.compile(r"Credential=(?P<key>[^/]+)/\d{8}/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request")


@dataclass(frozen=True)
class Call:
    """One request: which operation of which service, by whose key, in which region, with what."""

    service: str
    operation: str
    region: str
    key: str
    asked: Mapping[str, Any]


class Refusal(Exception):
    """An error that the service answers with."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


@cache
def model(service: str) -> Any:
    """The model of a service, by the name that boto3 has for it."""
    import botocore.session

    return botocore.session.get_session().get_service_model(service)


def scope(request: Request) -> tuple[str, str, str]:
    """(access key, region, name of the service) that a request is signed for; of one with a bearer token Bedrock's."""
    found = _SCOPE.search(request.headers.get("authorization", ""))
    return (found["key"], found["region"], found["service"]) if found else ("", "", "bedrock")


def read(request: Request, services: Mapping[str, str]) -> Call:
    """The request as a call. `services`: name in the signature -> name in boto3. Raises Refusal, KeyError."""
    key, region, signed = scope(request)
    service = services[signed]
    known = model(service)
    protocol = known.metadata["protocol"]
    if protocol == "json":
        operation = request.headers["x-amz-target"].rpartition(".")[2]
        asked = request.json()
    elif protocol == "rest-json":
        operation, asked = by_path(service, request)
    else:
        form = {k: v[0] for k, v in parse_qs(request.body.decode(), keep_blank_values=True).items()}
        operation = form["Action"]
        shape = known.operation_model(operation).input_shape
        asked = _of_form(shape, form, "", protocol) if shape is not None else {}
    return Call(service, operation, region, key, asked or {})


def by_path(service: str, request: Request) -> tuple[str, dict[str, Any]]:
    """(operation, what its path says) of a service that is spoken to by paths. Raises Refusal."""
    known = model(service)
    for name in known.operation_names:
        http = known.operation_model(name).http
        path = re.sub(
            r"\\\{(\w+)(\\\+)?\\\}", r"(?P<\1>[^/]+)", re.escape(http["requestUri"].partition("?")[0])
        )
        if http["method"] == request.method and (found := re.fullmatch(path, request.path)):
            return name, {k: unquote(v) for k, v in found.groupdict().items()}
    raise Refusal("UnknownOperationException", f"{request.method} {request.path} is no operation", 404)


def _of_form(shape: Any, form: Mapping[str, str], prefix: str, protocol: str) -> Any:
    """A value of a form's flat names (`Filter.1.Value.1`); None where it has none."""
    if shape.type_name == "structure":
        dot = f"{prefix}." if prefix else ""
        members = {
            name: _of_form(member, form, dot + _form_name(name, member, protocol), protocol)
            for name, member in shape.members.items()
        }
        return {n: v for n, v in members.items() if v is not None} or None
    if shape.type_name == "list":
        base = prefix if protocol == "ec2" or shape.serialization.get("flattened") else f"{prefix}.member"
        values: list[Any] = []
        while (value := _of_form(shape.member, form, f"{base}.{len(values) + 1}", protocol)) is not None:
            values.append(value)
        return values or None
    said = form.get(prefix)
    if said is None:
        return None
    return (
        int(said)
        if shape.type_name in ("integer", "long")
        else said == "true"
        if shape.type_name == "boolean"
        else said
    )


def _form_name(name: str, member: Any, protocol: str) -> str:
    if protocol == "ec2":
        said = member.serialization.get("queryName") or member.serialization.get("name", name)
        return str(said[:1].upper() + said[1:])
    return str(member.serialization.get("name", name))


def answered(call: Call, value: Mapping[str, Any]) -> Reply:
    """A value as the service would write it. Raises ValueError for one that is not the model's."""
    from botocore.validate import ParamValidator

    known = model(call.service)
    shape = known.operation_model(call.operation).output_shape
    protocol = known.metadata["protocol"]
    report = ParamValidator().validate(value, shape)
    if report.has_errors():
        raise ValueError(f"{call.service} {call.operation}: {report.generate_report()}")
    if "json" in protocol:
        kind = f"application/x-amz-json-{known.metadata.get('jsonVersion', '1.1')}"
        return Reply(body=json.dumps(_plain(shape, value)).encode(), kind=kind)
    inner = "".join(_xml(shape, value, protocol))
    space = known.metadata.get("xmlNamespace", "")
    if protocol == "query":
        inner = f"<{call.operation}Result>{inner}</{call.operation}Result><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata>"
    body = f'<{call.operation}Response xmlns="{space}">{inner}</{call.operation}Response>'
    return Reply(body=body.encode(), kind="text/xml")


def _plain(shape: Any, value: Any) -> Any:
    if shape.type_name == "structure":
        return {
            shape.members[n].serialization.get("name", n): _plain(shape.members[n], v)
            for n, v in value.items()
        }
    if shape.type_name == "list":
        return [_plain(shape.member, v) for v in value]
    if isinstance(value, datetime):
        return (
            value.isoformat()
            if shape.serialization.get("timestampFormat") == "iso8601"
            else value.timestamp()
        )
    return value


def _xml(shape: Any, value: Mapping[str, Any], protocol: str) -> Iterator[str]:
    for name, inner in value.items():
        member = shape.members[name]
        yield _element(member.serialization.get("name", name), member, inner, protocol)


def _element(name: str, shape: Any, value: Any, protocol: str) -> str:
    if shape.type_name == "structure":
        text = "".join(_xml(shape, value, protocol))
    elif shape.type_name == "list":
        each = shape.member.serialization.get("name", "item" if protocol == "ec2" else "member")
        text = "".join(_element(each, shape.member, one, protocol) for one in value)
    elif isinstance(value, bool):
        text = str(value).lower()
    else:
        text = escape(value.isoformat() if isinstance(value, datetime) else str(value))
    return f"<{name}>{text}</{name}>"


def refused(service: str, refusal: Refusal) -> Reply:
    """An error as the service's protocol writes it."""
    protocol = model(service).metadata["protocol"]
    if "json" in protocol:
        return Reply(
            refusal.status,
            json.dumps({"__type": refusal.code, "message": str(refusal)}).encode(),
            {"x-amzn-errortype": refusal.code},
        )
    said = f"<Code>{refusal.code}</Code><Message>{escape(str(refusal))}</Message>"
    body = (
        f"<Response><Errors><Error>{said}</Error></Errors><RequestID>r</RequestID></Response>"
        if protocol == "ec2"
        else f"<ErrorResponse><Error><Type>Sender</Type>{said}</Error><RequestId>r</RequestId></ErrorResponse>"
    )
    return Reply(refusal.status, body.encode(), kind="text/xml")
