"""The smallest valid call of a tool, made from its JSON Schema (2020-12), for operators who try the tool by hand."""

from __future__ import annotations

import contextlib
import re
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count, islice
from math import ceil
from re import _parser as patterns  # type: ignore[attr-defined]  # hypothesis reads patterns in this way, too
from typing import Any, Final

from orchestrator.tools.openapi.schema import Schema, compile_schema

# Levels of nesting, the fewest first, so that a recursive schema gets a small value; and the schemas tried in all.
_LEVELS: Final = (2, 4, 8, 16, 32)
_MAX_ATTEMPTS: Final = 2_000
_TEXTS: Final[Mapping[str, str]] = {
    "date": "2026-01-31", "date-time": "2026-01-31T12:00:00Z", "time": "12:00:00Z", "duration": "P1D",
    "uuid": "00000000-0000-4000-8000-000000000000", "email": "name@example.com", "uri": "https://example.com/",
    "url": "https://example.com/", "hostname": "example.com", "ipv4": "192.0.2.1", "ipv6": "2001:db8::1",
    "byte": "dGV4dA==",
}  # fmt: skip
_CATEGORIES: Final = {"CATEGORY_DIGIT": "0", "CATEGORY_WORD": "a", "CATEGORY_SPACE": " ", "CATEGORY_NOT_SPACE": "a"}
_ANY: Final = ("string", "integer", "object", "array", "boolean", "null")
_KINDS: Final = {
    "object": {"properties", "required", "additionalProperties", "minProperties"},
    "array": {"items", "prefixItems", "minItems"},
    "number": {"minimum", "maximum", "multipleOf", "exclusiveMinimum", "exclusiveMaximum"},
}


def example_arguments(parameters: Schema) -> dict[str, Any] | None:
    """Arguments that satisfy a tool's schema: the required ones, with the values that the schema itself gives first.

    A body that is the only argument is among them, with a member or an item. None if no arguments were found, as with
    patterns that contradict each other.
    """
    for schema in (*_with_body(parameters), parameters):
        writer = _Writer(schema)
        for levels in _LEVELS:
            for value in writer.values(schema, levels):
                return value if isinstance(value, dict) else None
    return None


def _with_body(parameters: Schema) -> Iterator[Schema]:
    """The schema, if a body is the only argument, such that it is required and not empty."""
    match parameters.get("properties"):
        case {"body": dict() as body, **others} if not others:
            fuller = {"minProperties": 1, "minItems": 1}
            # Of an untyped schema these keywords would decide the type.
            body = {**fuller, **body} if "type" in body else body
            yield {**parameters, "properties": {"body": body}, "required": ["body"]}


class _Writer:
    def __init__(self, root: Schema) -> None:
        self._root = root
        self._attempts = 0

    def values(self, schema: Any, levels: int) -> Iterator[Any]:
        """Valid values, the best first."""
        if schema is True:
            schema = {}
        self._attempts += 1
        if not isinstance(schema, dict) or levels == 0 or self._attempts > _MAX_ATTEMPTS:
            return
        validator = compile_schema({**schema, "$defs": self._root.get("$defs", {})}, "#")
        for value in self._candidates(schema, levels):
            if validator.is_valid(value):
                yield value

    def _candidates(self, schema: Schema, levels: int) -> Iterator[Any]:
        yield from (schema[key] for key in ("const", "default", "example") if key in schema)
        yield from (*_listed(schema, "examples"), *_listed(schema, "enum"))
        if isinstance(target := schema.get("$ref"), str):
            named = self._root.get("$defs", {}).get(target.removeprefix("#/$defs/"))
            yield from self._candidates(_merged([named, schema], "$ref"), levels - 1) if levels > 1 else ()
            return
        if "allOf" in schema:
            yield from self._candidates(_merged([*schema["allOf"], schema], "allOf"), levels)
            return
        for key in ("oneOf", "anyOf"):
            if key in schema:
                for branch in schema[key]:
                    yield from self._candidates(_merged([branch, schema], key), levels)
                return
        for kind in _kinds(schema):
            match kind:
                case "object":
                    yield self._object(schema, levels)
                case "array":
                    yield self._array(schema, levels)
                case "string":
                    yield from _texts(schema)
                case "integer" | "number":
                    yield from _numbers(schema, kind)
                case "boolean":
                    yield from (True, False)
                case _:
                    yield None

    def _object(self, schema: Schema, levels: int) -> dict[str, Any]:
        properties = schema.get("properties", {})
        required = list(dict.fromkeys(schema.get("required", ())))
        members: dict[str, Any] = {}
        free = (f"key_{number}" for number in count(1))
        for name in [*required, *(name for name in properties if name not in required), *islice(free, 8)]:
            if name not in required and len(members) >= schema.get("minProperties", 0):
                break
            member = properties.get(name, schema.get("additionalProperties", {}))
            members.update((name, value) for value in islice(self.values(member, levels - 1), 1))
        return members

    def _array(self, schema: Schema, levels: int) -> list[Any]:
        items: list[Any] = []
        prefix = list(schema.get("prefixItems", ()))
        for position in range(min(schema.get("minItems", 0) or int("contains" in schema), 64)):
            item = prefix[position] if position < len(prefix) else schema.get("contains", schema.get("items", {}))
            other = (value for value in islice(self.values(item, levels - 1), 20) if value not in items)
            items += list(islice(other, 1)) or items[-1:]
        return items


