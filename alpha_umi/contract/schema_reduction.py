"""Reduce a JSON Schema to the bounded subset that grammars support.

References are inlined, `allOf` is merged, and nodes are counted. Keywords that a grammar cannot enforce (`pattern`,
`format`, conditionals, open maps) are dropped, because every call is validated against the full schema afterwards. The
subset:

    {"type": "object", "properties": {...}, "required": [...], "additionalProperties": false}
    {"type": "array", "items": ..., "minItems"?, "maxItems"?}    {"type": "array", "prefixItems": [...]}
    {"type": "string", "minLength"?, "maxLength"?}    {"type": "boolean"}    {"type": "null"}
    {"type": "integer" | "number", bounds on both sides}    {"enum": [...]}    {"anyOf": [...]}
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import jsonschema_rs

from alpha_umi.contract.schema_references import ToolSchemaError, resolve, step

MAX_DEPTH = 8
MAX_NODES = 2_000
MAX_PROPERTIES = 128
# Enough for the names of all time zones.
MAX_ENUM = 1_000
VALUES_A_NODE = 8
MAX_DIGITS = 15
MAX_NUMBER = 10**MAX_DIGITS - 1
# Identifiers use all 64 bits; a smaller bound would exclude some.
MAX_INTEGER = 2**63 - 1

Schema = dict[str, Any]

_SCALAR: tuple[Schema, ...] = (
    {"type": "string"},
    {"type": "number", "minimum": -MAX_NUMBER, "maximum": MAX_NUMBER},
    {"type": "boolean"},
)
# Keywords by which a listed value can be validated alone.
_VALUE_KEYWORDS = frozenset(("type", "enum", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")) | {
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
}
_LATEST = {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"}
_EARLIEST = {"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"}


def reduce_schema(schema: Mapping[str, Any]) -> Schema:
    """The reduced form of a schema that `check_schema` accepts.

    Raises `ToolSchemaError`: too deep, too large once its references are inlined, contradictory, not of type object.
    """
    if schema.get("type", "object") != "object":
        raise ToolSchemaError(
            f"it is of type {schema['type']!r}", pointer="/type", remedy="arguments are an object: use type object"
        )
    reduced = _Reduction(schema).reduce({**schema, "type": "object"}, "", 0)
    if any(option.get("type") != "object" for option in reduced.get("anyOf", [reduced])):
        raise ToolSchemaError("it allows something else than an object", remedy="use type object with properties")
    return reduced


class _Reduction:
    """One walk over a schema, which counts its nodes."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._nodes = 0

    def reduce(self, schema: Any, pointer: str, depth: int) -> Schema:
        """Reduce one schema."""
        if depth > MAX_DEPTH:
            raise ToolSchemaError(f"it is nested deeper than {MAX_DEPTH}", pointer=pointer, remedy="nest less")
        return self._plain(_joined(list(self._parts(schema, pointer))), pointer, depth)

    def _count(self, nodes: int, pointer: str) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise ToolSchemaError(
                f"it unfolds into more than {MAX_NODES} parts", pointer=pointer, remedy="repeat less, nest less"
            )

    def _parts(self, schema: Any, pointer: str) -> Iterator[Mapping[str, Any]]:
        """What `$ref` and `allOf` bring together, the schema itself last."""
        self._count(1, pointer)
        if schema is False:
            raise ToolSchemaError("nothing is allowed here", pointer=pointer, remedy="leave the property out")
        if isinstance(schema, Mapping):
            if "$ref" in schema:
                yield from self._parts(resolve(self._root, str(schema["$ref"]), pointer), pointer)
            for position, branch in enumerate(schema.get("allOf", [])):
                yield from self._parts(branch, f"{pointer}/allOf/{position}")
            yield {key: value for key, value in schema.items() if key not in ("$ref", "allOf")}

    def _plain(self, schema: Schema, pointer: str, depth: int) -> Schema:
        if "const" in schema or "enum" in schema:
            return self._listed(schema, pointer)
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema and "properties" not in schema:
                around = {key: value for key, value in schema.items() if key != keyword}
                options = [{"allOf": [around, option]} for option in schema[keyword] if option is not False]
                return self._options(options, f"{pointer}/{keyword}", depth)
        kind = schema.get("type") or _implied_type(schema)
        if isinstance(kind, list):
            return self._options([{**schema, "type": one} for one in kind], f"{pointer}/type", depth)
        return self._typed(kind, schema, pointer, depth)

    def _listed(self, schema: Schema, pointer: str) -> Schema:
        """The listed values that satisfy the schema's other keywords."""
        listed = schema["enum"] if "enum" in schema else [schema["const"]]
        if len(listed) > MAX_ENUM:
            raise ToolSchemaError(
                f"it lists {len(listed)} values, allowed are {MAX_ENUM}", pointer=f"{pointer}/enum", remedy="list fewer"
            )
        self._count(len(listed) // VALUES_A_NODE, pointer)
        rule = jsonschema_rs.Draft202012Validator({key: schema[key] for key in schema.keys() & _VALUE_KEYWORDS})
        values = [value for value in listed if rule.is_valid(value)]
        if not values:
            raise ToolSchemaError(
                "none of its values is allowed", pointer=pointer, remedy="list values that its other keywords allow"
            )
        return {"enum": values}

    def _options(self, options: Sequence[Any], pointer: str, depth: int) -> Schema:
        if not options:
            raise ToolSchemaError("nothing is allowed here", pointer=pointer, remedy="leave the property out")
        reduced = [self.reduce(option, step(pointer, i), depth + 1) for i, option in enumerate(options)]
        return reduced[0] if len(reduced) == 1 else {"anyOf": reduced}

    def _typed(self, kind: str | None, schema: Schema, pointer: str, depth: int) -> Schema:
        match kind:
            case "object":
                return self._object(schema, pointer, depth)
            case "array":
                return self._array(schema, pointer, depth)
            case "string":
                return {"type": "string", **_lengths(schema, "minLength", "maxLength", pointer)}
            case "integer":
                return _integer(schema, pointer)
            case "number":
                return _number(schema, pointer)
            case "boolean" | "null":
                return {"type": kind}
            case _:
                return {"anyOf": list(_SCALAR)}

    def _array(self, schema: Schema, pointer: str, depth: int) -> Schema:
        lengths = _lengths(schema, "minItems", "maxItems", pointer)
        first = schema.get("prefixItems", [])[: lengths.get("maxItems")]
        if first and lengths.get("minItems", 0) <= len(first):
            inside = [self.reduce(item, f"{pointer}/prefixItems/{i}", depth + 1) for i, item in enumerate(first)]
            return {"type": "array", "prefixItems": inside}
        items = self.reduce(schema.get("items", True), f"{pointer}/items", depth + 1)
        return {"type": "array", "items": items, **lengths}

    def _object(self, schema: Schema, pointer: str, depth: int) -> Schema:
        required = list(dict.fromkeys(schema.get("required", [])))
        others = schema.get("additionalProperties", True)
        properties = {**schema.get("properties", {})}
        properties |= {name: others for name in required if name not in properties}
        if len(properties) > MAX_PROPERTIES:
            raise ToolSchemaError(
                f"it has {len(properties)} properties, allowed are {MAX_PROPERTIES}",
                pointer=f"{pointer}/properties",
                remedy="offer fewer parameters",
            )
        reduced = {
            name: self.reduce(value, step(f"{pointer}/properties", name), depth + 1)
            for name, value in properties.items()
            if value is not False or name in required
        }
        return {"type": "object", "properties": reduced, "required": required, "additionalProperties": False}


def _joined(parts: Sequence[Mapping[str, Any]]) -> Schema:
    """Merge schemas that all apply: the tightest bounds, and the last value of other keywords."""
    joined: Schema = {}
    for part in parts:
        for key, value in part.items():
            joined[key] = _both(key, joined[key], value) if key in joined else value
    return joined


def _both(key: str, first: Any, second: Any) -> Any:
    """One keyword's value that satisfies both."""
    if key == "properties":
        shared = {name: {"allOf": [first[name], second[name]]} for name in first if name in second}
        return {**first, **second, **shared}
    if key == "required":
        return [*first, *second]
    if key == "enum":
        return [value for value in first if value in second]
    if key == "type":
        return _common_type(first, second)
    if key in _LATEST:
        return max(first, second)
    return min(first, second) if key in _EARLIEST else second


def _common_type(first: str | list[str], second: str | list[str]) -> str | list[str]:
    ones, others = ([kind] if isinstance(kind, str) else kind for kind in (first, second))
    if "number" in ones and "integer" in others:
        ones = [*ones, "integer"]
    common = [kind for kind in ones if kind in others or (kind == "integer" and "number" in others)]
    return common[0] if len(common) == 1 else common or second


def _implied_type(schema: Mapping[str, Any]) -> str | None:
    if "properties" in schema:
        return "object"
    return "array" if "items" in schema or "prefixItems" in schema else None


def _lengths(schema: Mapping[str, Any], least: str, most: str, pointer: str) -> Schema:
    lengths = {name: int(schema[name]) for name in (least, most) if name in schema}
    if lengths.get(least, 0) > lengths.get(most, math.inf):
        raise ToolSchemaError(
            f"{least} {lengths[least]} is above {most} {lengths[most]}", pointer=pointer, remedy="mend the bounds"
        )
    return lengths


def _integer(schema: Mapping[str, Any], pointer: str) -> Schema:
    """Inclusive bounds within 64 bits, or the list of multiples between them if they are few."""
    low = math.ceil(max(schema.get("minimum", -MAX_INTEGER), -MAX_INTEGER))
    high = math.floor(min(schema.get("maximum", MAX_INTEGER), MAX_INTEGER))
    if "exclusiveMinimum" in schema:
        low = max(low, math.floor(schema["exclusiveMinimum"]) + 1)
    if "exclusiveMaximum" in schema:
        high = min(high, math.ceil(schema["exclusiveMaximum"]) - 1)
    _ordered(low, high, pointer)
    divisor = schema.get("multipleOf", 1)
    if divisor == int(divisor) > 1 and (high - low) // int(divisor) < MAX_ENUM:
        multiples = list(range(-(-low // int(divisor)) * int(divisor), high + 1, int(divisor)))
        _ordered(low, high if multiples else low - 1, pointer)
        return {"enum": multiples}
    return {"type": "integer", "minimum": low, "maximum": high}


def _number(schema: Mapping[str, Any], pointer: str) -> Schema:
    """A lower and an upper bound, inclusive or exclusive."""
    low = ("minimum", max(schema.get("minimum", -MAX_NUMBER), -MAX_NUMBER))
    high = ("maximum", min(schema.get("maximum", MAX_NUMBER), MAX_NUMBER))
    if schema.get("exclusiveMinimum", -math.inf) >= low[1]:
        low = ("exclusiveMinimum", schema["exclusiveMinimum"])
    if schema.get("exclusiveMaximum", math.inf) <= high[1]:
        high = ("exclusiveMaximum", schema["exclusiveMaximum"])
    _ordered(low[1], high[1], pointer, strictly=(low[0], high[0]) != ("minimum", "maximum"))
    for name, bound in (low, high):
        if fraction_digits(bound) > MAX_DIGITS:
            raise ToolSchemaError(
                f"{name} {bound} has more than {MAX_DIGITS} digits after the point",
                pointer=f"{pointer}/{name}",
                remedy="round it",
            )
    return {"type": "number", **dict((low, high))}


def fraction_digits(number: float) -> int:
    """Decimal digits of a number without exponent."""
    exponent = Decimal(str(number)).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _ordered(low: float, high: float, pointer: str, *, strictly: bool = False) -> None:
    if low > high or (strictly and low == high):
        raise ToolSchemaError(
            f"no number is at least {low} and at most {high}", pointer=pointer, remedy="mend the bounds"
        )
