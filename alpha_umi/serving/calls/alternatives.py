"""A JSON Schema as alternatives of one type each, which a grammar can write.

References and `allOf` are joined, `anyOf` and `oneOf` become alternatives, also beside other keywords. The result never
excludes a valid value, but it may allow more: keywords that are left out (`not`, `contains`, `uniqueItems`, conditions
and others), and what would need too many alternatives. The full schema is checked afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from alpha_umi.contract.schema_references import ToolSchemaError, resolve

MAX_ALTERNATIVES = 64
MAX_PARTS = 50_000
MAX_CHAIN = 32

Schema = dict[str, Any]

TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")
# The keywords of each type that grammars use.
_KEYWORDS = {
    "object": ("properties", "required", "additionalProperties", "patternProperties"),
    "array": ("prefixItems", "items", "minItems", "maxItems"),
    "string": ("minLength", "maxLength", "pattern", "format"),
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
}
_USED = frozenset(("type", "enum")).union(*_KEYWORDS.values())
_LARGEST = frozenset(("minimum", "exclusiveMinimum", "minLength", "minItems"))
_SMALLEST = frozenset(("maximum", "exclusiveMaximum", "maxLength", "maxItems"))


class TooLarge(Exception):
    """The schema has too many parts once its references are joined."""


class Reader:
    """Reads the parts of one tool's schema; notes in `loosened` if there were too many alternatives."""

    def __init__(self, root: Mapping[str, Any], loosened: set[str]) -> None:
        self._root = root
        self._loosened = loosened
        # Up to draft 7, keywords beside a `$ref` are ignored.
        self._legacy = any(f"draft-0{number}" in str(root.get("$schema")) for number in (4, 6, 7))
        self._parts_read = 0

    def alternatives(self, schema: Any) -> list[Schema]:
        """The alternatives of a schema; none if it allows nothing. Raises `TooLarge`."""
        return list({_key(each): each for joined in self._joined(schema, 0) for each in _typed(joined)}.values())

    def options(self, schema: Any) -> Sequence[Any] | None:
        """The branches of a schema that consists of `anyOf` or `oneOf` alone, or of a reference; else None."""
        if not isinstance(schema, Mapping) or schema.keys() & _USED or "allOf" in schema or "const" in schema:
            return None
        branches = [schema[keyword] for keyword in ("anyOf", "oneOf") if keyword in schema]
        if "$ref" in schema:
            return None if branches else [self._target(schema["$ref"])]
        return branches[0] if len(branches) == 1 else None

    def _target(self, reference: Any) -> Any:
        try:
            return resolve(self._root, str(reference), "")
        except ToolSchemaError:
            return True

    def _joined(self, schema: Any, depth: int) -> list[Schema]:
        """Joined alternatives; each may still have several types."""
        joined: list[Schema] = [{}]
        for branches in self._alternatives_of_parts(schema, depth):
            product = [both for one in joined for other in branches if (both := join(one, other)) is not None]
            if len(product) <= MAX_ALTERNATIVES:
                joined = product
            else:
                self._loosened.add("alternatives")
        return joined

    def _alternatives_of_parts(self, schema: Any, depth: int) -> Iterator[list[Schema]]:
        """The alternatives of each part that applies to the same value."""
        self._parts_read += 1
        if self._parts_read > MAX_PARTS:
            raise TooLarge
        if schema is False:
            yield []
        if not isinstance(schema, Mapping) or depth > MAX_CHAIN:
            return
        yield [_own_keywords({} if self._legacy and "$ref" in schema else schema)]
        if "$ref" in schema:
            yield from self._alternatives_of_parts(self._target(schema["$ref"]), depth + 1)
            if self._legacy:
                return
        for branch in schema.get("allOf", ()):
            yield from self._alternatives_of_parts(branch, depth + 1)
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                yield [each for branch in schema[keyword] for each in self._joined(branch, depth + 1)]


