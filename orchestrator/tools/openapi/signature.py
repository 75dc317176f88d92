"""Combines the parameters and the body of an operation into one flat schema of arguments.

The properties of a body become arguments if the body is a plain object and no name collides; otherwise the body is one
argument. An argument that has members itself names them at the end of its description, the only part of it that prompts
are sure to show. A parameter whose name collides gets its location as a suffix (`id_query`). Headers that HTTP or the
orchestrator sets are left out, and optional parameters that cannot be sent.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

from orchestrator.tools.errors import DocumentError
from orchestrator.tools.openapi.bodies import is_json
from orchestrator.tools.openapi.content import ContentReader, described
from orchestrator.tools.openapi.document import child, resolve
from orchestrator.tools.openapi.operation import Body, Location, Parameter, Style, StyleName
from orchestrator.tools.openapi.schema import Schema, SchemaReader, without_null
from orchestrator.tools.openapi.shapes import has_form, members_text, plain_object, possible_types

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
# The first of a place is its default.
_STYLES: Mapping[Location, tuple[StyleName, ...]] = {
    "query": ("form", "spaceDelimited", "pipeDelimited", "deepObject"),
    "path": ("simple", "label", "matrix"),
    "header": ("simple",),
    "cookie": ("form",),
}
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


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
        """Add a Request Body Object. An optional body is offered like a required one: models then send it.

        Bodies of GET and HEAD are ignored (OpenAPI 3.0.4, Operation Object).
        """
        if method in ("get", "head"):
            return
        node, pointer = resolve(self.root, node, pointer)
        body, schema, at = ContentReader(self.root, self.reader).read(node, pointer)
        lifted = None
        if body.form in ("json", "urlencoded", "multipart"):
            lifted = plain_object(schema, self.reader.definitions)
        if lifted is None or not self._fit(lifted["properties"]):
            name = self._free_name("body", "request")
            self.body = replace(body, argument=name)
            self._add(name, schema, at, body.required)
            return
        self.body = replace(body, argument=None, properties=tuple(lifted["properties"]))
        for name, part in lifted["properties"].items():
            self._add(name, part, child(child(at, "properties"), name), name in lifted["required"])

    def _fit(self, properties: Mapping[str, Any]) -> bool:
        return not set(properties) & set(self.properties) and len(properties) + len(self.properties) <= MAX_ARGUMENTS

    def _add_parameter(self, node: Mapping[str, Any], pointer: str) -> None:
        name, place = node["name"], node["in"]
        needed = place == "path" or node.get("required", False) is True
        if self._is_withheld(place, name) or (place == "header" and name.lower() in _SET_BY_US):
            return
        if needed:
            self._add_sendable(node, pointer, needed=True)
        else:
            with self.reader.optional(pointer), contextlib.suppress(_Unsendable):
                self._add_sendable(node, pointer, needed=False)

    def _add_sendable(self, node: Mapping[str, Any], pointer: str, *, needed: bool) -> None:
        name, location = node["name"], cast(Location, node["in"])
        schema, style = self._read_parameter(node, location, pointer)
        argument = self._free_name(name, location)
        self.parameters.append(Parameter(argument, name, location, style))
        self._add(argument, described(schema, node), pointer, needed)

    def _read_parameter(self, node: Mapping[str, Any], location: Location, pointer: str) -> tuple[Schema, Style]:
        """Schema and style. Raises `_Unsendable` if no value can be sent."""
        name = node["name"]
        if location in ("header", "cookie") and not _TOKEN.fullmatch(name):
            raise _Unsendable(
                f"{name[:200]!r} is no name of a {location}", field=child(pointer, "name"), remedy="correct it"
            )
        if location == "header" and name.lower() in _FORBIDDEN_HEADERS:
            raise _Unsendable(f"the header {name!r} cannot be set by a call", field=pointer, remedy="remove it")
        if isinstance(content := node.get("content"), Mapping) and content:
            return self._read_content(content, child(pointer, "content"))
        at = child(pointer, "schema")
        schema = without_null(self.reader.read(node.get("schema", {}), at))
        style = ContentReader(self.root, self.reader).style(node, schema, _STYLES[location][0])
        if style.name not in _STYLES[location]:
            raise _Unsendable(
                f"the style {str(style.name)[:200]!r} does not exist in a {location}",
                field=child(pointer, "style"),
                remedy=f"use {' or '.join(_STYLES[location])}",
            )
        if not has_form(schema, style, self.reader.definitions):
            raise _Unsendable(
                f"the style {style.name!r} has no form for lists and objects inside others",
                field=at,
                remedy=UNSUPPORTED,
            )
        return schema, style

    def _read_content(self, content: Mapping[str, Any], pointer: str) -> tuple[Schema, Style]:
        media_type, node = next(iter(content.items()))
        at = child(pointer, media_type)
        schema = self.reader.read(node.get("schema", {}) if isinstance(node, Mapping) else {}, child(at, "schema"))
        if is_json(media_type):
            return schema, Style("json")
        if media_type.startswith("text/"):
            return without_null(schema), Style("form", explode=False)
        raise _Unsendable(f"a parameter cannot be {media_type[:200]}", field=at, remedy="use JSON or text")

    def _is_withheld(self, place: str, name: str) -> bool:
        # The names of headers are the same in any case.
        return any(
            place == kind and (name == taken or (place == "header" and name.lower() == taken.lower()))
            for kind, taken in self.withheld
        )

    def _add(self, argument: str, schema: Schema | bool, pointer: str, needed: bool) -> None:
        if len(self.properties) == MAX_ARGUMENTS:
            raise DocumentError(f"there are more than {MAX_ARGUMENTS} arguments", field=pointer, remedy=UNSUPPORTED)
        if not possible_types(schema, self.reader.definitions):
            if needed:
                message = f"the argument {argument[:200]!r} is required, and its schema allows no value"
                raise DocumentError(message, field=pointer, remedy="correct the schema")
            return
        as_object: Schema = schema if isinstance(schema, dict) else {}
        self.properties[argument] = self._with_members(as_object)
        if needed and "default" in as_object:
            self.defaults[argument] = as_object["default"]
        elif needed:
            self.required.append(argument)

    def _with_members(self, schema: Schema) -> Schema:
        """The schema with the names and types of its members in the description."""
        if not (text := members_text(schema, self.reader.definitions)):
            return schema
        label = "Members of each item"
        if "object" in possible_types(schema, self.reader.definitions):
            # Prompts show "any" as the type of a schema that does not state one.
            label = "Members" if "type" in schema else "Members of the object"
        return {**schema, "description": f"{schema.get('description', '')} {label}: {text}".lstrip()}

    def _free_name(self, name: str, suffix: str) -> str:
        if name not in self.properties:
            return name
        return self._free_name(f"{name}_{suffix}", suffix)


class _Unsendable(DocumentError):
    """No value of a parameter can be sent. An optional one is then passed over."""


def _is_parameter(node: Any) -> bool:
    return (
        isinstance(node, Mapping)
        and isinstance(node.get("name"), str)
        and node.get("in") in ("path", "query", "header", "cookie")
    )
