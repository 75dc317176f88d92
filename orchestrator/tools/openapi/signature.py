"""Combines the parameters and the JSON body of an operation into one flat schema of arguments.

The properties of a body become arguments if the body is a plain object and no name collides; otherwise the body is one
argument. A parameter whose name collides gets its location as a suffix (`id_query`). Optional
cookie parameters, and headers that HTTP or the orchestrator sets, are left out. Only the default
serialisation styles are supported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from orchestrator.tools.errors import DocumentError
from orchestrator.tools.openapi.document import child, resolve
from orchestrator.tools.openapi.operation import Body, Location, Parameter
from orchestrator.tools.openapi.schema import (
    MAX_DESCRIPTION_CHARACTERS,
    Schema,
    SchemaReader,
    check_default,
    without_null,
)

MAX_ARGUMENTS: Final = 128
UNSUPPORTED: Final = "describe it otherwise, or leave the operation out with `operations`"
# OpenAPI ignores the first three as parameters; the orchestrator sets the idempotency key.
_SET_BY_US = frozenset({"accept", "content-type", "authorization", "idempotency-key"})
# A model must not control the connection.
_FORBIDDEN_HEADERS = frozenset({
    "host", "connection", "content-length", "content-encoding", "transfer-encoding", "te", "trailer",
    "upgrade", "keep-alive", "expect", "accept-encoding", "cookie", "proxy-authorization",
    "proxy-connection", "forwarded", "x-forwarded-for", "x-forwarded-host",
})  # fmt: skip
_DEFAULT_STYLE: Mapping[Location, tuple[str, bool]] = {
    "query": ("form", True),
    "path": ("simple", False),
    "header": ("simple", False),
}
_LIFTABLE = frozenset({"type", "properties", "required", "additionalProperties", "description", "default"})


@dataclass
class ArgumentSchema:
    """The arguments of one operation while they are collected.

    `withheld` are the parameters (location, name) that carry credentials; they do not become arguments.
    """

    root: Mapping[str, Any]
    reader: SchemaReader
    withheld: frozenset[tuple[str, str]] = frozenset()
    properties: dict[str, Schema] = field(default_factory=dict)
    required: list[str] = field(default_factory=list)
    defaults: dict[str, Any] = field(default_factory=dict)
    parameters: list[Parameter] = field(default_factory=list)
    body: Body | None = None

    @property
    def schema(self) -> Schema:
        """The JSON Schema of all arguments."""
        schema: Schema = {"type": "object", "properties": self.properties, "additionalProperties": False}
        schema |= {"required": self.required} if self.required else {}
        return schema | {"$defs": self.reader.definitions} if self.reader.definitions else schema

    def add_parameters(self, nodes: Mapping[str, Any]) -> None:
        """Add Parameter Objects, given by where they stand. Later ones replace earlier ones of the same name."""
        merged = {}
        for pointer, node in nodes.items():
            parameter, at = resolve(self.root, node, pointer)
            if not _is_parameter(parameter):
                raise DocumentError("this is not a parameter", field=at, remedy="give it `name`, `in` and `schema`")
            merged[parameter["name"], parameter["in"]] = (parameter, at)
        for parameter, at in merged.values():
            self._add_parameter(parameter, at)

    def add_body(self, node: Any, pointer: str, *, method: str) -> None:
        """Add a Request Body Object. An optional body is offered like a required one: models then send it."""
        body, pointer = resolve(self.root, node, pointer)
        if method in ("get", "head"):
            raise DocumentError(f"{method.upper()} takes no body", field=pointer, remedy="remove it")
        media_type, schema, at = self._json_content(body, pointer)
        if _is_plain_object(schema) and not set(schema["properties"]) & set(self.properties):
            self.body = Body(media_type, argument=None, properties=tuple(schema["properties"]))
            for name, part in schema["properties"].items():
                self._add(name, part, child(child(at, "properties"), name), name in schema.get("required", ()))
        else:
            name = self._free_name("body", "request")
            self.body = Body(media_type, argument=name)
            self._add(name, _described(schema, body), at, body.get("required", False))

    def _add_parameter(self, node: Mapping[str, Any], pointer: str) -> None:
        name, place, needed = node["name"], node["in"], node.get("required", False)
        if (place, name) in self.withheld or (place == "header" and name.lower() in _SET_BY_US):
            return
        if place == "cookie":
            if needed:
                raise DocumentError(f"the cookie {name!r} is required", field=pointer, remedy=UNSUPPORTED)
            return
        if place == "header" and name.lower() in _FORBIDDEN_HEADERS:
            raise DocumentError(f"the header {name!r} cannot be set by a call", field=pointer, remedy="remove it")
        if "schema" not in node:
            raise DocumentError("a parameter with `content` is not supported", field=pointer, remedy=UNSUPPORTED)
        location = cast(Location, place)
        schema = without_null(self.reader.read(node["schema"], child(pointer, "schema")))
        _check_style(node, location, schema, pointer)
        argument = self._free_name(name, location)
        self.parameters.append(Parameter(argument, name, location))
        self._add(argument, _described(schema, node), pointer, needed)

    def _add(self, argument: str, schema: Schema | bool, pointer: str, needed: bool) -> None:
        if len(self.properties) == MAX_ARGUMENTS:
            raise DocumentError(f"there are more than {MAX_ARGUMENTS} arguments", field=pointer, remedy=UNSUPPORTED)
        as_object: Schema = {} if isinstance(schema, bool) else schema
        check_default(as_object, pointer)
        self.properties[argument] = as_object
        if "default" in as_object:
            self.defaults[argument] = as_object["default"]
        elif needed:
            self.required.append(argument)

    def _free_name(self, name: str, suffix: str) -> str:
        if name not in self.properties:
            return name
        return self._free_name(f"{name}_{suffix}", suffix)

    def _json_content(self, body: Mapping[str, Any], pointer: str) -> tuple[str, Schema, str]:
        content = body.get("content") if isinstance(body, Mapping) else None
        if not isinstance(content, Mapping) or not all(isinstance(part, Mapping) for part in content.values()):
            raise DocumentError("this is not a request body", field=pointer, remedy="give it `content`")
        media_type = next((name for name in content if is_json(name)), None)
        if media_type is None:
            offered = ", ".join(content)[:200] or "nothing"
            raise DocumentError(f"the body must be JSON, not {offered}", field=pointer, remedy=UNSUPPORTED)
        at = child(child(child(pointer, "content"), media_type), "schema")
        schema = self.reader.read(content[media_type].get("schema", {}), at)
        return "application/json" if "*" in media_type else media_type, schema, at


def is_json(media_type: str) -> bool:
    """Whether a media type, or a range of them, means JSON."""
    essence = media_type.partition(";")[0].strip().lower()
    return essence in ("application/json", "*/*", "application/*") or (
        essence.startswith("application/") and essence.endswith("+json")
    )


def _is_parameter(node: Any) -> bool:
    return (
        isinstance(node, Mapping)
        and isinstance(node.get("name"), str)
        and node.get("in") in ("path", "query", "header", "cookie")
    )


def _is_plain_object(schema: Schema) -> bool:
    # A flat list of arguments cannot express null or a map of free names.
    return (
        schema.get("type") == "object"
        and bool(schema.get("properties"))
        and not schema.get("additionalProperties")
        and set(schema) <= _LIFTABLE
        and "default" not in schema
    )


def _described(schema: Schema, node: Mapping[str, Any]) -> Schema:
    if isinstance(text := node.get("description"), str) and text.strip():
        return {**schema, "description": text.strip()[:MAX_DESCRIPTION_CHARACTERS]}
    return schema


def _check_style(node: Mapping[str, Any], location: Location, schema: Schema, pointer: str) -> None:
    style, explode = _DEFAULT_STYLE[location]
    # An invalid type is reported by the check of the complete schema.
    kinds = schema.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "object" in kinds or "properties" in schema:
        raise DocumentError("only bodies may hold objects", field=child(pointer, "schema"), remedy=UNSUPPORTED)
    if node.get("style", style) != style:
        raise DocumentError(
            f"style {node['style']!r} is not supported, only {style!r}",
            field=child(pointer, "style"),
            remedy=UNSUPPORTED,
        )
    if "array" in kinds and node.get("explode", explode) is not explode:
        raise DocumentError(
            f"explode must be {str(explode).lower()}", field=child(pointer, "explode"), remedy=UNSUPPORTED
        )
    if node.get("allowReserved", False):
        raise DocumentError(
            "reserved characters are always encoded",
            field=child(pointer, "allowReserved"),
            remedy="remove it",
        )