def _own_keywords(schema: Mapping[str, Any]) -> Schema:
    """The keywords that grammars use, in the form of draft 2020-12."""
    own = {key: value for key, value in schema.items() if key in _USED and not isinstance(value, bool | None)}
    own |= {key: schema[key] for key in ("items", "additionalProperties") if isinstance(schema.get(key), bool)}
    if isinstance(own.get("items"), list):
        own["prefixItems"] = own.pop("items")
        if "additionalItems" in schema:
            own["items"] = schema["additionalItems"]
    if isinstance(own.get("type"), str):
        own["type"] = [own["type"]]
    if "const" in schema:
        own["enum"] = [value for value in own.get("enum", [schema["const"]]) if _key(value) == _key(schema["const"])]
    return own


def _typed(schema: Schema) -> Iterator[Schema]:
    """One alternative for each type, or for the listed values."""
    types = schema.get("type", TYPES)
    if "enum" in schema:
        listed = [value for value in schema["enum"] if any(_is_a(value, kind) for kind in types)]
        if listed:
            yield {"enum": listed}
        return
    if not schema:
        yield {}
        return
    for kind in types:
        if kind != "integer" or "number" not in types:
            yield {"type": kind} | {key: schema[key] for key in _KEYWORDS.get(kind, ()) if key in schema}


def _is_a(value: Any, kind: str) -> bool:
    match value:
        case None:
            return kind == "null"
        case bool():
            return kind == "boolean"
        case str():
            return kind == "string"
        case list():
            return kind == "array"
        case dict():
            return kind == "object"
        case _:
            return kind == "number" or (kind == "integer" and value == int(value))


def _key(value: Any) -> str:
    """The same text for the same JSON value, except that 1.0 inside a list or object differs from 1."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return _encode(value)


_encode = json.JSONEncoder(sort_keys=True).encode


def join(first: Schema, second: Schema) -> Schema | None:
    """What satisfies both, or None if nothing can."""
    joined = {**first, **second}
    for key in (first.keys() & second.keys()) - _OBJECT_KEYWORDS:
        joined[key] = _both(key, first[key], second[key])
        if key in ("type", "enum") and not joined[key]:
            return None
    if first.keys() & _OBJECT_KEYWORDS and second.keys() & _OBJECT_KEYWORDS:
        joined |= _join_members(first, second)
    return joined


_OBJECT_KEYWORDS = frozenset(("properties", "patternProperties", "additionalProperties"))


def _both(key: str, first: Any, second: Any) -> Any:
    if key == "required":
        return list(dict.fromkeys([*first, *second]))
    if key == "enum":
        allowed = {_key(value) for value in second}
        return [value for value in first if _key(value) in allowed]
    if key == "type":
        integers = ["integer"] if "number" in first and "integer" in second else []
        return [kind for kind in first if kind in second or (kind == "integer" and "number" in second)] + [
            kind for kind in integers if kind not in first
        ]
    if key == "items":
        return _all_of(first, second)
    if key == "prefixItems":
        return [_all_of(one, other) for one, other in zip_longest(first, second, fillvalue=True)]
    if key in _LARGEST:
        return max(first, second)
    # Of two patterns or formats, the first.
    return min(first, second) if key in _SMALLEST else first


def _join_members(first: Schema, second: Schema) -> Schema:
    ones, others = first.get("properties", {}), second.get("properties", {})
    names = dict.fromkeys([*ones, *others])
    joined: Schema = {
        "properties": {name: _all_of(_member(first, name), _member(second, name)) for name in names},
    }
    if "additionalProperties" in first or "additionalProperties" in second:
        joined["additionalProperties"] = _all_of(
            first.get("additionalProperties", True), second.get("additionalProperties", True)
        )
    patterns = [*first.get("patternProperties", {}).items(), *second.get("patternProperties", {}).items()]
    if patterns:
        # A name may match a pattern of one and be additional in the other, so nothing is excluded.
        joined["patternProperties"] = {pattern: True for pattern, _ in patterns}
    return joined


def _member(schema: Schema, name: str) -> Any:
    """The schema of a member that may be declared."""
    if name in schema.get("properties", {}):
        return schema["properties"][name]
    return True if "patternProperties" in schema else schema.get("additionalProperties", True)


def _all_of(first: Any, second: Any) -> Any:
    if first is False or second is False:
        return False
    if first is True or first == second:
        return second
    return first if second is True else {"allOf": [first, second]}
