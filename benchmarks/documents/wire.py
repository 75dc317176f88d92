"""Predicts requests by the specification, and compares them with requests that were built.

Rules: OpenAPI 3.1.1, Parameter Object (Style Examples) and Encoding Object; RFC 6570; RFC 7578. Requests are compared
by what a server reads: percent-encodings, the order of different names, white space in JSON and boundaries make no
difference. The digits of numbers do.
"""

from __future__ import annotations

import base64
import email
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import partial
from itertools import zip_longest
from operator import attrgetter, itemgetter
from typing import Any, Final
from urllib.parse import quote, unquote, unquote_plus, urlsplit

from benchmarks.documents.reading import Media, Parameter, Written

FORM: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data"
# Of styles without commas: a server finds them in the decoded value.
_DELIMITERS: Final = {"spaceDelimited": " ", "pipeDelimited": "|", "tabDelimited": "\t"}
# Headers that a request has beside those of the document.
_OWN_HEADERS: Final = frozenset({"accept", "content-type", "idempotency-key", "user-agent"})
_MISSING: Final = ...
_encoded = partial(quote, safe="")


class Unspecified(Exception):
    """A value for which the specification has no form."""


@dataclass(frozen=True)
class Entry:
    """A name and its value: a text, texts with commas between them, or a JSON value.

    It stands in a query, a cookie, a form, or a multipart body, where a part can be a file and have a media type.
    """

    name: str
    value: Any
    is_json: bool = False
    is_file: bool = False
    media_type: str | None = None


@dataclass(frozen=True)
class Body:
    """A body's media type and what it holds: a JSON value, lines of them, entries of a form, or bytes."""

    media_type: str
    content: Any


@dataclass
class Expected:
    """A predicted request. `paths` are the spellings that are right."""

    method: str
    paths: list[str]
    answers: Sequence[str] = ()
    query: list[Entry] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    cookies: list[Entry] = field(default_factory=list)
    body: Body | None = None
    body_may_lack: bool = False


def expect(
    method: str, address: str, parameters: Iterable[tuple[Parameter, Any]], *, answers: Sequence[str] = ()
) -> Expected:
    """The request without body and credentials; `address` is server and path template. Raises `Unspecified`."""
    expected = Expected(method, [], answers)
    segments: dict[str, list[str]] = {}
    for parameter, value in parameters:
        match parameter.location:
            case "path":
                segments[parameter.name] = _segments(parameter, value)
            case "query":
                expected.query += entries(parameter.name, value, parameter.written)
            case "cookie":
                expected.cookies += entries(parameter.name, value, parameter.written)
            case _:
                expected.headers[parameter.name.lower()] = _simple(value, parameter.written, str)
    address, _, fixed = address.partition("#")[0].partition("?")
    expected.query += [Entry(unquote_plus(n), unquote_plus(v)) for n, v in _pairs(fixed)]
    for spelling in (0, -1):
        fill = re.sub(r"\{([^{}]*)\}", lambda m, at=spelling: segments.get(m[1], [m[0]])[at], address)  # type: ignore[misc]
        expected.paths.append(_address(fill))
    return expected


def expected_body(media_type: str, media: Media, value: Any) -> Body:
    """A body that holds `value`, in the given form."""
    kind = media_type.partition(";")[0].strip().lower()
    if kind in (FORM, MULTIPART):
        return Body(kind, [entry for name, part in value.items() for entry in _form_entries(name, part, media, kind)])
    if is_json(kind):
        return Body("application/json" if "*" in kind else kind, value)
    if is_lines(kind):
        return Body(kind, value)
    return Body(kind, text(value).encode() if is_text(kind) else base64.b64decode(value))


def is_json(media_type: str) -> bool:
    """Whether a media type, or a range of them, takes JSON."""
    return fnmatchcase("application/json", media_type) or media_type.endswith("+json")


def is_text(media_type: str) -> bool:
    """Whether a body is text that is sent as it is."""
    return media_type.startswith("text/") or media_type.endswith(("/xml", "+xml"))


def is_lines(media_type: str) -> bool:
    """Whether a body has one JSON value a line."""
    return media_type in ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")


def entries(name: str, value: Any, written: Written) -> list[Entry]:
    """A value in a query, a form or a cookie."""
    if written.media_type is not None:
        json_value = is_json(written.media_type.lower())
        return [Entry(name, value if json_value else text(value), is_json=json_value)]
    match value:
        case dict() if written.style == "deepObject":
            return [Entry(f"{name}[{key}]", text(part)) for key, part in value.items()]
        case dict() if written.explode:
            return [Entry(key, text(part)) for key, part in value.items()]
        case list() if written.explode:
            return [Entry(name, text(item)) for item in value]
        case dict() | list() if written.style in ("deepObject", "scalar"):
            raise Unspecified("a list in style deepObject, or a Swagger parameter that is no list")
        case dict() | list():
            flat, delimiter = tuple(_flat(value)), _DELIMITERS.get(written.style or "form")
            if delimiter and any(delimiter in part for part in flat):
                raise Unspecified("a delimiter within a value")
            # RFC 6570, 2.3: a list or object without members is undefined.
            return [Entry(name, delimiter.join(flat) if delimiter else flat)] if flat else []
        case _:
            return [Entry(name, text(value))]


