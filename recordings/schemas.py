"""Tools with a JSON Schema of what a data set says of their parameters, in whatever words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from alpha_umi.roles.turns import Tool

# Names that data sets have for the types of JSON Schema.
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
# What is taken over of a schema as it is.
_KEPT: Final = ("description", "enum", "default", "required", "minItems", "maxItems", "minimum", "maximum")


def tool(name: str, description: str, properties: Mapping[str, Any], required: Iterable[str] = ()) -> Tool:
    """A tool with a JSON Schema of what a data set says of its parameters."""
    shown = {key: _property(said) for key, said in properties.items()}
    needed = [key for key in required if key in shown]
    return Tool(name, description, {"type": "object", "properties": shown} | ({"required": needed} if needed else {}))


def nested_schema(said: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON Schema of one that has other names for the types, and remarks that no schema knows, at any depth."""
    schema = {name: said[name] for name in _KEPT if name in said}
    name = _type(said)
    if name is not None:
        schema["type"] = name
    if isinstance(said.get("properties"), Mapping):
        schema["properties"] = {key: nested_schema(each) for key, each in said["properties"].items()}
    if isinstance(said.get("items"), Mapping):
        schema["items"] = nested_schema(said["items"])
    return _with_possible_values(schema)


def _with_possible_values(schema: dict[str, Any]) -> dict[str, Any]:
    """Values that a parameter's type does not allow are those of its items, or none: a grammar would allow nothing."""
    kind, values = str(schema.get("type")), schema.get("enum")
    if not isinstance(values, list) or kind not in _PYTHON_TYPES:
        return schema
    possible = [each for each in values if type(each) in _PYTHON_TYPES[kind]]
    if possible == values:
        return schema
    kept = {name: value for name, value in schema.items() if name != "enum"} | ({"enum": possible} if possible else {})
    if kind == "array" and not possible and isinstance(schema.get("items"), dict):
        kept["items"] = _with_possible_values({**schema["items"], "enum": values})
    return kept


def _type(said: Mapping[str, Any]) -> str | None:
    kind = str(said.get("type", "")).strip()
    name = _TYPES.get(kind.partition("[")[0].lower(), kind)
    return name if name in _JSON_TYPES else None


def _property(said: Any) -> dict[str, Any]:
    if not isinstance(said, Mapping):
        return {"description": str(said)}
    name = _type(said)
    schema: dict[str, Any] = {} if name is None else {"type": name}
    if "description" in said:
        schema["description"] = str(said["description"])
    return schema | ({"enum": list(said["enum"])} if isinstance(said.get("enum"), list) and said["enum"] else {})
