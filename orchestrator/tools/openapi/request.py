"""Builds the HTTP request of an operation from the arguments of a call.

Every value that a model writes is percent-encoded. Path values that could change the path (empty, `.`, `..`) are
refused; `egress` checks the resulting URL again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from orchestrator.tools.egress import OutboundRequest
from orchestrator.tools.errors import ALL_ARGUMENTS, ArgumentError
from orchestrator.tools.model import EffectClass
from orchestrator.tools.openapi.operation import Operation, Parameter
from orchestrator.tools.openapi.security import Credentials
from orchestrator.tools.openapi.servers import has_dot_segment


def with_defaults(operation: Operation, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, with the declared defaults of those that are missing."""
    return {**operation.defaults, **arguments}


def check_arguments(operation: Operation, arguments: dict[str, Any]) -> None:
    """Raises `ArgumentError` naming the first argument that does not satisfy the tool's schema."""
    for error in operation.validator.iter_errors(arguments):
        path = [str(part) for part in error.instance_path]
        raise ArgumentError(".".join(path) or ALL_ARGUMENTS, f"is not valid: {error.message[:300]}")


def build_request(
    operation: Operation, arguments: Mapping[str, Any], *, idempotency_key: str, credentials: Credentials
) -> OutboundRequest:
    """The request for arguments that satisfy the schema. Raises `ArgumentError` for those that cannot be sent."""
    query = [*_query(operation, arguments), *credentials.query.items()]
    url = operation.base_url + _path(operation, arguments) + (f"?{urlencode(query, quote_via=quote)}" if query else "")
    headers = {"accept": "text/*" if operation.text_answers else "application/json"}
    headers |= _headers(operation, arguments)
    if operation.tool.effect is not EffectClass.READ:
        headers["idempotency-key"] = idempotency_key
    content = _content(operation, arguments)
    if operation.body is not None and content is not None:
        headers["content-type"] = operation.body.media_type
    return OutboundRequest(
        method=operation.method,
        url=url,
        within=operation.base_url,
        headers=headers | dict(credentials.headers),
        content=content,
    )


def _path(operation: Operation, arguments: Mapping[str, Any]) -> str:
    path = operation.path
    values = {part.wire_name: part for part in operation.parameters if part.location == "path"}
    pieces = []
    while "{" in path:
        fixed, _, rest = path.partition("{")
        name, _, path = rest.partition("}")
        pieces += [fixed, _segment(values[name], arguments)]
    expanded = "".join([*pieces, path])
    if has_dot_segment(expanded):
        raise ArgumentError(next(iter(values.values())).argument, "would change the address that is called")
    return expanded


def _segment(parameter: Parameter, arguments: Mapping[str, Any]) -> str:
    value = arguments.get(parameter.argument)
    parts = [_text(item, parameter) for item in (value if isinstance(value, list) else [value])]
    if not all(parts) or any(has_dot_segment(part) for part in parts):
        raise ArgumentError(parameter.argument, "is part of the address and must not be empty, `.` or `..`")
    return ",".join(quote(part, safe="") for part in parts)


def _query(operation: Operation, arguments: Mapping[str, Any]) -> list[tuple[str, str]]:
    pairs = []
    for parameter in operation.parameters:
        value = arguments.get(parameter.argument)
        if parameter.location == "query" and value is not None:
            items = value if isinstance(value, list) else [value]
            pairs += [(parameter.wire_name, _text(item, parameter)) for item in items]
    return pairs


def _headers(operation: Operation, arguments: Mapping[str, Any]) -> dict[str, str]:
    headers = {}
    for parameter in operation.parameters:
        value = arguments.get(parameter.argument)
        if parameter.location == "header" and value is not None:
            text = ",".join(_text(item, parameter) for item in (value if isinstance(value, list) else [value]))
            if not (text.isascii() and text.isprintable()):
                raise ArgumentError(parameter.argument, "is sent as a header and must be printable ASCII")
            headers[parameter.wire_name.lower()] = text
    return headers


def _content(operation: Operation, arguments: Mapping[str, Any]) -> bytes | None:
    body = operation.body
    if body is None or (body.argument is not None and body.argument not in arguments):
        return None
    if body.argument is not None:
        value = arguments[body.argument]
    else:
        value = {name: arguments[name] for name in body.properties if name in arguments}
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")


def _text(value: Any, parameter: Parameter) -> str:
    """A single value outside a body. Integral floats are written without a fraction, as validators accept 5.0 for 5."""
    match value:
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer():
            return str(int(value))
        case int() | float():
            return json.dumps(value)
        case str():
            return value.encode("utf-8", "replace").decode()
        case None:
            return ""
        case _:
            raise ArgumentError(parameter.argument, "must be text, a number or true or false, or a list of those")
