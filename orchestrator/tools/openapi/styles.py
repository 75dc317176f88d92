"""Writes one value outside JSON, by the kind of the value and the style of its parameter.

Sources: OpenAPI 3.1.1, Style Values and Appendix E; RFC 6570. A list or an object without members is undefined and not
sent. What a style cannot write so that it can be read back is refused: null and nested values (except in
`deepObject`, in the usual brackets), and items that hold the delimiter where encoding does not hide it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, Final
from urllib.parse import quote, quote_plus

from orchestrator.tools.errors import ArgumentError
from orchestrator.tools.numbers import WrittenNumber, write_json
from orchestrator.tools.openapi.operation import Style
from orchestrator.tools.openapi.servers import has_dot_segment

_DELIMITERS: Final = {"spaceDelimited": " ", "pipeDelimited": "|"}
# Reserved characters that neither end a query nor mean something in it.
_RESERVED: Final = "/?:@!$'()*,;="
# What a cookie may hold (RFC 6265, 4.1.1) without `%` and the `&` of the style; servers differ in whether they decode.
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]")
# With `allowReserved`, what is encoded already stays as it is.
_TRIPLE: Final = re.compile(r"(%[0-9A-Fa-f]{2})")
_COOKIE: Final = "!#$'()*+-./:<=>?@[]^_`{|}~"


@dataclass(frozen=True)
class Value:
    """A value to write, the name that it travels under, and the argument to name in errors."""

    argument: str
    name: str
    content: Any
    style: Style

    def content_text(self, item: Any) -> str:
        """The text of an item without a style: JSON for objects and lists."""
        return write_json(item) if isinstance(item, Mapping | list) else self.text(item)

    def text(self, item: Any) -> str:
        """A scalar as text. Integral numbers of integer parameters have no fraction, as validators accept 5.0 for 5."""
        match item:
            case str():
                return item
            case bool():
                return "true" if item else "false"
            case WrittenNumber() if not (self.style.integers and item.is_integer()):
                return item.text
            case WrittenNumber():
                return str(int(Decimal(item.text)))
            case float() if item.is_integer():
                return str(int(item))
            case int() | float():
                return json.dumps(item)
            case None:
                raise ArgumentError(self.argument, "holds null, which cannot be written here; leave it out")
            case _:
                raise ArgumentError(
                    self.argument,
                    f"holds a list or an object where the style {self.style.name!r} has no form for it; "
                    "give text, a number, true or false",
                )


def query_pairs(value: Value) -> list[str]:
    """The encoded `name=value` pairs of a query, or of a form whose property has a style."""
    style = value.style
    if not style.allow_reserved:
        return _pairs(value, lambda text: quote(text, safe=""))
    # A comma stays readable only where it does not separate items.
    safe = _RESERVED if style.explode else _RESERVED.replace(",", "")
    return _pairs(value, lambda text: "".join(map(partial(_unless_triple, safe), _TRIPLE.split(text))))


def cookie_pairs(value: Value) -> list[str]:
    """The `name=value` pairs of the Cookie header."""
    return _pairs(value, lambda text: quote(text, safe=_COOKIE))


def form_pairs(value: Value) -> list[str]:
    """The pairs of a property of an urlencoded form."""
    if value.style.name == "content":
        items = value.content if isinstance(value.content, list) else [value.content]
        return [f"{quote_plus(value.name)}={quote_plus(value.content_text(item))}" for item in items]
    return query_pairs(value)


def path_text(value: Value) -> str:
    """The encoded text for a placeholder of a path. Raises `ArgumentError` for what would change the path."""

    def encoded(text: str) -> str:
        if not text or has_dot_segment(text):
            raise ArgumentError(value.argument, "is part of the address and must not be empty, `.` or `..`")
        if separator in text and separator == "." and isinstance(value.content, Mapping | list):
            raise ArgumentError(value.argument, "is separated by dots, so no item may hold one")
        return quote(text, safe="")

    style, name = value.style, quote(value.name, safe="")
    separator = {"label": ".", "matrix": ";"}.get(style.name, ",") if style.explode else ","
    items = _items(value, encoded)
    if not items:
        raise ArgumentError(value.argument, "is part of the address and must not be empty")
    match style.name:
        case "matrix" if style.explode and isinstance(value.content, Mapping):
            return "".join(f";{item}" for item in items)
        case "matrix" if style.explode:
            return "".join(f";{name}={item}" for item in items)
        case "matrix":
            return f";{name}={','.join(items)}"
        case "label":
            return f".{separator.join(items)}"
        case _:
            return ",".join(items)


def header_text(value: Value) -> str:
    """The value of a header, which is not encoded. Raises `ArgumentError` unless it is printable ASCII."""

    def checked(text: str) -> str:
        if "," in text and isinstance(value.content, Mapping | list):
            raise ArgumentError(value.argument, "is separated by commas, so no item may hold one")
        return text

    if value.style.name == "json":
        # Only texts hold such characters, and JSON can escape them there.
        return _NOT_ASCII.sub(lambda match: json.dumps(match[0])[1:-1], write_json(value.content))
    text = ",".join(_items(value, checked))
    if not (text.isascii() and text.isprintable() and text == text.strip()):
        raise ArgumentError(value.argument, "is sent as a header and must be printable ASCII without outer spaces")
    return text


def refuse_taken_names(value: Value, taken: Collection[str]) -> None:
    """Raises `ArgumentError` if members that travel under their own names take those of other parameters."""
    if isinstance(value.content, Mapping) and value.style.explode and value.style.name not in ("deepObject", "json"):
        for name in value.content:
            if name in taken:
                raise ArgumentError(value.argument, f"holds {name[:200]!r}, which is another parameter's name")


def _pairs(value: Value, encoded: Callable[[str], str]) -> list[str]:
    style, content = value.style, value.content
    match content:
        case _ if style.name == "json":
            pairs = [(value.name, encoded(write_json(content)))]
        case Mapping() | list() if style.name == "deepObject":
            pairs = [(name, encoded(value.text(leaf))) for name, leaf in _leaves(value.name, content)]
        case Mapping() if style.explode:
            pairs = [(name, encoded(value.text(item))) for name, item in content.items()]
        case list() if style.explode:
            pairs = [(value.name, encoded(value.text(item))) for item in content]
        case Mapping() | list():
            pairs = [(value.name, _delimited(value, encoded))] if content else []
        case _:
            pairs = [(value.name, encoded(value.text(content)))]
    return [f"{quote(name, safe='')}={text}" for name, text in pairs]


def _delimited(value: Value, encoded: Callable[[str], str]) -> str:
    """The items without explode. Encoding hides a comma in an item, but neither a space nor a pipe."""
    delimiter = _DELIMITERS.get(value.style.name, ",")

    def checked(text: str) -> str:
        if delimiter != "," and delimiter in text:
            raise ArgumentError(value.argument, f"is separated by {delimiter!r}, so no item may hold one")
        return encoded(text)

    return (delimiter if delimiter == "," else quote(delimiter)).join(_items(value, checked))


def _items(value: Value, encoded: Callable[[str], str]) -> list[str]:
    """The encoded items of a list, members of an object (`name=item` with explode) or the one scalar."""
    match value.content:
        case content if value.style.name == "json":
            return [encoded(write_json(content))]
        case Mapping() as members if value.style.explode:
            return [f"{encoded(name)}={encoded(value.text(item))}" for name, item in members.items()]
        case Mapping() as members:
            return [encoded(text) for name, item in members.items() for text in (name, value.text(item))]
        case list() as items:
            return [encoded(value.text(item)) for item in items]
        case scalar:
            return [encoded(value.text(scalar))]


def _leaves(name: str, content: Any) -> Iterator[tuple[str, Any]]:
    """The scalars of nested objects and lists, under the names that servers read: `a[b][c]`, `a[0]`."""
    match content:
        case Mapping():
            for key, item in content.items():
                yield from _leaves(f"{name}[{key}]", item)
        case list():
            for index, item in enumerate(content):
                yield from _leaves(f"{name}[{index}]", item)
        case _:
            yield name, content


def _unless_triple(safe: str, text: str) -> str:
    return text if _TRIPLE.fullmatch(text) else quote(text, safe=safe)
