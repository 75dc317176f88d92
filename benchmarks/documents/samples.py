"""Sample values of JSON Schemas (2020-12): with the required members only, with all of them, and at the edges.

Numbers are `Decimal` or `int`, so that their digits are known. What the generator cannot express is left to the
validator: a sample that the schema refuses is dropped.
"""

from __future__ import annotations

import contextlib
import functools
import json
import random
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, Literal

import jsonschema_rs
from hypothesis import HealthCheck, given, settings, strategies
from hypothesis.errors import HypothesisException

from benchmarks.documents.reading import Json

Kind = Literal["minimal", "full", "edge"]

TRIES: Final = 4
PARTS: Final = 250
RECURSION: Final = 3
LONG: Final = 4 * "0a1b2c3d4e5f6789"
EDGE_TEXTS: Final = (
    "Zoë 说 🙂", "a/b?c=d&e+f%20g#h;i:j@k", "123e4567-e89b-12d3-a456-426614174000", LONG, 'two\nlines, "quoted" \\ end',
    " spaced ", "-", "[x]|{y}", "it's 100 % & more", "null", "0012",
)  # fmt: skip
EDGE_NUMBERS: Final = tuple(
    map(Decimal, ("1.10", "1E-12", "12345678901234567890.125", "-0.5", "2.5E+3", "59.91386881"))
)
EDGE_INTEGERS: Final = (9007199254740993, -1, 0, 12345678901234567890, 7)
FORMATS: Final = {
    "uuid": "123e4567-e89b-12d3-a456-426614174000",
    "date": "2026-11-30",
    "date-time": "2026-11-30T08:15:00.250Z",
    "time": "08:15:00Z",
    "duration": "P1DT2H",
    "email": "ann.lee+x@mail.example.org",
    "uri": "https://example.org/a?b=c&d=%20e#f",
    "url": "https://example.org/a?b=c&d=%20e#f",
    "hostname": "host.example.org",
    "ipv4": "192.0.2.7",
    "ipv6": "2001:db8::7",
    "byte": "SGVsbG8sIHdvcmxkIQ==",
}
_BOUNDS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")


class NoSample(Exception):
    """This generator writes no value for the schema here."""


class Samples:
    """Values of one schema, whose `$defs` hold what it refers to. The same seed gives the same values."""

    def __init__(self, schema: Json, seed: str) -> None:
        self.schema = schema
        # JSON Schema leaves formats to the application, so a value of another format is not invalid.
        self.validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=False)
        self._with_formats = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
        self._rng = random.Random(seed)  # noqa: S311 - nothing to guess
        self._kind: Kind = "minimal"
        self._parts = 0
        self._active: list[str] = []

    def some(self, kind: Kind) -> Any:
        """A valid value. Raises `NoSample` after some tries."""
        self._kind = kind
        for _ in range(TRIES):
            self._parts, self._active = PARTS, []
            value = self._value(self.schema)
            if self._with_formats.is_valid(value):
                return value
        raise NoSample("no value satisfied the schema")

    def _value(self, schema: Any) -> Any:
        self._parts -= 1
        depth = len(self._active)
        try:
            merged = self._merged(schema)
            if "const" in merged:
                return exact(merged["const"])
            if "enum" in merged:
                return exact(self._rng.choice(merged["enum"]))
            return self._of_type(self._type(merged), merged)
        finally:
            del self._active[depth:]

    def _merged(self, schema: Any) -> Json:
        """The keywords of the schema, its references, `allOf` and one branch of each choice, together."""
        if schema is True:
            return {}
        if not isinstance(schema, Mapping):
            raise NoSample("nothing is valid here")
        merged = {k: v for k, v in schema.items() if k not in ("$ref", "allOf", "anyOf", "oneOf", "$defs")}
        if isinstance(target := schema.get("$ref"), str):
            if self._active.count(target) >= RECURSION:
                raise NoSample("the recursion is deep enough")
            self._active.append(target)
            merged = _both(merged, self._merged(self.schema["$defs"][target.removeprefix("#/$defs/")]))
        for part in schema.get("allOf", ()):
            merged = _both(merged, self._merged(part))
        for choice in ("anyOf", "oneOf"):
            if branches := schema.get(choice):
                merged = _both(merged, self._branch(branches))
        return merged

    def _branch(self, branches: list[Any]) -> Json:
        order = self._rng.sample(branches, len(branches))
        for branch in sorted(order, key=lambda b: b == {"type": "null"}) if self._kind != "edge" else order:
            depth = len(self._active)
            try:
                return self._merged(branch)
            except NoSample:
                del self._active[depth:]
        raise NoSample("no branch has a value")

    def _type(self, schema: Json) -> str:
        kinds = schema.get("type")
        if isinstance(kinds, str):
            return kinds
        if isinstance(kinds, list) and kinds:
            return str(self._rng.choice(kinds) if self._kind == "edge" else kinds[0])
        if "properties" in schema or "required" in schema or "additionalProperties" in schema:
            return "object"
        if "items" in schema or "prefixItems" in schema:
            return "array"
        if any(key in schema for key in ("minimum", "maximum", "multipleOf")):
            return "number"
        if self._kind != "edge" or any(key in schema for key in ("pattern", "minLength", "format")):
            return "string"
        return self._rng.choice(["string", "number", "boolean", "object", "array"] if self._parts > 0 else ["string"])

    def _of_type(self, kind: str, schema: Json) -> Any:
        match kind:
            case "null":
                return None
            case "boolean":
                return self._rng.random() < 0.5
            case "integer" | "number":
                return self._number(kind, schema)
            case "string":
                return self._text(schema)
            case "array":
                return self._array(schema)
            case "object":
                return self._object(schema)
        raise NoSample(f"there is no type {kind!r}")

    def _number(self, kind: str, schema: Json) -> int | Decimal:
        bounds = {key: value for key, value in schema.items() if key in _BOUNDS}
        numbers: list[int | Decimal] = [7, 1, 0, 12, 100, 1000, 2_000_000]
        if self._kind == "edge":
            numbers += EDGE_INTEGERS[1:] if schema.get("format") == "int32" else EDGE_INTEGERS * 2
            numbers += EDGE_NUMBERS * 3
        numbers += [exact(value) + more for value in bounds.values() for more in (0, 1, -1)]
        validator = jsonschema_rs.Draft202012Validator({"type": kind, **bounds})
        fitting = [n for n in numbers if (kind == "number" or isinstance(n, int)) and validator.is_valid(n)]
        if not fitting:
            raise NoSample("no number fits")
        return self._rng.choice(fitting) if self._kind == "edge" else fitting[0]

    def _text(self, schema: Json) -> str:
        least, most = schema.get("minLength", 0), schema.get("maxLength", 10_000)
        usual, pattern = FORMATS.get(schema.get("format", ""), ""), schema.get("pattern", "")
        texts = [text for text in from_pattern(pattern) if least <= len(text) <= most] if pattern else []
        if usual and least <= len(usual) <= most and re.search(pattern, usual):
            return usual
        if texts:
            return self._rng.choice(texts)
        if pattern:
            raise NoSample("no text fits the pattern")
        text = self._rng.choice(EDGE_TEXTS) if self._kind == "edge" else "some text" if self._kind == "full" else "a"
        return str((text + max(0, least - len(text)) * "z")[:most])

    def _array(self, schema: Json) -> list[Any]:
        least, most = schema.get("minItems", 0), schema.get("maxItems", 4)
        wanted = {"minimal": 1, "full": 2, "edge": self._rng.choice([0, 1, 3])}[self._kind]
        prefix = schema.get("prefixItems", [])
        items: list[Any] = []
        for position in range(max(least, min(wanted, most))):
            if position >= least and self._parts <= 0:
                break
            try:
                item = self._value(prefix[position] if position < len(prefix) else schema.get("items", True))
            except NoSample:
                if position < least:
                    raise
                break
            if not (schema.get("uniqueItems") and item in items):
                items.append(item)
        return items

    def _object(self, schema: Json) -> Json:
        properties, required = schema.get("properties", {}), schema.get("required", [])
        free = schema.get("additionalProperties", not properties)
        value: Json = {name: self._value(properties.get(name, free or True)) for name in required}
        optional = [(name, part) for name, part in properties.items() if name not in value]
        patterns = schema.get("patternProperties", {})
        optional += [(self._rng.choice(from_pattern(pattern)), part) for pattern, part in patterns.items()]
        if free is not False and self._kind == "edge":
            optional += [("x-más.1", free), ("key two", free)]
        for name, part in optional:
            if self._parts > 0 and (self._kind == "full" or (self._kind == "edge" and self._rng.random() < 0.6)):
                with contextlib.suppress(NoSample):
                    value[name] = self._value(part)
        for name in ("first", "second")[: max(0, schema.get("minProperties", 0) - len(value)) if free else 0]:
            value[name] = self._value(free)
        return value


