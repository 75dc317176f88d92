"""Converts Schema Objects of OpenAPI 3.0 and 3.1 to self-contained JSON Schemas (2020-12) within bounds.

References are inlined, so a recursive schema cannot be used. Read-only properties are left out: requests do not send
them. Annotations other than `description` and `default` are dropped; keywords that would need
resolution at validation time are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeVar

import jsonschema_rs

from orchestrator.tools.errors import DocumentError
from orchestrator.tools.openapi.document import child, lookup

MAX_SCHEMA_NODES: Final = 2_000
MAX_SCHEMA_DEPTH: Final = 24
MAX_DESCRIPTION_CHARACTERS: Final = 1_024
# Steps of a backtracking pattern before validation gives up, so that no pattern can hang it.
_BACKTRACK_LIMIT: Final = 10_000

_ANNOTATIONS = frozenset({"description", "default"})
_VALUES = frozenset({
    "type", "enum", "const", "format", "pattern", "minLength", "maxLength", "minimum", "maximum",
    "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minItems", "maxItems", "uniqueItems",
    "minContains", "maxContains", "minProperties", "maxProperties", "required", "dependentRequired",
    "default", "description", "contentEncoding", "contentMediaType",
})  # fmt: skip
_SCHEMAS = frozenset({
    "items", "contains", "additionalProperties", "propertyNames", "not", "if", "then", "else",
    "unevaluatedItems", "unevaluatedProperties",
})  # fmt: skip
_SCHEMA_LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_SCHEMA_MAPS = frozenset({"properties", "patternProperties", "dependentSchemas"})
_REFUSED = frozenset(
    {"$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor", "$vocabulary"}
)

Schema = dict[str, Any]
_Kind = TypeVar("_Kind", list[Any], dict[str, Any])


class SchemaReader:
    """Converts the schemas of one operation; the bounds apply to all of them together."""

    def __init__(self, root: Mapping[str, Any], version: Literal["3.0", "3.1"]) -> None:
        self._root = root
        self._version = version
        self._nodes = 0
        self.definitions: dict[str, Schema] = {}

    def read(self, node: Any, pointer: str) -> Schema:
        """The JSON Schema. Raises `DocumentError` for schemas that are recursive, explosive or unsupported."""
        schema = self._read(node, pointer, active=(), depth=0)
        return schema if isinstance(schema, dict) else ({} if schema else {"not": {}})

    def _read(self, node: Any, pointer: str, *, active: tuple[str, ...], depth: int) -> Schema | bool:
        self._nodes += 1
        if self._nodes > MAX_SCHEMA_NODES or depth > MAX_SCHEMA_DEPTH:
            raise DocumentError(
                f"the operation's schemas, references inlined, exceed {MAX_SCHEMA_NODES} parts "
                f"or {MAX_SCHEMA_DEPTH} levels",
                field=pointer,
                remedy="simplify them, or leave the operation out with `operations`",
            )
        if isinstance(node, bool):
            return node
        if not isinstance(node, Mapping):
            raise DocumentError("this is not a schema", field=pointer, remedy="write an object")
        if isinstance(target := node.get("$ref"), str):
            return self._resolve_ref(node, target, pointer, active=active, depth=depth)
        return self._inline(node, pointer, active=active, depth=depth)

    def _resolve_ref(
        self, node: Mapping[str, Any], target: str, pointer: str, *, active: tuple[str, ...], depth: int
    ) -> Schema | bool:
        if target in active:
            raise DocumentError(
                f"the schema {target[:200]!r} refers to itself",
                field=pointer,
                remedy="bound its depth by hand, or leave the operation out with `operations`",
            )
        resolved_node = lookup(self._root, target, pointer)
        resolved = self._read(resolved_node, target, active=(*active, target), depth=depth + 1)
        # Version 3.0 ignores whatever stands beside a reference.
        if self._version == "3.0" or len(node) == 1:
            return resolved
        beside = {key: value for key, value in node.items() if key != "$ref"}
        return _combine(resolved, self._inline(beside, pointer, active=active, depth=depth))

    def _inline(self, node: Mapping[str, Any], pointer: str, *, active: tuple[str, ...], depth: int) -> Schema:
        def below(value: Any, *keys: str | int) -> Schema | bool:
            at = pointer
            for key in keys:
                at = child(at, key)
            return self._read(value, at, active=active, depth=depth + 1)

        schema: Schema = {}
        for key, value in node.items():
            if key in _REFUSED:
                raise DocumentError(f"{key} is not supported", field=pointer, remedy="use `$ref` with #/... instead")
            if key in _VALUES:
                schema[key] = value
            elif key in _SCHEMAS:
                schema[key] = below(value, key)
            elif key in _SCHEMA_LISTS:
                schema[key] = [below(item, key, index) for index, item in enumerate(_typed(value, list, pointer, key))]
            elif key in _SCHEMA_MAPS:
                named = _typed(value, dict, pointer, key).items()
                schema[key] = {
                    name: below(item, key, name) for name, item in named if not self._read_only(item, pointer)
                }
        return self._finished(node, schema, pointer)

    def _finished(self, node: Mapping[str, Any], schema: Schema, pointer: str) -> Schema:
        if isinstance(text := schema.get("description"), str):
            schema["description"] = text.strip()[:MAX_DESCRIPTION_CHARACTERS]
        if isinstance(required := schema.get("required"), list):
            read_only = {name for name, item in node.get("properties", {}).items() if self._read_only(item, pointer)}
            schema["required"] = [name for name in required if name not in read_only]
        schema = _unwrapped(schema)
        if self._version == "3.0":
            schema = _to_draft_2020(schema, nullable=node.get("nullable") is True)
        return _or_null(schema)

    def _read_only(self, node: Any, pointer: str) -> bool:
        if isinstance(node, Mapping) and isinstance(target := node.get("$ref"), str):
            if node.get("readOnly") is True and self._version != "3.0":
                return True
            node = lookup(self._root, target, pointer)
        return isinstance(node, Mapping) and node.get("readOnly") is True


def compile_schema(schema: Schema, pointer: str) -> jsonschema_rs.Draft202012Validator:
    """A validator. Raises `DocumentError` for what is not a valid JSON Schema."""
    try:
        return jsonschema_rs.Draft202012Validator(
            schema, pattern_options=jsonschema_rs.FancyRegexOptions(backtrack_limit=_BACKTRACK_LIMIT)
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        message = getattr(error, "message", None) or str(error)
        raise DocumentError(
            f"the schema is not valid: {str(message)[:300]}",
            field=pointer,
            remedy="correct it (JSON Schema 2020-12)",
        ) from error


def check_default(schema: Schema, pointer: str) -> None:
    """Raises `DocumentError` if the schema's own default does not satisfy it."""
    if "default" in schema and not compile_schema(schema, pointer).is_valid(schema["default"]):
        raise DocumentError(
            "the default does not satisfy its own schema",
            field=child(pointer, "default"),
            remedy="correct it",
        )