def text(value: Any) -> str:
    """A scalar. Raises `Unspecified` for others, for which no style has a form."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int() | Decimal():
            return str(value)
        case _:
            raise Unspecified("null or nested values outside of JSON")


def _flat(value: Any) -> list[str]:
    """The parts of a list or object that is not exploded; a scalar is one part."""
    if isinstance(value, dict):
        return [part for key in value for part in (key, text(value[key]))]
    return [*map(text, value if isinstance(value, list) else [value])]


def _simple(value: Any, written: Written, encoded: Any) -> str:
    """Style simple, RFC 6570's `{name}` and `{name*}`; headers are not percent-encoded."""
    if written.media_type is not None:
        raise Unspecified("`content` outside of the query")
    if isinstance(value, dict) and written.explode:
        return ",".join(f"{encoded(key)}={encoded(text(part))}" for key, part in value.items())
    return ",".join(map(encoded, _flat(value)))


def _segments(parameter: Parameter, value: Any) -> list[str]:
    """The spellings of a path parameter. Version 3.0.3 shows a list in style label with dots, 3.1.1 with commas."""
    written, name = parameter.written, _encoded(parameter.name)
    if written.style not in ("label", "matrix"):
        return [_simple(value, written, _encoded)]
    prefix = "." if written.style == "label" else ";"
    if isinstance(value, dict) and written.explode:
        return ["".join(f"{prefix}{_encoded(key)}={_encoded(text(part))}" for key, part in value.items())]
    parts = [*map(_encoded, _flat(value))]
    if prefix == ".":
        return ["." + ".".join(parts)] if written.explode else ["." + ",".join(parts), "." + ".".join(parts)]
    named = [f";{name}={part}" if part else f";{name}" for part in parts]
    return ["".join(named)] if written.explode else [f";{name}={','.join(parts)}" if any(parts) else f";{name}"]


def _form_entries(name: str, value: Any, media: Media, kind: str) -> list[Entry]:
    """A property of a form or of a multipart body. Without a style, each item of a list is apart."""
    written = media.encoding.get(name, Written())
    if kind == FORM and written.style is not None:
        return entries(name, value, written)
    declared = written.media_type or ""
    media_type = None if not declared or "*" in declared or "," in declared else declared
    listed = []
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, (dict, list)) or (declared and is_json(declared.lower())):
            listed.append(Entry(name, item, is_json=True, media_type=media_type or "application/json"))
        else:
            listed.append(Entry(name, text(item), is_file=_is_file(media.schema, name), media_type=media_type))
    return listed


def _is_file(schema: Any, name: str) -> bool:
    part = schema.get("properties", {}).get(name, {}) if isinstance(schema, Mapping) else {}
    part = part.get("items", part) if isinstance(part, Mapping) else {}
    return isinstance(part, Mapping) and part.get("format") == "binary"


def _address(url: str) -> str:
    """Scheme, host and path in one spelling of percent-encodings, which keeps encoded delimiters apart from others."""
    split = urlsplit(url)
    pieces = re.split(r"((?:%[0-9A-Fa-f]{2})+)", split.path)
    path = "".join(quote(unquote(p), safe="") if n % 2 else quote(p, safe="/,;=") for n, p in enumerate(pieces))
    return f"{split.scheme}://{split.netloc}{path}"


def differences(
    expected: Expected, method: str, url: str, headers: Mapping[str, str], content: bytes | None
) -> list[str]:
    """What a server would read otherwise than predicted."""
    got = urlsplit(url)
    address = _address(url)
    lowered = {name.lower(): value for name, value in headers.items()}
    differing = [] if method == expected.method else [f"method {method}, not {expected.method}"]
    if address not in expected.paths:
        differing.append(f"path {address!r}, not {expected.paths[0]!r}")
    differing += _entry_differences("query", expected.query, _pairs(got.query))
    cookies = re.split("; *", lowered.pop("cookie", ""))
    differing += _entry_differences("cookie", expected.cookies, [c.partition("=")[::2] for c in cookies if c])
    for name in sorted((set(expected.headers) | set(lowered)) - _OWN_HEADERS):
        wanted, was = expected.headers.get(name, ""), lowered.get(name, "")
        if re.sub(", +", ",", wanted) != re.sub(", +", ",", was):
            differing.append(f"header {name}: {was!r}, not {wanted!r}")
    accepted = [item.partition(";")[0].strip() for item in lowered.get("accept", "*/*").split(",")]
    if refused := [a for a in expected.answers if not any(fnmatchcase(a, e) or fnmatchcase(e, a) for e in accepted)]:
        differing.append(f"header accept: {lowered.get('accept')!r} lacks {refused[0]!r}")
    return differing + _body_differences(expected, lowered.get("content-type", ""), content)


