"""Validation of every call, constrained or not: an offered tool, and arguments that its full schema allows."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, product
from typing import Any

from alpha_umi.contract.schema_references import resolve
from alpha_umi.contract.tool_schema import full_validator
from alpha_umi.roles.turns import Tool

MAX_NAMES = 20
MAX_PLACE = 100
MAX_MESSAGE = 300
MAX_DEPTH = 32
MAX_INTEGER = 10**30
# Of schemas to parts of the arguments: in all, and up to which an error is explained, which takes far longer.
MAX_APPLICATIONS = 50_000
MAX_EXPLAINED = 4_000


class CallInvalid(ValueError):
    """The call names no offered tool, or its arguments do not satisfy the tool's schema. The message is for a model."""


def validate_call(name: str, arguments: Mapping[str, Any], tools: Sequence[Tool]) -> None:
    """Raises `CallInvalid`, with the error and the remedy. The tools' schemas must be valid."""
    tool = next((tool for tool in tools if tool.name == name), None)
    if tool is None:
        raise CallInvalid(_unknown(name, [tool.name for tool in tools]))
    unsendable = _unsendable(arguments, MAX_DEPTH)
    if unsendable:
        raise CallInvalid(f"{name}: the arguments hold {unsendable}")
    if not tool.parameters:
        if arguments:
            raise CallInvalid(f"{name} takes no arguments")
        return
    applied = _count_applications(tool.parameters, arguments)
    if applied > MAX_APPLICATIONS:
        raise CallInvalid(f"{name}: the arguments are too many or nested too deeply for its schema; write fewer")
    validator = full_validator(tool.parameters)
    if validator.is_valid(dict(arguments)):
        return
    if applied > MAX_EXPLAINED:
        raise CallInvalid(f"{name}: the arguments do not satisfy its schema")
    for error in validator.iter_errors(dict(arguments)):
        place = ".".join(str(part) for part in error.instance_path) or "the arguments"
        raise CallInvalid(f"{name}: {place[:MAX_PLACE]}: {error.message[:MAX_MESSAGE]}")


def _count_applications(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> int:
    try:
        return sum(1 for _ in islice(_applications(schema, schema, arguments), MAX_APPLICATIONS + 1))
    except RecursionError:
        return MAX_APPLICATIONS + 1


def _applications(root: Any, schema: Any, value: Any) -> Iterator[None]:
    """One item for each time that a validator applies a schema to a part of the value.

    Alternatives of a recursive schema can double them with each level.
    """
    yield None
    if not isinstance(schema, Mapping):
        return
    if "$ref" in schema:
        yield from _applications(root, resolve(root, schema["$ref"], ""), value)
    for keyword, part in schema.items():
        if keyword in ("allOf", "anyOf", "oneOf"):
            for branch in part:
                yield from _applications(root, branch, value)
        elif keyword in ("not", "if", "then", "else"):
            yield from _applications(root, part, value)
        elif keyword in ("dependentSchemas", "dependencies", "patternProperties") and isinstance(value, Mapping):
            inside = value.values() if keyword == "patternProperties" else [value]
            for each in product(part.values(), inside):
                yield from _applications(root, *each)
        elif keyword == "properties" and isinstance(value, Mapping):
            for name in part.keys() & value.keys():
                yield from _applications(root, part[name], value[name])
        elif keyword in ("additionalProperties", "unevaluatedProperties") and isinstance(value, Mapping):
            for name in value.keys() - schema.get("properties", {}).keys():
                yield from _applications(root, part, value[name])
        elif keyword in ("items", "prefixItems", "contains", "additionalItems") and isinstance(value, list):
            for item in value:
                for each in part if isinstance(part, list) else [part]:
                    yield from _applications(root, each, item)


def _unsendable(value: Any, levels: int) -> str:
    """The part of a value that Python reads from JSON but that cannot be sent to a tool; "" if there is none."""
    if levels < 0:
        return f"more than {MAX_DEPTH} levels"
    match value:
        case str():
            return "half a surrogate pair" if not value.isascii() and _has_surrogate(value) else ""
        case float():
            return "" if math.isfinite(value) else "a number too large"
        case int():
            return "" if abs(value) <= MAX_INTEGER else "a number too large"
        case list():
            return next(filter(None, (_unsendable(item, levels - 1) for item in value)), "")
        case dict():
            pairs = (_unsendable(part, levels - 1) for pair in value.items() for part in pair)
            return next(filter(None, pairs), "")
        case _:
            return ""


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _unknown(name: str, offered: Sequence[str]) -> str:
    close = difflib.get_close_matches(name[:MAX_PLACE], offered, n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    more = ", ..." if len(offered) > MAX_NAMES else ""
    return f"there is no tool {name[:MAX_PLACE]!r}{hint}; offered are {', '.join(offered[:MAX_NAMES])}{more}"