def _typed(value: Any, kind: type[_Kind], pointer: str, key: str) -> _Kind:
    if not isinstance(value, kind):
        article = "a list" if kind is list else "an object"
        raise DocumentError(f"{key} must be {article}", field=child(pointer, key), remedy="correct the schema")
    return value


def _combine(one: Schema | bool, other: Schema | bool) -> Schema | bool:
    """Both must hold. Annotations of `other` win, as it stands nearer to the place of use."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return {"allOf": [one, other]}
    if set(one) & set(other) <= _ANNOTATIONS:
        return {**one, **other}
    return {"allOf": [one, other]}


def _unwrapped(schema: Schema) -> Schema:
    """`allOf` of a single schema, which version 3.0 needs to describe a reference, without it."""
    if len(parts := schema.get("allOf", ())) != 1:
        return schema
    merged = _combine(parts[0], {key: value for key, value in schema.items() if key != "allOf"})
    return merged if isinstance(merged, dict) else schema


def _or_null(schema: Schema) -> Schema:
    """`anyOf` of a type and null as a list of types: shorter for models, and with clearer errors."""
    match schema.get("anyOf"):
        case [dict() as typed, {"type": "null"} as null] if len(null) == 1 and isinstance(typed.get("type"), str):
            outer = {key: value for key, value in schema.items() if key != "anyOf"}
            if not set(typed) & {"enum", "const"} and set(typed) & set(outer) <= _ANNOTATIONS:
                return {**typed, **outer, "type": [typed["type"], "null"]}
    return schema


def without_null(schema: Schema) -> Schema:
    """The schema for a place where null cannot be written, such as a query."""
    match schema.get("type"):
        case [str() as kind, "null"]:
            return {**schema, "type": kind}
        case _:
            return schema


def _to_draft_2020(schema: Schema, *, nullable: bool) -> Schema:
    """Version 3.0's own forms of exclusive bounds and of null, as JSON Schema has them today."""
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(flag := schema.get(exclusive), bool):
            del schema[exclusive]
            if flag and bound in schema:
                schema[exclusive] = schema.pop(bound)
    return _with_null(schema) if nullable else schema


def _with_null(schema: Schema) -> Schema:
    if isinstance(kind := schema.get("type"), str) and not {"allOf", "anyOf", "oneOf", "not"} & set(schema):
        widened = {**schema, "type": [kind, "null"]}
        if "enum" in schema and None not in schema["enum"]:
            widened["enum"] = [*schema["enum"], None]
        return widened
    annotations = {key: value for key, value in schema.items() if key in _ANNOTATIONS}
    rest = {key: value for key, value in schema.items() if key not in _ANNOTATIONS}
    return {**annotations, "anyOf": [rest, {"type": "null"}]}