def _both(one: Json, other: Json) -> Json:
    """The keywords of two schemas that must both hold, as far as a generator needs them."""
    merged = {**other, **one}
    for key in set(one) & set(other):
        match key:
            case "properties":
                merged[key] = {**other[key], **one[key]} | {
                    name: {"allOf": [one[key][name], other[key][name]]} for name in one[key] if name in other[key]
                }
            case "required":
                merged[key] = [*one[key], *other[key]]
            case "enum":
                merged[key] = [value for value in one[key] if value in other[key]] or one[key]
            case "type":
                kinds = [[k] if isinstance(k, str) else k for k in (one[key], other[key])]
                merged[key] = [kind for kind in kinds[0] if kind in kinds[1]] or one[key]
            case "additionalProperties" if other[key] is False:
                merged[key] = False
    return merged


def exact(value: Any) -> Any:
    """A value of a document with its numbers as `Decimal` or `int`."""
    return json.loads(json.dumps(value), parse_float=Decimal)


def written(value: Any, *, rng: random.Random | None = None, indent: int | None = None) -> str:
    """A sample as JSON text: digits as they are, characters not escaped, members in any order if `rng` is given."""
    numbers: list[str] = []

    def marked(part: Any) -> Any:
        if isinstance(part, Decimal):
            numbers.append(str(part))
            return f"\0{len(numbers) - 1}\0"
        if isinstance(part, dict):
            return {name: marked(part[name]) for name in (rng.sample(list(part), len(part)) if rng else part)}
        return [marked(item) for item in part] if isinstance(part, list) else part

    text = json.dumps(marked(value), ensure_ascii=False, indent=indent)
    return re.sub(r'"\\u0000(\d+)\\u0000"', lambda match: numbers[int(match[1])], text)


@functools.cache
def from_pattern(pattern: str) -> tuple[str, ...]:
    """Some texts of printable ASCII that match a regular expression. Raises `NoSample` if it is not Python's, too."""
    texts: list[str] = []

    @settings(max_examples=20, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(strategies.from_regex(pattern, alphabet=strategies.characters(min_codepoint=32, max_codepoint=126)))
    def collect(text: str) -> None:
        texts.append(text)

    try:
        collect()
    except (re.error, HypothesisException) as error:
        raise NoSample(f"no text matches the pattern: {error}") from None
    # `$` matches before a last line feed in Python alone.
    return tuple(text for text in texts if not text.endswith("\n"))
