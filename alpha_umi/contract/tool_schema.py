"""Validation of the schemas in requests: those of tools, and that of an answer.

A schema can be invalid, refer to the network, refer to itself without end, or be too large. All of that is refused here
with the place and the remedy. A schema is of the draft that its `$schema` names, from draft 4 on; else of 2020-12.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from functools import lru_cache
from typing import Any

import jsonschema_rs

from alpha_umi.contract.patterns import PatternBudget, PatternError, enforceable, pattern_options, patterns
from alpha_umi.contract.schema_references import ToolSchemaError, check_references, step

__all__ = [
    "MAX_BYTES",
    "MAX_PATTERNS_BYTES",
    "ToolSchemaError",
    "check_answer_schema",
    "check_schema",
    "full_validator",
    "schema_faults",
]

MAX_BYTES = 512 * 1024
MAX_JSON_DEPTH = 64
# Of the compiled patterns of a schema, and of a request.
MAX_PATTERNS_BYTES = 8 * 2**20
# Compiled schemas that are kept.
_CACHED = 8

_DRAFTS = {
    "draft-04": jsonschema_rs.Draft4Validator,
    "draft-06": jsonschema_rs.Draft6Validator,
    "draft-07": jsonschema_rs.Draft7Validator,
    "2019-09": jsonschema_rs.Draft201909Validator,
}
# Where no draft is named: the newest one by which the schema is valid. Older ones allow a list under `items`, and true
# under `exclusiveMinimum`.
_UNNAMED = (jsonschema_rs.Draft202012Validator, jsonschema_rs.Draft201909Validator, jsonschema_rs.Draft4Validator)


def check_schema(schema: Mapping[str, Any], budget: PatternBudget | None = None) -> None:
    """Raises `ToolSchemaError` unless this is a usable JSON Schema of type object, or empty, as for arguments.

    `budget` is that of its patterns and of those of other schemas that are checked together.
    """
    check_answer_schema(schema, budget)
    if not _allows_object(schema.get("type", "object")):
        raise ToolSchemaError(
            f"it is of type {schema['type']!r}", pointer="/type", remedy="arguments are an object: use type object"
        )


def check_answer_schema(schema: Mapping[str, Any], budget: PatternBudget | None = None) -> None:
    """Raises `ToolSchemaError` unless this is a usable JSON Schema, of any type: a model can write a value for it.

    `budget` is that of its patterns and of those of other schemas that are checked together.
    """
    _check_size(schema)
    check_references(schema)
    _check_patterns(schema, PatternBudget(MAX_PATTERNS_BYTES) if budget is None else budget)
    try:
        _compiled_schema(schema)
    except jsonschema_rs.ValidationError as error:
        place = "".join(step("", part) for part in error.instance_path)
        raise ToolSchemaError(
            error.message[:200], pointer=place, remedy="send a valid JSON Schema (draft 2020-12)"
        ) from error
    for name in schema.get("required", ()):
        if schema.get("properties", {}).get(name, schema.get("additionalProperties")) is False:
            raise ToolSchemaError(
                f"the member {name!r} is required, and nothing is allowed for it",
                pointer=step("/properties", name),
                remedy="declare it, or do not require it",
            )


def schema_faults(
    schemas: Mapping[int, Mapping[str, Any]],
    check: Callable[[Mapping[str, Any], PatternBudget], None] = check_schema,
) -> Generator[tuple[int, ToolSchemaError], None, None]:
    """The schemas that `check` refuses, with their keys. Their patterns have one budget together."""
    budget = PatternBudget(MAX_PATTERNS_BYTES)
    for key, schema in schemas.items():
        try:
            check(schema, budget)
        except ToolSchemaError as error:
            yield key, error


def full_validator(schema: Mapping[str, Any]) -> jsonschema_rs.Validator:
    """The validator of the full schema, which `check_schema` let pass; it never opens a connection."""
    return _cached(json.dumps(schema))


@lru_cache(_CACHED)
def _cached(schema: str) -> jsonschema_rs.Validator:
    return _compiled_schema(json.loads(schema))


def _compiled_schema(schema: Mapping[str, Any]) -> jsonschema_rs.Validator:
    """Raises `jsonschema_rs.ValidationError`."""
    written = {key: value for key, value in enforceable(schema).items() if key != "$schema"}
    dialect = str(schema.get("$schema", ""))
    named = [validator for draft, validator in _DRAFTS.items() if draft in dialect]
    refused: list[jsonschema_rs.ValidationError] = []
    for validator in named or _UNNAMED:
        try:
            return validator(written, validate_formats=False, offline=True, pattern_options=pattern_options())
        except jsonschema_rs.ValidationError as error:
            refused.append(error)
    raise refused[0]


def _check_patterns(schema: Mapping[str, Any], budget: PatternBudget) -> None:
    for pattern, pointer in patterns(schema):
        try:
            within = budget.charge(pattern)
        except PatternError as error:
            raise ToolSchemaError(
                f"{pattern[:100]!r} is not a regular expression", pointer=pointer, remedy="correct the pattern"
            ) from error
        if not within:
            raise ToolSchemaError(
                f"its patterns take more than {MAX_PATTERNS_BYTES >> 20} MiB when they are compiled",
                pointer=pointer,
                remedy="write fewer patterns, or shorter counts such as {1,200}; use minLength and maxLength",
            )


def _allows_object(kind: object) -> bool:
    return kind == "object" or (isinstance(kind, list) and "object" in kind)


def _check_size(schema: Mapping[str, Any]) -> None:
    try:
        size = len(json.dumps(schema, allow_nan=False, ensure_ascii=False).encode())
    except (ValueError, RecursionError, TypeError) as error:
        raise ToolSchemaError("it is not JSON in UTF-8", remedy="send plain JSON values") from error
    if size > MAX_BYTES:
        raise ToolSchemaError(f"it has {size} bytes, allowed are {MAX_BYTES}", remedy="describe less")
    if _deeper_than(schema, MAX_JSON_DEPTH):
        raise ToolSchemaError(f"its JSON is nested deeper than {MAX_JSON_DEPTH}", remedy="nest less")


def _deeper_than(node: Any, levels: int) -> bool:
    level = [node]
    for _ in range(levels):
        inside = (value for each in level for value in (each.values() if isinstance(each, dict) else each))
        level = [value for value in inside if isinstance(value, dict | list)]
    return any(level)
