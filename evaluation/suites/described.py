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


def tool(name: str, description: str, properties: Mapping[str, Any], required: Iterable[str] = ()) -> Tool:
    """A tool with a JSON Schema of what a data set says of its parameters."""
    shown = {key: _property(said) for key, said in properties.items()}
    needed = [key for key in required if key in shown]
    return Tool(name, description, {"type": "object", "properties": shown} | ({"required": needed} if needed else {}))


def _property(said: Any) -> dict[str, Any]:
    if not isinstance(said, Mapping):
        return {"description": str(said)}
    kind = str(said.get("type", "")).strip()
    name = _TYPES.get(kind.partition("[")[0].lower(), kind)
    schema: dict[str, Any] = {"type": name} if name in _JSON_TYPES else {}
    if "description" in said:
        schema["description"] = str(said["description"])
    return schema | ({"enum": list(said["enum"])} if isinstance(said.get("enum"), list) and said["enum"] else {})
