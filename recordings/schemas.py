"""JSON Schemas from the descriptions of parameters in data sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from alpha_umi.roles.turns import Tool

# Type names of data sets, as types of JSON Schema.
_TYPES: Final[Mapping[str, str]] = {
    "str": "string",
    "text": "string",
    "int": "integer",
    "long": "integer",
    "float": "number",
    "double": "number",
    "bool": "boolean",
    "list": "array",
    "tuple": "array",
    "dict": "object",
    "any": "string",
    "datetime": "string",
    "date": "string",
    "time": "string",
}
_JSON_TYPES: Final = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
_PYTHON_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "array": (list,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "object": (dict,),
    "string": (str,),
}
# Keywords that are copied.
_COPIED: Final = ("description", "enum", "default", "required", "minItems", "maxItems", "minimum", "maximum")


def tool(name: str, description: str, properties: Mapping[str, Any], required: Iterable[str] = ()) -> Tool:
    """A tool with a JSON Schema of its parameters, from a data set's description of each."""
    schemas = {key: _property(each) for key, each in properties.items()}
    present = [key for key in required if key in schemas]
    schema = {"type": "object", "properties": schemas} | ({"required": present} if present else {})
    return Tool(name, description, schema)


def nested_schema(description: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON Schema from one with other type names and unknown keywords, recursively."""
    schema = {name: description[name] for name in _COPIED if name in description}
    name = _type(description)
    if name is not None:
        schema["type"] = name
    if isinstance(description.get("properties"), Mapping):
        schema["properties"] = {key: nested_schema(each) for key, each in description["properties"].items()}
    if isinstance(description.get("items"), Mapping):
        schema["items"] = nested_schema(description["items"])
    return _with_possible_values(schema)


def _with_possible_values(schema: dict[str, Any]) -> dict[str, Any]:
    """Remove enum values that the type excludes, or move them to the items: a grammar would accept nothing."""
    kind, values = str(schema.get("type")), schema.get("enum")
    if not isinstance(values, list) or kind not in _PYTHON_TYPES:
        return schema
    possible = [each for each in values if type(each) in _PYTHON_TYPES[kind]]
    if possible == values:
        return schema
    narrowed = {name: value for name, value in schema.items() if name != "enum"}
    if possible:
        narrowed["enum"] = possible
    if kind == "array" and not possible and isinstance(schema.get("items"), dict):
        narrowed["items"] = _with_possible_values({**schema["items"], "enum": values})
    return narrowed


def _type(description: Mapping[str, Any]) -> str | None:
    kind = str(description.get("type", "")).strip()
    name = _TYPES.get(kind.partition("[")[0].lower(), kind)
    return name if name in _JSON_TYPES else None


def _property(description: Any) -> dict[str, Any]:
    if not isinstance(description, Mapping):
        return {"description": str(description)}
    name = _type(description)
    schema: dict[str, Any] = {} if name is None else {"type": name}
    if "description" in description:
        schema["description"] = str(description["description"])
    values = description.get("enum")
    return schema | ({"enum": list(values)} if isinstance(values, list) and values else {})
