"""Tool schemas: what may come in, and the bounded subset that grammars are made of.

A schema from a request can be invalid, refer to the network, refer to itself, or unfold into millions of nodes. All of
that is refused here with the place and the remedy. What remains is reduced: keywords that a grammar cannot honour
safely (`pattern`, `format`, conditionals, open maps) are dropped, because every call is checked against the full schema
afterwards all the same.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jsonschema_rs

MAX_BYTES = 64 * 1024
MAX_DEPTH = 8
MAX_NODES = 2_000
MAX_PROPERTIES = 128
MAX_ENUM = 500
MAX_OPTIONS = 8
MAX_INTEGER = 10**15 - 1

Schema = dict[str, Any]

_SCALAR: tuple[Schema, ...] = (
    {"type": "string"},
    {"type": "number", "minimum": -MAX_INTEGER, "maximum": MAX_INTEGER},
    {"type": "boolean"},
)
_REFERENCES = frozenset({"$dynamicRef", "$recursiveRef"})


class ToolSchemaError(ValueError):
    """A schema cannot be used. `pointer` is the JSON pointer of the place in it, `tool` the name if known."""

    def __init__(self, reason: str, *, pointer: str = "", remedy: str = "", tool: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.pointer = pointer
        self.remedy = remedy
        self.tool = tool


def check_schema(schema: Mapping[str, Any]) -> None:
    """Raises `ToolSchemaError` unless this is a usable JSON Schema (2020-12) of type object, or empty."""
    try:
        size = len(json.dumps(schema, allow_nan=False))
    except (ValueError, RecursionError, TypeError) as error:
        raise ToolSchemaError("it is not JSON", remedy="send plain JSON values") from error
    if size > MAX_BYTES:
        raise ToolSchemaError(f"it has {size} bytes, allowed are {MAX_BYTES}", remedy="describe less")
    _check_references(schema, "")
    _check_meta(schema)
    reduce_schema(schema)


def reduce_schema(schema: Mapping[str, Any]) -> Schema:
    """The bounded subset of a schema: `type`, `properties` (closed), `required`, `items`, `enum`, `anyOf`, bounds.

    Raises `ToolSchemaError`: recursive, too deep, too large once its references are unfolded, or not of type object.
    """
    if schema.get("type", "object") != "object":
        raise ToolSchemaError(
            f"it is of type {schema['type']!r}", pointer="/type", remedy="arguments are an object: use type object"
        )
    reduced = _Reduction(schema).reduce({**schema, "type": "object"}, "", 0, ())
    if reduced.get("type") != "object":
        raise ToolSchemaError("it allows something else than an object", remedy="use type object with properties")
    return reduced


def _check_references(node: Any, pointer: str) -> None:
    if isinstance(node, Mapping):
        for key, value in node.items():
            here = f"{pointer}/{key}"
            if key in _REFERENCES or (key == "$ref" and not str(value).startswith("#")):
                raise ToolSchemaError(
                    f"{value!r} refers to another document", pointer=here, remedy="use references that begin with #/"
                )
            _check_references(value, here)
    elif isinstance(node, Sequence) and not isinstance(node, str):
        for position, value in enumerate(node):
            _check_references(value, f"{pointer}/{position}")


def _check_meta(schema: Mapping[str, Any]) -> None:
    try:
        jsonschema_rs.meta.validate({**schema, "$schema": "https://json-schema.org/draft/2020-12/schema"})
    except jsonschema_rs.ValidationError as error:
        place = "".join(f"/{part}" for part in error.instance_path)
        raise ToolSchemaError(
            error.message[:200], pointer=place, remedy="send a valid JSON Schema (draft 2020-12)"
        ) from error


class _Reduction:
    """One walk over a schema; counts what it unfolds."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._nodes = 0

    def reduce(self, schema: Any, pointer: str, depth: int, references: tuple[str, ...]) -> Schema:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise ToolSchemaError(
                f"it unfolds into more than {MAX_NODES} parts", pointer=pointer, remedy="repeat less, nest less"
            )
        if depth > MAX_DEPTH:
            raise ToolSchemaError(f"it is nested deeper than {MAX_DEPTH}", pointer=pointer, remedy="nest less")
        if schema is False:
            raise ToolSchemaError("nothing is allowed here", pointer=pointer, remedy="leave the property out")
        if not isinstance(schema, Mapping):
            return {"anyOf": list(_SCALAR)}
        if "$ref" in schema:
            return self._referred(schema, pointer, depth, references)
        if "allOf" in schema:
            merged, followed = self._merged(schema, pointer, references)
            return self.reduce(merged, pointer, depth, followed)
        return self._plain(schema, pointer, depth, references)

    def _referred(self, schema: Mapping[str, Any], pointer: str, depth: int, references: tuple[str, ...]) -> Schema:
        reference = str(schema["$ref"])
        target = self._follow(reference, pointer, references)
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        together = {**target, **beside} if isinstance(target, Mapping) else target
        return self.reduce(together, pointer, depth, (*references, reference))

    def _follow(self, reference: str, pointer: str, references: tuple[str, ...]) -> Any:
        """What a reference names, unless it was followed on the way here already."""
        if reference in references or reference == "#":
            raise ToolSchemaError(
                f"{reference} refers to itself", pointer=f"{pointer}/$ref", remedy="unfold it as deep as calls need it"
            )
        return self._resolve(reference, pointer)

    def _resolve(self, reference: str, pointer: str) -> Any:
        node: Any = self._root
        for part in reference.removeprefix("#/").split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            try:
                node = node[int(name)] if isinstance(node, list) else node[name]
            except (KeyError, IndexError, ValueError, TypeError):
                raise ToolSchemaError(
                    f"{reference} refers to nothing", pointer=f"{pointer}/$ref", remedy="define it under $defs"
                ) from None
        return node

    def _merged(
        self, schema: Mapping[str, Any], pointer: str, references: tuple[str, ...]
    ) -> tuple[Schema, tuple[str, ...]]:
        """`allOf` as one schema (properties joined, the later of other keywords), and the references followed."""
        merged: Schema = {"properties": {}, "required": []}
        followed = references
        for part in [*schema["allOf"], {key: value for key, value in schema.items() if key != "allOf"}]:
            resolved = part
            if isinstance(part, Mapping) and "$ref" in part:
                resolved = self._follow(str(part["$ref"]), pointer, references)
                followed = (*followed, str(part["$ref"]))
            if not isinstance(resolved, Mapping):
                continue
            merged["properties"] |= resolved.get("properties", {})
            merged["required"] += [name for name in resolved.get("required", []) if name not in merged["required"]]
            merged |= {key: value for key, value in resolved.items() if key not in ("properties", "required")}
        if not merged["properties"]:
            del merged["properties"], merged["required"]
        return merged, followed

    def _plain(self, schema: Mapping[str, Any], pointer: str, depth: int, references: tuple[str, ...]) -> Schema:
        if "const" in schema:
            return {"enum": [schema["const"]]}
        if "enum" in schema:
            return self._enum(schema["enum"], pointer)
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema and "properties" not in schema:
                return self._options(schema[keyword], f"{pointer}/{keyword}", depth, references)
        kind = schema.get("type") or _implied_type(schema)
        if isinstance(kind, list):
            options = [{**schema, "type": one} for one in kind]
            return self._options(options, f"{pointer}/type", depth, references)
        return self._typed(kind, schema, pointer, depth, references)

    def _enum(self, values: Sequence[Any], pointer: str) -> Schema:
        if len(values) > MAX_ENUM:
            raise ToolSchemaError(
                f"it lists {len(values)} values, allowed are {MAX_ENUM}", pointer=f"{pointer}/enum", remedy="list fewer"
            )
        self._nodes += len(values)
        return {"enum": list(values)}

    def _options(self, options: Sequence[Any], pointer: str, depth: int, references: tuple[str, ...]) -> Schema:
        reduced = [
            self.reduce(option, f"{pointer}/{position}", depth + 1, references)
            for position, option in enumerate(options[:MAX_OPTIONS])
        ]
        return reduced[0] if len(reduced) == 1 else {"anyOf": reduced}

    def _typed(
        self, kind: str | None, schema: Mapping[str, Any], pointer: str, depth: int, references: tuple[str, ...]
    ) -> Schema:
        match kind:
            case "object":
                return self._object(schema, pointer, depth, references)
            case "array":
                items = self.reduce(schema.get("items", True), f"{pointer}/items", depth + 1, references)
                return {"type": "array", "items": items, **_kept(schema, "minItems", "maxItems")}
            case "string":
                return {"type": "string", **_kept(schema, "minLength", "maxLength")}
            case "integer" | "number":
                return {"type": kind, **_range(schema, pointer)}
            case "boolean" | "null":
                return {"type": kind}
            case _:
                return {"anyOf": list(_SCALAR)}

    def _object(self, schema: Mapping[str, Any], pointer: str, depth: int, references: tuple[str, ...]) -> Schema:
        required = list(schema.get("required", []))
        properties = {**schema.get("properties", {})}
        properties |= {name: True for name in required if name not in properties}
        if len(properties) > MAX_PROPERTIES:
            raise ToolSchemaError(
                f"it has {len(properties)} properties, allowed are {MAX_PROPERTIES}",
                pointer=f"{pointer}/properties",
                remedy="offer fewer parameters",
            )
        reduced = {
            name: self.reduce(value, f"{pointer}/properties/{name}", depth + 1, references)
            for name, value in properties.items()
            if value is not False or name in required
        }
        return {"type": "object", "properties": reduced, "required": required, "additionalProperties": False}


def _implied_type(schema: Mapping[str, Any]) -> str | None:
    if "properties" in schema:
        return "object"
    return "array" if "items" in schema else None


def _kept(schema: Mapping[str, Any], *names: str) -> Schema:
    return {name: int(schema[name]) for name in names if name in schema}


def _range(schema: Mapping[str, Any], pointer: str) -> Schema:
    """Closed bounds, at most 15 digits wide."""
    integer = schema.get("type") == "integer"
    low = max((schema[key] for key in ("minimum", "exclusiveMinimum") if key in schema), default=-MAX_INTEGER)
    high = min((schema[key] for key in ("maximum", "exclusiveMaximum") if key in schema), default=MAX_INTEGER)
    if integer:
        low = math.floor(low) + 1 if schema.get("exclusiveMinimum") == low else math.ceil(low)
        high = math.ceil(high) - 1 if schema.get("exclusiveMaximum") == high else math.floor(high)
    low, high = max(low, -MAX_INTEGER), min(high, MAX_INTEGER)
    if low > high:
        raise ToolSchemaError(
            f"no number is at least {low} and at most {high}", pointer=pointer, remedy="mend the bounds"
        )
    return {"minimum": low, "maximum": high}