def _pairs(raw: str) -> list[tuple[str, str]]:
    return [(name, value) for pair in raw.split("&") if pair for name, _, value in [pair.partition("=")]]


def _entry_differences(place: str, expected: list[Entry], got: Iterable[tuple[str, str]]) -> list[str]:
    wanted: dict[str, list[Entry]] = defaultdict(list)
    raw: dict[str, list[str]] = defaultdict(list)
    for entry in expected:
        wanted[entry.name].append(entry)
    for name, value in got:
        raw[unquote_plus(name)].append(value)
    return [
        f"{place} {name}: {raw[name]!r}, not {[entry.value for entry in wanted[name]]!r}"
        for name in dict.fromkeys([*wanted, *raw])
        if len(wanted[name]) != len(raw[name]) or not all(map(_reads, wanted[name], raw[name]))
    ]


def _reads(entry: Entry, raw: str) -> bool:
    if entry.is_json:
        return not json_difference(entry.value, _json(unquote_plus(raw)))
    if isinstance(entry.value, tuple):
        return tuple(map(unquote_plus, raw.split(","))) == entry.value
    return bool(unquote_plus(raw) == entry.value)


def _body_differences(expected: Expected, content_type: str, content: bytes | None) -> list[str]:
    body, kind = expected.body, content_type.partition(";")[0].strip().lower()
    if body is None or content is None:
        same = content is None and (body is None or expected.body_may_lack)
        return [] if same else [f"body {(content or b'none')[:200]!r}, not {body}"]
    if kind != body.media_type:
        return [f"content type {content_type!r}, not {body.media_type!r}"]
    if kind == FORM:
        return _entry_differences("form", body.content, _pairs(content.decode()))
    if kind == MULTIPART:
        return _part_differences(body.content, content_type, content)
    if is_lines(kind):
        difference = json_difference(body.content, [_json(line) for line in content.decode().splitlines()])
    elif is_json(kind):
        difference = json_difference(body.content, _json(content.decode()))
    else:
        difference = "" if body.content == content else f"{content[:200]!r}, not {body.content[:200]!r}"
    return [f"body {difference}"] if difference else []


def _part_differences(expected: list[Entry], content_type: str, content: bytes) -> list[str]:
    message = email.message_from_bytes(f"content-type: {content_type}\r\n\r\n".encode() + content)
    got = [sent for sent in message.walk() if sent is not message]
    differing = [] if len(got) == len(expected) else [f"{len(got)} parts, not {len(expected)}"]
    # The order of names is free (Encoding Object); that of parts with one name is not.
    named = sorted(((str(sent.get_param("name", "", "content-disposition")), sent) for sent in got), key=itemgetter(0))
    for part, (name, sent) in zip(sorted(expected, key=attrgetter("name")), named, strict=False):
        payload: bytes = sent.get_payload(decode=True)  # type: ignore[assignment]  # these have no parts of their own
        text_sent = payload.decode(errors="replace")
        if name != part.name or json_difference(part.value, _json(text_sent) if part.is_json else text_sent):
            differing.append(f"part {name}: {payload[:200]!r}, not {part.name}: {part.value!r}")
        if part.media_type and sent.get_content_type() != part.media_type:
            differing.append(f"part {name}: type {sent.get_content_type()!r}, not {part.media_type!r}")
        if part.is_file and not sent.get_filename():
            differing.append(f"part {name}: no filename")
    return differing


def _json(raw: str) -> Any:
    try:
        return json.loads(raw, parse_float=Decimal, parse_int=Decimal)
    except ValueError:
        return _MISSING


def json_difference(one: Any, other: Any, place: str = "") -> str:
    """The first difference of members, types or digits of two values; empty if there is none."""
    pairs: Iterable[tuple[Any, tuple[Any, Any]]]
    if isinstance(one, dict) and isinstance(other, dict):
        pairs = ((key, (one.get(key, _MISSING), other.get(key, _MISSING))) for key in one | other)
    elif isinstance(one, list) and isinstance(other, list):
        pairs = enumerate(zip_longest(one, other, fillvalue=_MISSING))
    else:
        if isinstance(one, (int, Decimal)) and isinstance(other, Decimal) and not isinstance(one, bool):
            same = Decimal(one).as_tuple() == other.as_tuple()
        else:
            same = type(one) is type(other) and one == other
        return "" if same else f"{place or 'all of it'}: {str(other)[:200]!r}, not {str(one)[:200]!r}"
    return next(filter(None, (json_difference(*both, f"{place}/{key}") for key, both in pairs)), "")
