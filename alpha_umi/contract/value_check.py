"""Checks a value against a schema at a bounded cost: recursive alternatives and large patterns multiply it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, product
from typing import Any, Final

from alpha_umi.contract.patterns import enforced_size
from alpha_umi.contract.schema_references import resolve
from alpha_umi.contract.tool_schema import full_validator

# The unit is one application of a schema to a part of the value, about a microsecond.
MAX_COST: Final = 50_000
# Applications up to which a fault is explained, which takes far longer.
MAX_EXPLAINED: Final = 4_000
# Bytes of a compiled pattern times characters that it is matched with.
_PATTERN_UNIT: Final = 2**14
_ENUM_UNIT: Final = 512


@dataclass(frozen=True)
class Fault:
    """Why a value does not satisfy a schema. `place` leads to the part at fault; it is empty for all of the value."""

    place: tuple[str, ...]
    message: str


def first_fault(schema: Mapping[str, Any], value: Any) -> Fault | None:
    """The first fault of the value; None if it satisfies the schema, which `check_schema` let pass."""
    try:
        costs = list(islice(_costs(schema, schema, value), MAX_COST + 1))
    except RecursionError:
        costs = [MAX_COST + 1]
    if sum(costs) > MAX_COST:
        return Fault((), "too many, too long or nested too deeply for the schema; write fewer")
    validator = full_validator(schema)
    if validator.is_valid(value):
        return None
    if len(costs) > MAX_EXPLAINED:
        return Fault((), "not what the schema allows")
    error = next(validator.iter_errors(value))
    return Fault(tuple(str(part) for part in error.instance_path), error.message)


def _costs(root: Any, schema: Any, value: Any) -> Iterator[int]:
    """The cost of each time that a validator applies a schema to a part of the value.

    Alternatives of a recursive schema can double them with each level.
    """
    yield 1
    if not isinstance(schema, Mapping):
        return
    if "$ref" in schema:
        yield from _costs(root, resolve(root, schema["$ref"], ""), value)
    for keyword, part in schema.items():
        if keyword in ("allOf", "anyOf", "oneOf"):
            for branch in part:
                yield from _costs(root, branch, value)
        elif keyword in ("not", "if", "then", "else"):
            yield from _costs(root, part, value)
        elif keyword == "pattern" and isinstance(value, str):
            yield _matching(part, value)
        elif keyword == "enum":
            yield len(part) // _ENUM_UNIT
        elif keyword == "patternProperties" and isinstance(value, Mapping):
            for (pattern, each), (name, inside) in product(part.items(), value.items()):
                yield _matching(pattern, name)
                yield from _costs(root, each, inside)
        elif keyword in ("dependentSchemas", "dependencies") and isinstance(value, Mapping):
            for each in part.values():
                yield from _costs(root, each, value)
        elif keyword == "properties" and isinstance(value, Mapping):
            for name in part.keys() & value.keys():
                yield from _costs(root, part[name], value[name])
        elif keyword == "propertyNames" and isinstance(value, Mapping):
            for name in value:
                yield from _costs(root, part, name)
        elif keyword in ("additionalProperties", "unevaluatedProperties") and isinstance(value, Mapping):
            for name in value.keys() - schema.get("properties", {}).keys():
                yield from _costs(root, part, value[name])
        elif keyword in ("items", "prefixItems", "contains", "additionalItems", "unevaluatedItems") and isinstance(
            value, list
        ):
            for item in value:
                for each in part if isinstance(part, list) else [part]:
                    yield from _costs(root, each, item)


def _matching(pattern: str, text: str) -> int:
    return (enforced_size(pattern) or 0) * len(text) // _PATTERN_UNIT
