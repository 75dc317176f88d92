"""Validation of tool schemas from requests.

A schema can be invalid, refer to the network, refer to itself without end, or be too large. All of that is refused here
with the place and the remedy. A schema is of the draft that its `$schema` names, from draft 4 on; else of 2020-12.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import jsonschema_rs

from alpha_umi.contract.schema_references import ToolSchemaError, check_references, step

__all__ = ["MAX_BYTES", "ToolSchemaError", "check_schema", "full_validator"]

MAX_BYTES = 512 * 1024
MAX_JSON_DEPTH = 64
# Of the compiled form of a pattern. Larger ones are not enforced, nor are long repetitions in more patterns than this.
MAX_PATTERN_BYTES = 16 * 2**20
MAX_LONG_PATTERNS = 32
LONG_REPETITION = 100

_DRAFTS = {
    "draft-04": jsonschema_rs.Draft4Validator,
    "draft-06": jsonschema_rs.Draft6Validator,
    "draft-07": jsonschema_rs.Draft7Validator,
    "2019-09": jsonschema_rs.Draft201909Validator,
}
# Where no draft is named: the newest one by which the schema is valid. Older ones allow a list under `items`, and true
# under `exclusiveMinimum`.
_UNNAMED = (jsonschema_rs.Draft202012Validator, jsonschema_rs.Draft201909Validator, jsonschema_rs.Draft4Validator)


def check_schema(schema: Mapping[str, Any]) -> None:
    """Raises `ToolSchemaError` unless this is a usable JSON Schema of type object, or empty."""
    _check_size(schema)
    check_references(schema)
    try:
        full_validator(schema)
    except jsonschema_rs.ValidationError as error:
        place = "".join(step("", part) for part in error.instance_path)
        raise ToolSchemaError(
            error.message[:200], pointer=place, remedy="send a valid JSON Schema (draft 2020-12)"
        ) from error
    if not _allows_object(schema.get("type", "object")):
        raise ToolSchemaError(
            f"it is of type {schema['type']!r}", pointer="/type", remedy="arguments are an object: use type object"
        )
    for name in schema.get("required", ()):
        if schema.get("properties", {}).get(name, schema.get("additionalProperties")) is False:
            raise ToolSchemaError(
                f"the argument {name!r} is required, and nothing is allowed for it",
                pointer=step("/properties", name),
                remedy="declare it, or do not require it",
            )


def full_validator(schema: Mapping[str, Any]) -> jsonschema_rs.Validator:
    """The validator of the full schema; it never opens a connection. Raises `jsonschema_rs.ValidationError`."""
    written = _with_small_patterns({key: value for key, value in schema.items() if key != "$schema"}, set())
    dialect = str(schema.get("$schema", ""))
    named = [validator for draft, validator in _DRAFTS.items() if draft in dialect]
    refused: list[jsonschema_rs.ValidationError] = []
    for validator in named or _UNNAMED:
        try:
            return validator(written, validate_formats=False, offline=True, pattern_options=_PATTERN_OPTIONS)
        except jsonschema_rs.ValidationError as error:
            refused.append(error)
    raise refused[0]


def repetitions(pattern: str) -> int:
    """The counts of a pattern's repetitions, multiplied: about the size that they add to its automaton."""
    counts = re.findall(r"\{(?:\d{0,9},)?(\d{1,9}),?\}", pattern)
    return math.prod(max(int(count), 1) for count in counts)


_PATTERN_OPTIONS = jsonschema_rs.FancyRegexOptions(size_limit=MAX_PATTERN_BYTES)


@lru_cache(1_024)
def _fits(pattern: str) -> bool:
    try:
        jsonschema_rs.Draft202012Validator({"pattern": pattern}, pattern_options=_PATTERN_OPTIONS)
    except jsonschema_rs.ValidationError:
        return False
    return True


def _with_small_patterns(node: Any, long: set[str]) -> Any:
    """A copy without the patterns that are not enforced. `long` collects those whose size was measured."""
    if isinstance(node, list):
        return [_with_small_patterns(value, long) for value in node]
    if not isinstance(node, Mapping):
        return node
    return {
        key: _with_small_patterns(value, long)
        for key, value in node.items()
        if key != "pattern" or not isinstance(value, str) or _is_enforced(value, long)
    }


def _is_enforced(pattern: str, long: set[str]) -> bool:
    if repetitions(pattern) <= LONG_REPETITION:
        return True
    long.add(pattern)
    return len(long) <= MAX_LONG_PATTERNS and _fits(pattern)


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