def _kinds(schema: Schema) -> Sequence[str]:
    """The types, null last. A schema without one gets those that its keywords are about, else any."""
    kinds = schema.get("type")
    if isinstance(kinds, str):
        return [kinds]
    if isinstance(kinds, list):
        return sorted(kinds, key=lambda kind: kind == "null")
    return [kind for kind, keywords in _KINDS.items() if keywords & set(schema)] or list(_ANY)


def _merged(parts: Sequence[Any], key: str) -> Schema:
    """The keywords of all parts, without `key` of the last one; later ones win, and members are joined."""
    merged: Schema = {}
    for part in parts:
        if isinstance(part, dict):
            own = {name: value for name, value in part.items() if name != key or part is not parts[-1]}
            properties = {**merged.get("properties", {}), **own.get("properties", {})}
            required = [*merged.get("required", ()), *own.get("required", ())]
            merged |= own
            merged |= ({"properties": properties} if properties else {}) | ({"required": required} if required else {})
    return merged


def _listed(schema: Schema, key: str) -> list[Any]:
    return schema[key] if isinstance(schema.get(key), list) else []


def _numbers(schema: Schema, kind: str) -> Iterator[int | float]:
    lowest: Any = schema.get("minimum", schema.get("exclusiveMinimum", 1))
    highest: Any = schema.get("maximum", schema.get("exclusiveMaximum", lowest))
    step: Any = schema.get("multipleOf", 1)
    for start in (1, lowest, lowest + step, highest, highest - step, lowest + (highest - lowest) // 2, *range(2, 9)):
        with contextlib.suppress(ArithmeticError):
            near = ceil(start / step) * step
            yield from (near, near - step) if kind == "integer" or step != 1 else (start, near)


def _texts(schema: Schema) -> Iterator[str]:
    fewest, most = schema.get("minLength", 0), schema.get("maxLength")
    known = _TEXTS.get(schema.get("format", ""), "text")
    yield from (text.ljust(fewest, "x")[:most] for text in (known, *(f"{known}{number}" for number in range(2, 9))))
    if "pattern" in schema:
        yield from _TEXTS.values()
        # Patterns of another notation than Python's have no texts.
        with contextlib.suppress(re.error, ValueError, OverflowError, RecursionError):
            parsed = patterns.parse(schema["pattern"])
            yield from ("".join(_matching(parsed, more)) for more in (0, 1, 2, 4, 8, 16, 32))


def _matching(parsed: Iterable[Any], more: int) -> Iterator[str]:
    """The pieces of a text that a pattern probably matches, with `more` repetitions than necessary."""
    for operator, argument in parsed:
        match str(operator), argument:
            case "LITERAL", int():
                yield chr(argument)
            case "NOT_LITERAL" | "ANY", _:
                yield "b" if argument == ord("a") else "a"
            case "IN", list():
                yield _member(argument)
            case "SUBPATTERN", (_, _, _, inner):
                yield from _matching(inner, more)
            case "BRANCH", (_, list() as branches):
                yield from _matching(branches[more % len(branches)], more)
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT", (lowest, highest, inner):
                for _ in range(min(lowest + more, int(highest), 256)):
                    yield from _matching(inner, more)


def _member(members: Sequence[Any]) -> str:
    """A character of a class, or one that a negated class does not list."""
    listed = [
        _CATEGORIES.get(str(item), "-")
        if str(operator) == "CATEGORY"
        else chr(item[0] if "RANGE" in str(operator) else item)
        for operator, item in members
        if str(operator) != "NEGATE"
    ]
    if str(members[0][0]) != "NEGATE":
        return listed[0]
    return next((character for character in f"a0A-_ {string.printable}" if character not in listed), "é")
