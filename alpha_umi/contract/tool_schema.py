"""Validation of tool schemas from requests.

A schema can be invalid, refer to the network, refer to itself, or expand into millions of nodes. All of that is refused
here with the place and the remedy. `schema_reduction` reduces a valid schema for grammars.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jsonschema_rs

from alpha_umi.contract.schema_reduction import reduce_schema
from alpha_umi.contract.schema_references import ToolSchemaError, check_references, step

__all__ = ["MAX_BYTES", "ToolSchemaError", "check_schema", "full_validator"]

MAX_BYTES = 64 * 1024
MAX_JSON_DEPTH = 64


def check_schema(schema: Mapping[str, Any]) -> None:
    """Raises `ToolSchemaError` unless this is a usable JSON Schema (2020-12) of type object, or empty."""
    _check_size(schema)
    check_references(schema)
    try:
        full_validator(schema)
    except jsonschema_rs.ValidationError as error:
        place = "".join(step("", part) for part in error.instance_path)
        raise ToolSchemaError(
            error.message[:200], pointer=place, remedy="send a valid JSON Schema (draft 2020-12)"
        ) from error
    reduce_schema(schema)


def full_validator(schema: Mapping[str, Any]) -> jsonschema_rs.Draft202012Validator:
    """The validator of the full schema; it never opens a connection. Raises `jsonschema_rs.ValidationError`."""
    written = {key: value for key, value in schema.items() if key != "$schema"}
    return jsonschema_rs.Draft202012Validator(written, validate_formats=False, offline=True)


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
    inside = node.values() if isinstance(node, Mapping) else node if isinstance(node, list) else ()
    return levels < 0 or any(_deeper_than(value, levels - 1) for value in inside)
