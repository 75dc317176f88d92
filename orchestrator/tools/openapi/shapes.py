"""Questions about the values that a schema allows, however it is composed: their types, and the members of objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orchestrator.tools.openapi.operation import Style
from orchestrator.tools.openapi.schema import Schema

SCALARS: Final = frozenset({"string", "number", "integer", "boolean"})
_ANY: Final = SCALARS | {"null", "array", "object"}
_NAMES: Final = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
_PLAIN: Final = frozenset({"type", "properties", "required", "additionalProperties", "description", "default"})
# Models see the last 256 characters of a description.
MAX_MEMBERS_CHARACTERS: Final = 200

Definitions = Mapping[str, Schema]
# The schemas of members by name, and the names of those that an object must have.
_Members = tuple[dict[str, Any], frozenset[str]]


def possible_types(schema: Any, definitions: Definitions, *, active: frozenset[str] = frozenset()) -> frozenset[str]:
    """The JSON types that a schema may allow; `number` without `integer` is a number with a fraction."""
    if not isinstance(schema, dict):
        return frozenset() if schema is False else _ANY
    types = _ANY
    declared = schema.get("type")
    # Names of no type are refused when the schema is compiled.
    if names := [name for name in (declared if isinstance(declared, list) else [declared]) if name in [*_ANY]]:
        types &= {*names, *(["integer"] if "number" in names else [])}
    if isinstance(values := schema.get("enum", [schema["const"]] if "const" in schema else None), list):
        types &= {_NAMES.get(type(value), "null") for value in values}
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            types &= frozenset().union(*(possible_types(part, definitions, active=active) for part in schema[keyword]))
    for part in [*schema.get("allOf", ()), *_referred(schema, definitions, active)]:
        types &= possible_types(part, definitions, active=active | {schema.get("$ref", "")})
    rest = {} if "patternProperties" in schema else schema.get("additionalProperties")
    properties, required = schema.get("properties", {}), schema.get("required")
    if isinstance(required, list) and any(properties.get(str(name), rest) is False for name in required):
        types -= {"object"}
    return types


def only_integers(schema: Any, definitions: Definitions) -> bool:
    """Whether all numbers that a value or the items of a list may hold are integers."""
    types = possible_types(schema, definitions)
    if "array" in types and isinstance(schema, dict) and "items" in schema:
        return not types & SCALARS and only_integers(schema["items"], definitions)
    return "integer" in types and "number" not in types and not types & {"array", "object"}


def has_form(schema: Any, style: Style, definitions: Definitions) -> bool:
    """Whether some value can be written in the style; most have no form for lists and objects inside others."""
    types = possible_types(schema, definitions)
    if types & SCALARS or style.name in ("deepObject", "json"):
        return True
    if not isinstance(schema, dict) or not {"items", "properties", "additionalProperties"} & set(schema):
        return True
    inner = [
        schema.get("items", False),
        *schema.get("properties", {}).values(),
        schema.get("additionalProperties", False),
    ]
    return any(possible_types(part, definitions) & SCALARS for part in inner)


def plain_object(schema: Schema, definitions: Definitions) -> Schema | None:
    """The schema with references and `allOf` joined, if it is nothing but an object of named properties.

    None for other schemas: a flat list of arguments can express neither null, nor free names, nor choices.
    """
    parts = _joined_parts(schema, definitions, frozenset())
    properties: dict[str, Any] = {}
    required: list[str] = []
    for part in parts:
        closed = part.get("additionalProperties") is False
        if (
            not set(part) <= _PLAIN
            or part.get("type", "object") != "object"
            or (closed and len(parts) > 1)
            or (not closed and "additionalProperties" in part)
        ):
            return None
        for name, node in part.get("properties", {}).items():
            if properties.setdefault(name, node) != node:
                return None
        names = part.get("required", [])
        required += names if isinstance(names, list) else [names]
    if not properties or not all(isinstance(name, str) and name in properties for name in required):
        return None
    return {"type": "object", "properties": properties, "required": required}


def members_text(
    schema: Any, definitions: Definitions, *, room: int = MAX_MEMBERS_CHARACTERS, into_sole: bool = True
) -> str:
    """Name and type of the members of an object, or of the objects in a list, required ones first; empty without any.

    A sole member that is an object is followed by its own members. The text has at most `room` characters.
    """
    if not possible_types(schema, definitions) & {"array", "object"}:
        return ""
    members, required = _members(schema, definitions, {})
    best, text = "", ""
    for number, name in enumerate(sorted(members, key=lambda name: name not in required), 1):
        note = ", required" if name in required else ""
        text += f"{', ' * (number > 1)}{name} ({_type_text(members[name], definitions)}{note})"
        if len(text) > room:
            break
        rest = f", {len(members) - number} more" if number < len(members) else ""
        best = text + rest if len(text + rest) <= room else best
    if into_sole and best and len(members) == 1:
        (sole,) = members.values()
        inside = members_text(sole, definitions, room=room - len(f"{best} with "), into_sole=False)
        if inside not in ("", best):
            return f"{best} with {inside}"
    return best


def _members(schema: Any, definitions: Definitions, known: dict[str, _Members]) -> _Members:
    """The members of an object, or of the objects in a list. `known` collects those of the definitions referred to."""
    if not isinstance(schema, dict):
        return {}, frozenset()
    every = [_members(part, definitions, known) for part in [*schema.get("allOf", ()), schema.get("items")]]
    if isinstance(target := schema.get("$ref"), str):
        if target not in known:
            # What the definition says of itself again adds nothing.
            known[target] = ({}, frozenset())
            known[target] = _members(_definition(target, definitions), definitions, known)
        every.append(known[target])
    for keyword in ("anyOf", "oneOf"):
        choices = [_members(part, definitions, known) for part in schema.get(keyword, ())]
        choices = [choice for choice in choices if choice[0]]
        shared = frozenset[str].intersection(*(names for _, names in choices)) if choices else frozenset[str]()
        every += [(members, shared) for members, _ in choices]
    own = {name: part for name, part in schema.get("properties", {}).items() if part is not False}
    names = schema.get("required")
    required = frozenset(name for name in names if isinstance(name, str)) if isinstance(names, list) else frozenset()
    merged = {name: part for members, _ in every for name, part in members.items()}
    return merged | own, required.union(*(each for _, each in every))


def _type_text(schema: Any, definitions: Definitions) -> str:
    types = possible_types(schema, definitions) - {"null"}
    if types == {"array"} and isinstance(items := schema.get("items"), dict):
        return f"array of {_type_text(items, definitions)}"
    if types == _ANY - {"null"}:
        return "any"
    return " or ".join(sorted(types - ({"integer"} if "number" in types else set()))) or "null"


def _joined_parts(schema: Schema, definitions: Definitions, active: frozenset[str]) -> list[Schema]:
    own = {key: value for key, value in schema.items() if key not in ("$ref", "allOf", "description", "examples")}
    parts = [own] if own else []
    for part in [*schema.get("allOf", ()), *_referred(schema, definitions, active)]:
        if isinstance(part, dict):
            parts += _joined_parts(part, definitions, active | {schema.get("$ref", "")})
        elif part is False:
            parts.append({"not": {}})
    return parts


def _referred(schema: Schema, definitions: Definitions, active: frozenset[str]) -> list[Any]:
    target = schema.get("$ref")
    if not isinstance(target, str) or target in active:
        return []
    return [_definition(target, definitions)]


def _definition(target: str, definitions: Definitions) -> Schema:
    return definitions.get(target.removeprefix("#/$defs/"), {})
