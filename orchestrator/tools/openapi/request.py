"""Builds the HTTP request of an operation from the arguments of a call.

Values are written as the operation's styles and media types say, with the digits that the model wrote. Path values that
could change the path (empty, `.`, `..`) are refused; `egress` checks the resulting URL again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from alpha_umi.contract.value_check import first_fault
from orchestrator.tools.egress import OutboundRequest
from orchestrator.tools.errors import ALL_ARGUMENTS, ArgumentError
from orchestrator.tools.model import EffectClass
from orchestrator.tools.openapi.bodies import is_json, write_body
from orchestrator.tools.openapi.operation import Location, Operation
from orchestrator.tools.openapi.security import Credentials
from orchestrator.tools.openapi.servers import has_dot_segment
from orchestrator.tools.openapi.styles import (
    Value,
    cookie_pairs,
    header_text,
    path_text,
    query_pairs,
    refuse_taken_names,
)

_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
# The validator goes no deeper than 255.
_MAX_DEPTH: Final = 200
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def with_defaults(operation: Operation, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, with the declared defaults of required ones that are missing.

    Defaults of optional arguments are what the server assumes; sending them would change what a PATCH does not name.
    """
    return {**operation.defaults, **arguments}


def check_arguments(operation: Operation, arguments: Mapping[str, Any]) -> None:
    """Raises `ArgumentError` naming the first argument that cannot be sent or does not satisfy the tool's schema."""
    plain = {name: _plain(value, name) for name, value in arguments.items()}
    if (fault := first_fault(operation.tool.parameters, plain)) is not None:
        raise ArgumentError(".".join(fault.place) or ALL_ARGUMENTS, f"is not valid: {fault.message[:300]}")


def build_request(
    operation: Operation, arguments: Mapping[str, Any], *, idempotency_key: str, credentials: Credentials
) -> OutboundRequest:
    """The request for arguments that satisfy the schema. Raises `ArgumentError` for those that cannot be sent."""
    path = _path(operation, arguments)
    query = "&".join(_query(operation, arguments, credentials))
    headers = {"accept": _accept(operation.answers)}
    headers |= {value.name.lower(): header_text(value) for value in _values(operation, arguments, "header")}
    if operation.tool.effect is not EffectClass.READ:
        headers["idempotency-key"] = idempotency_key
    content = None
    if operation.body is not None and (body := write_body(operation.body, arguments)) is not None:
        headers["content-type"], content = body
    headers |= credentials.headers
    if cookies := [pair for value in _values(operation, arguments, "cookie") for pair in cookie_pairs(value)]:
        headers["cookie"] = "; ".join([*cookies, *filter(None, [credentials.headers.get("cookie")])])
    return OutboundRequest(
        method=operation.method,
        url=operation.base_url + path + (("&" if "?" in path else "?") + query if query else ""),
        within=operation.base_url,
        headers=headers,
        content=content,
    )


def _values(operation: Operation, arguments: Mapping[str, Any], location: Location) -> list[Value]:
    """The values of one place. Null is the same as no value there (RFC 6570, 2.3)."""
    return [
        Value(parameter.argument, parameter.wire_name, value, parameter.style)
        for parameter in operation.parameters
        if parameter.location == location and (value := arguments.get(parameter.argument)) is not None
    ]


def _query(operation: Operation, arguments: Mapping[str, Any], credentials: Credentials) -> list[str]:
    values = _values(operation, arguments, "query")
    taken = {part.wire_name for part in operation.parameters if part.location == "query"} | set(credentials.query)
    for value in values:
        refuse_taken_names(value, taken - {value.name})
    secrets = [f"{quote(name, safe='')}={quote(secret, safe='')}" for name, secret in credentials.query.items()]
    return [pair for value in values for pair in query_pairs(value)] + secrets


def _path(operation: Operation, arguments: Mapping[str, Any]) -> str:
    values = {value.name: value for value in _values(operation, arguments, "path")}
    arguments_of = {part.wire_name: part.argument for part in operation.parameters if part.location == "path"}

    def segment(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise ArgumentError(arguments_of[match[1]], "is part of the address and must not be empty")
        return path_text(values[match[1]])

    path = _PLACEHOLDER.sub(segment, operation.path)
    if has_dot_segment(path.partition("?")[0]):
        raise ArgumentError(next(iter(values.values())).argument, "would change the address that is called")
    return path


def _accept(answers: Sequence[str]) -> str:
    """The declared types, JSON first as it is read best. A server may answer errors in another type."""
    if not answers:
        return "application/json, */*;q=0.5"
    preferred = [name for name in answers if is_json(name)]
    others = [name for name in answers if name not in preferred and name != "*/*"]
    weight = ";q=0.9" if preferred else ""
    return ", ".join([*preferred, *(name + weight for name in others)] + ["*/*;q=0.1"] * ("*/*" not in preferred))


def _plain(value: Any, *path: str) -> Any:
    """The value with plain numbers, as the validator takes them. Raises `ArgumentError` for what cannot be sent."""
    match value:
        case Mapping() | list() if len(path) > _MAX_DEPTH:
            raise ArgumentError(path[0], f"nests deeper than {_MAX_DEPTH} levels")
        case Mapping():
            return {_plain(name, *path, name): _plain(item, *path, name) for name, item in value.items()}
        case list():
            return [_plain(item, *path, str(index)) for index, item in enumerate(value)]
        case float() if not math.isfinite(value):
            raise ArgumentError(".".join(path), "is a number beyond 1.8e308, which cannot be checked")
        case float():
            return float(value)
        case str() if _SURROGATE.search(value):
            named = ".".join(path).encode("utf-8", "replace").decode()
            raise ArgumentError(named, "holds half of a surrogate pair, which cannot be sent")
        case _:
            return value
