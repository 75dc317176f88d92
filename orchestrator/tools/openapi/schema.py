"""Converts Schema Objects of OpenAPI 3.0 and 3.1 to self-contained JSON Schemas (2020-12) within bounds.

A schema that is referred to once is written in its place. One that is recursive or large, and referred to again, stands
under `$defs`. Read-only properties are left out: requests do not send them. Annotations other than `description` and
`default` are dropped. What lies deeper than the bound is left free: any value is valid there.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import jsonschema_rs

from alpha_umi.contract.patterns import PatternBudget, PatternError, enforced_size, pattern_options
from alpha_umi.contract.tool_schema import MAX_PATTERNS_BYTES
from orchestrator.tools.errors import DocumentError
from orchestrator.tools.openapi.document import UnreadableError, Version, child, lookup

MAX_SCHEMA_PARTS: Final = 20_000
MAX_SCHEMA_DEPTH: Final = 24
# Optional parts of one operation that cannot be read; with more, it is left out.
MAX_PASSED_OVER: Final = 16
MAX_DESCRIPTION_CHARACTERS: Final = 1_024
MAX_EXAMPLE_CHARACTERS: Final = 64
# Parts of a schema that is written out again rather than referred to: small ones are easier to read in place.
_SHARED_PARTS: Final = 12
# Schemas that apply to one and the same value; each costs time whenever a value is checked.
_MAX_EVALUATIONS: Final = 10_000
# Counted in parts, the check of a default against definitions.
_DEFAULT_PARTS: Final = 500

_ANNOTATIONS = frozenset({"description", "default", "examples"})
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
# These apply to the value itself, all others to its parts.
_IN_PLACE = frozenset({"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"})
# More would be refused if the schemas below these were left free.
_STRICTER = frozenset({"not", "if", "contains"})
_REFUSED = frozenset({"$dynamicRef", "$recursiveRef"})

Schema = dict[str, Any]
_Kind = TypeVar("_Kind", list[Any], dict[str, Any])
# A target, and the targets that are being read for the same value.
_Key = tuple[str, frozenset[str]]


@dataclass(frozen=True)
class _Path:
    """How the reader came to a schema: the references that it followed, and those since the last part of a value."""

    active: Mapping[str, _Key]
    in_place: frozenset[str] = frozenset()
    depth: int = 0

    def below(self, keyword: str) -> _Path:
        in_place = self.in_place if keyword in _IN_PLACE else frozenset[str]()
        return replace(self, in_place=in_place, depth=self.depth + 1)


class SchemaReader:
    """Converts the schemas of one operation; the bounds apply to all of them together.

    `budget` is that of all patterns of the document, and `unpaid` counts those that exceed it and are not enforced.
    `definitions` belong under `$defs` of the schema that the results become parts of. `passed_over` are the optional
    parts that cannot be read, by pointer; the results do not have them.
    """

    def __init__(self, root: Mapping[str, Any], version: Version, budget: PatternBudget | None = None) -> None:
        own = PatternBudget(MAX_PATTERNS_BYTES)
        # That of the document first: what it does not pay for is not measured.
        self._budgets = (own,) if budget is None else (budget, own)
        self.unpaid = 0
        self.definitions: dict[str, Schema] = {}
        self.passed_over: dict[str, DocumentError] = {}
        self.parts = 0
        self._root = root
        self._siblings_apply = version == "3.1"
        self._names: dict[_Key, str] = {}
        self._done: dict[_Key, tuple[Schema | bool, int]] = {}
        # By definition.
        self._known_evaluations: dict[str, int] = {}
        # Counts the places that were left free.
        self._freed = 0

    def read(self, node: Any, pointer: str) -> Schema:
        """The JSON Schema. A reference at its top, and type and description of its properties, are written out.

        Raises `DocumentError` for schemas that are explosive or not valid.
        """
        schema = self._written_out(_as_object(self._read(node, pointer, _Path({}))))
        schema = self._without_wrong_default(schema, pointer)
        if isinstance(properties := schema.get("properties"), dict):
            schema["properties"] = {name: self._property(part, pointer) for name, part in properties.items()}
        self._evaluations(schema, pointer)
        return schema

    def _property(self, part: Schema | bool, pointer: str) -> Schema | bool:
        if not isinstance(part, dict):
            return part
        shown = {key: value for key, value in self._written_out(part).items() if key in ("type", "description")}
        return self._without_wrong_default(shown | part if "$ref" in part else part, pointer)

    def _written_out(self, schema: Schema) -> Schema:
        if not isinstance(name := schema.get("$ref"), str):
            return dict(schema)
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        return dict(_as_object(_combine(self.definitions[name.removeprefix("#/$defs/")], rest)))

    def _without_wrong_default(self, schema: Schema, pointer: str) -> Schema:
        if "default" not in schema:
            return schema
        rest = {key: value for key, value in schema.items() if key != "default"}
        if "'$ref'" in repr(rest):
            self._count(_DEFAULT_PARTS, pointer)
            validator = compile_schema(rest | {"$defs": self.definitions}, pointer)
        else:
            validator = compile_schema(rest, pointer)
        return schema if validator.is_valid(schema["default"]) else rest

    def _read(self, node: Any, pointer: str, path: _Path) -> Schema | bool:
        self._count(1, pointer)
        if isinstance(node, bool):
            return node
        if not isinstance(node, Mapping):
            raise UnreadableError("this is not a schema", field=pointer, remedy="write an object")
        if isinstance(target := node.get("$ref"), str):
            return self._with_siblings(node, self._referred(target, pointer, path), pointer, path)
        return self._inline(node, pointer, path)

    def _count(self, parts: int, pointer: str) -> None:
        self.parts += parts
        if self.parts > MAX_SCHEMA_PARTS:
            raise DocumentError(
                f"the schemas of the operation have more than {MAX_SCHEMA_PARTS} parts",
                field=pointer,
                remedy="simplify them, or leave the operation out with `operations`",
            )

    def _is_enforced(self, pattern: str) -> bool:
        try:
            within = all(budget.charge(pattern) for budget in self._budgets)
            self.unpaid += not within
            return within and enforced_size(pattern) is not None
        except PatternError:
            return False

    def _check_names(self, node: Any, pointer: str) -> None:
        for pattern in node if isinstance(node, Mapping) else ():
            with contextlib.suppress(PatternError):
                if not all(budget.charge(pattern) for budget in self._budgets):
                    raise DocumentError(
                        "its patterns are too large, or too many in all", field=pointer, remedy="write fewer patterns"
                    )

    def _with_siblings(
        self, node: Mapping[str, Any], resolved: Schema | bool, pointer: str, path: _Path
    ) -> Schema | bool:
        if len(node) == 1:
            return resolved
        if not self._siblings_apply:
            # Version 3.0 ignores whatever stands beside a reference, but publishers mean this one.
            return _with_null(resolved) if _is_nullable(node) and isinstance(resolved, dict) else resolved
        beside = {key: value for key, value in node.items() if key != "$ref"}
        return _combine(resolved, self._inline(beside, pointer, path))

    def _referred(self, target: str, pointer: str, path: _Path) -> Schema | bool:
        if target in path.in_place:
            # A value is valid if it is valid: says nothing. Subtypes refer to their base, and it to them, like this.
            self._freed += 1
            return True
        key = (target, path.in_place)
        if target in path.active:
            return self._reference(path.active[target])
        if key in self._done:
            schema, parts = self._done[key]
            if parts > _SHARED_PARTS:
                self.definitions[self._name(key)] = _as_object(schema)
                return self._reference(key)
            self._count(parts, pointer)
            return schema
        before = self.parts
        inside = replace(
            path, active={**path.active, target: key}, in_place=path.in_place | {target}, depth=path.depth + 1
        )
        schema = self._read(lookup(self._root, target, pointer), target, inside)
        self._done[key] = (schema, self.parts - before)
        if key in self._names:
            self.definitions[self._name(key)] = _as_object(schema)
            return self._reference(key)
        return schema

    def _reference(self, key: _Key) -> Schema:
        return {"$ref": f"#/$defs/{self._name(key)}"}

    def _name(self, key: _Key) -> str:
        if key not in self._names:
            name = re.sub(r"[^A-Za-z0-9_.-]", "_", key[0].rpartition("/")[2]) or "schema"
            taken = set(self._names.values())
            self._names[key] = next(
                free for n in range(len(taken) + 1) if (free := f"{name}_{n + 1}" if n else name) not in taken
            )
        return self._names[key]

    def _inline(self, node: Mapping[str, Any], pointer: str, path: _Path) -> Schema:
        schema: Schema = {}
        for key, value in node.items():
            if key in _REFUSED:
                raise UnreadableError(
                    f"{key} is not supported here", field=pointer, remedy="use `$ref` with #/... instead"
                )
            if value is None and key not in ("default", "const"):
                # An empty line of YAML, which says nothing.
                continue
            if key in ("example", "examples"):
                schema |= short_example(value)
                continue
            if key in _VALUES:
                schema[key] = value
                if key != "description":
                    self._count(_data_parts(value), pointer)
                if key == "pattern" and isinstance(value, str) and not self._is_enforced(value):
                    # The tool's own server still applies it.
                    del schema[key]
                    self._freed += 1
                continue
            if key not in _SCHEMAS | _SCHEMA_LISTS | _SCHEMA_MAPS:
                continue
            if path.depth >= MAX_SCHEMA_DEPTH:
                self._freed += 1
                continue
            freed = self._freed
            keyword, read = self._nested(key, node, pointer, path)
            if self._freed == freed or keyword not in _STRICTER | {"oneOf"}:
                schema[keyword] = read
            elif keyword == "oneOf" and "anyOf" not in node:
                # More than one may be valid where some part is free.
                schema["anyOf"] = read
        return self._finished(node, schema, pointer)

    def _nested(self, key: str, node: Mapping[str, Any], pointer: str, path: _Path) -> tuple[str, Any]:
        value, inside, at = node[key], path.below(key), child(pointer, key)
        if key in _SCHEMA_LISTS or (key == "items" and isinstance(value, list)):
            items = enumerate(_typed(value, list, pointer, key))
            return ("prefixItems" if key == "items" else key), [
                self._read(item, child(at, index), inside) for index, item in items
            ]
        if key in _SCHEMA_MAPS:
            if key == "patternProperties":
                self._check_names(value, at)
            required = node.get("required") if key == "properties" else True
            members = {}
            for name, item in _typed(value, dict, pointer, key).items():
                if self._read_only(item, pointer):
                    continue
                if required is True or name in (required or ()):
                    members[name] = self._read(item, child(at, name), inside)
                else:
                    with self.optional(child(at, name)):
                        members[name] = self._read(item, child(at, name), inside)
            return key, members
        return key, self._read(value, at, inside)

    @contextlib.contextmanager
    def optional(self, pointer: str) -> Iterator[None]:
        """What cannot be read within the block, which reads the optional part at `pointer`, is passed over."""
        collected: list[tuple[dict[Any, Any], int]] = [
            (known, len(known)) for known in (self.definitions, self._names, self._done)
        ]
        try:
            yield
        except UnreadableError as error:
            # What was read within the block may refer to what was not finished.
            for known, number in collected:
                while len(known) > number:
                    known.popitem()
            if len(self.passed_over) == MAX_PASSED_OVER:
                raise DocumentError(
                    f"more than {MAX_PASSED_OVER} optional parts of its schemas cannot be read",
                    field=pointer,
                    remedy="correct them, or leave the operation out with `operations`",
                ) from error
            message = f"it is offered without this optional part: {error.message}"
            self.passed_over[pointer] = DocumentError(message, field=pointer, remedy=error.remedy)
            self._freed += 1

    def _finished(self, node: Mapping[str, Any], schema: Schema, pointer: str) -> Schema:
        if "description" in schema:
            text = schema.pop("description")
            if isinstance(text, str) and text.strip():
                schema["description"] = text[: 4 * MAX_DESCRIPTION_CHARACTERS].strip()[:MAX_DESCRIPTION_CHARACTERS]
        schema |= _corrected(schema)
        if isinstance(schema.get("required"), bool):
            # Draft 3 of JSON Schema said so of a property; it has no meaning any more.
            del schema["required"]
        if isinstance(required := schema.get("required"), list):
            properties = node.get("properties")
            items = properties.items() if isinstance(properties, Mapping) else ()
            read_only = {name for name, item in items if self._read_only(item, pointer)}
            distinct = {repr(name): name for name in required}.values()
            schema["required"] = [name for name in distinct if not (isinstance(name, str) and name in read_only)]
        schema = _unwrapped(_with_numeric_bounds(schema))
        return _or_null(_with_null(schema) if not self._siblings_apply and _is_nullable(node) else schema)

    def _read_only(self, node: Any, pointer: str) -> bool:
        if isinstance(node, Mapping) and isinstance(target := node.get("$ref"), str):
            if node.get("readOnly") is True and self._siblings_apply:
                return True
            try:
                node = lookup(self._root, target, pointer)
            except DocumentError:
                # The fault is reported where the schema itself is read.
                return False
        return isinstance(node, Mapping) and node.get("readOnly") is True

    def _evaluations(self, node: Any, pointer: str) -> int:
        """How many schemas, references written out, apply to a value. Raises `DocumentError` if they are too many."""
        if isinstance(node, list):
            return sum(self._evaluations(item, pointer) for item in node)
        if not isinstance(node, dict):
            return 1
        number = 1
        for key, value in node.items():
            if key == "$ref":
                number += self._evaluations_of(value.removeprefix("#/$defs/"), pointer)
            elif key in _SCHEMAS | _SCHEMA_LISTS | _SCHEMA_MAPS:
                parts = list(value.values()) if key in _SCHEMA_MAPS else value
                inside = self._evaluations(parts, pointer)
                number += inside if key in _IN_PLACE else 0
        if number > _MAX_EVALUATIONS:
            raise DocumentError(
                f"more than {_MAX_EVALUATIONS} schemas, references written out, apply to one value",
                field=pointer,
                remedy="simplify them, or leave the operation out with `operations`",
            )
        return number

    def _evaluations_of(self, name: str, pointer: str) -> int:
        if name not in self._known_evaluations:
            # A recursive schema meets itself again only at a part of the value.
            self._known_evaluations[name] = 1
            self._known_evaluations[name] = self._evaluations(self.definitions.get(name, {}), pointer)
        return self._known_evaluations[name]


def short_example(value: Any) -> Schema:
    """The first example as JSON Schema has it, if it is a single value and short: models do not see it."""
    first = next(iter(value), None) if isinstance(value, list) else value
    is_short = isinstance(first, str | int | float) and len(str(first)) <= MAX_EXAMPLE_CHARACTERS
    return {"examples": [first]} if is_short else {}


def compile_schema(schema: Schema, pointer: str) -> jsonschema_rs.Draft202012Validator:
    """A validator. Raises `DocumentError` for what is not a valid JSON Schema."""
    try:
        return jsonschema_rs.Draft202012Validator(schema, pattern_options=pattern_options())
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        message = getattr(error, "message", None) or str(error)
        raise DocumentError(
            f"the schema is not valid: {str(message)[:300]}",
            field=pointer,
            remedy="correct it (JSON Schema 2020-12)",
        ) from error


def _data_parts(value: Any) -> int:
    """The parts of a value such as an enum: less than those of schemas, which cost more to read."""
    number, level = 0, [value]
    while level and number < 4 * MAX_SCHEMA_PARTS:
        number += len(level) + sum(len(item) // 64 for item in level if isinstance(item, str))
        level = [
            inside
            for item in level
            if isinstance(item, dict | list)
            for inside in (item.values() if isinstance(item, dict) else item)
        ]
    return number // 4


def _as_object(schema: Schema | bool) -> Schema:
    return schema if isinstance(schema, dict) else ({} if schema else {"not": {}})


def _corrected(schema: Schema) -> Schema:
    """Types that are no types, and whose meaning is plain: those of files, and of null where YAML had no quotes."""
    match schema.get("type"):
        case "file":
            return {"type": "string", "format": "binary"}
        case list() as kinds if None in kinds:
            return {"type": ["null" if kind is None else kind for kind in kinds]}
        case _:
            return {}


def _is_nullable(node: Mapping[str, Any]) -> bool:
    return node.get("nullable") is True or node.get("x-nullable") is True


def _typed(value: Any, kind: type[_Kind], pointer: str, key: str) -> _Kind:
    if not isinstance(value, kind):
        article = "a list" if kind is list else "an object"
        raise UnreadableError(f"{key} must be {article}", field=child(pointer, key), remedy="correct the schema")
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


def _with_numeric_bounds(schema: Schema) -> Schema:
    """Exclusive bounds as JSON Schema has them today; those of version 3.0 say whether `minimum` is one."""
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(flag := schema.get(exclusive), bool):
            del schema[exclusive]
            if flag and bound in schema:
                schema[exclusive] = schema.pop(bound)
    return schema


def _with_null(schema: Schema) -> Schema:
    if isinstance(kind := schema.get("type"), str) and not {"allOf", "anyOf", "oneOf", "not"} & set(schema):
        widened = {**schema, "type": [kind, "null"]}
        if isinstance(values := schema.get("enum"), list) and None not in values:
            widened["enum"] = [*values, None]
        return widened
    annotations = {key: value for key, value in schema.items() if key in _ANNOTATIONS}
    rest = {key: value for key, value in schema.items() if key not in _ANNOTATIONS}
    return {**annotations, "anyOf": [rest, {"type": "null"}]}
