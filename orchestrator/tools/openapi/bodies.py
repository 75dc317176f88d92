"""Writes the body of a request: JSON, forms, text, JSON lines and bytes.

Sources: OpenAPI 3.1.1, Encoding Object; RFC 7578 (multipart); WHATWG URL, application/x-www-form-urlencoded. The same
arguments give the same bytes, so that a call that is sent again after a crash is the same request.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, assert_never

from orchestrator.tools.errors import ALL_ARGUMENTS, ArgumentError
from orchestrator.tools.numbers import write_json
from orchestrator.tools.openapi.operation import Body, Part, Style
from orchestrator.tools.openapi.styles import Value, form_pairs, refuse_taken_names

_CHARSET = re.compile(r";\s*charset=\"?([\w.:-]+)", re.IGNORECASE)


def write_body(body: Body, arguments: Mapping[str, Any]) -> tuple[str, bytes] | None:
    """Content type and content; None if an optional body was not written. Raises `ArgumentError`."""
    if body.argument is None:
        content: Any = {name: arguments[name] for name in body.properties if name in arguments}
        if not content and not body.required:
            return None
    elif body.argument in arguments:
        content = arguments[body.argument]
    else:
        return None
    argument = body.argument or ALL_ARGUMENTS
    match body.form:
        case "json":
            return body.media_type, write_json(content).encode()
        case "urlencoded":
            return body.media_type, _urlencoded(body, content)
        case "multipart":
            return _multipart(body, content)
        case "text":
            return body.media_type, _encoded(Value(argument, argument, content, Style("content")), body.media_type)
        case "lines":
            return body.media_type, "".join(f"{write_json(line)}\n" for line in content).encode()
        case "base64":
            return body.media_type, _decoded(argument, content)
        case _ as never:
            assert_never(never)


def is_json(media_type: str) -> bool:
    """Whether a media type, or a range of them, means JSON."""
    essence = media_type.partition(";")[0].strip().lower()
    return essence in ("application/json", "text/json", "*/*", "application/*") or essence.endswith("+json")


def _properties(body: Body, content: Any) -> Iterator[tuple[Value, Part]]:
    if not isinstance(content, Mapping):
        raise ArgumentError(body.argument or ALL_ARGUMENTS, "is sent as a form and must be an object")
    for name, item in content.items():
        part = body.parts.get(name, Part())
        yield Value(name if body.argument is None else f"{body.argument}.{name}", name, item, part.style), part


def _urlencoded(body: Body, content: Any) -> bytes:
    pairs: list[str] = []
    for value, part in _properties(body, content):
        if part.style.name != "content":
            refuse_taken_names(value, content.keys() - {value.name})
        pairs += form_pairs(value)
    return "&".join(pairs).encode("ascii")


def _multipart(body: Body, content: Any) -> tuple[str, bytes]:
    parts = [
        _part(value, item, part)
        for value, part in _properties(body, content)
        for item in (value.content if isinstance(value.content, list) else [value.content])
    ]
    # No content can hold its own digest.
    boundary = hashlib.sha256(b"".join(parts)).hexdigest().encode()
    pieces = [b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts]
    return f"{body.media_type}; boundary={boundary.decode()}", b"".join(pieces) + b"--" + boundary + b"--\r\n"


def _part(value: Value, item: Any, part: Part) -> bytes:
    """Headers and content of one part. A name cannot end its header line: see WHATWG HTML, multipart/form-data."""
    name = value.name.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")
    is_file = part.is_file and isinstance(item, str)
    text = write_json(item) if value.style.name == "json" else value.content_text(item)
    implied = "application/json" if isinstance(item, Mapping | list) else "text/plain"
    media_type = part.media_type or ("application/octet-stream" if is_file else implied)
    if media_type == "text/plain" and not text.isascii():
        media_type = "text/plain; charset=utf-8"
    disposition = f'form-data; name="{name}"' + (f'; filename="{name}"' if is_file else "")
    return f"Content-Disposition: {disposition}\r\nContent-Type: {media_type}\r\n\r\n{text}".encode()


def _encoded(value: Value, media_type: str) -> bytes:
    """A text body in the charset that the document declares, else UTF-8."""
    declared = _CHARSET.search(media_type)
    try:
        return value.content_text(value.content).encode(declared[1] if declared else "utf-8")
    except (LookupError, UnicodeEncodeError):
        raise ArgumentError(value.argument, f"cannot be written as {media_type[:200]}") from None


def _decoded(argument: str, content: Any) -> bytes:
    try:
        return base64.b64decode(content, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise ArgumentError(argument, "must be text in base64: the bytes to send") from None
