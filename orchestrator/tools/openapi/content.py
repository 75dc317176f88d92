"""Reads the `content` of a request body: which media type is sent, and how the properties of a form are written.

JSON is preferred, then forms, then text, then the document's order. Of `multipart` only form-data is supported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.tools.errors import DocumentError
from orchestrator.tools.openapi.bodies import is_json
from orchestrator.tools.openapi.document import child
from orchestrator.tools.openapi.operation import Body, BodyForm, Part, Style, StyleName
from orchestrator.tools.openapi.schema import MAX_DESCRIPTION_CHARACTERS, Schema, SchemaReader, short_example
from orchestrator.tools.openapi.shapes import only_integers, plain_object, possible_types

_PREFERENCE: Final[Mapping[BodyForm, int]] = {"json": 0, "urlencoded": 1, "multipart": 2, "text": 3}
_LINES: Final = frozenset({
    "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines",
    "application/jsonlines",
})  # fmt: skip
# What is sent where the document gives a range, such as `text/*`.
_OF_RANGE: Final[Mapping[BodyForm, str]] = {
    "json": "application/json",
    "multipart": "multipart/form-data",
    "text": "text/plain",
    "base64": "application/octet-stream",
}
_MEDIA: Final = ("image", "audio", "video", "font")


@dataclass(frozen=True)
class ContentReader:
    """Reads the bodies of one document; `schemas` reads their schemas."""

    root: Mapping[str, Any]
    schemas: SchemaReader

    def read(self, body: Any, pointer: str) -> tuple[Body, Schema, str]:
        """The body as one argument `body`, its schema, and where that stands. Raises `DocumentError`."""
        content = body.get("content") if isinstance(body, Mapping) else None
        if not isinstance(content, Mapping) or not all(isinstance(node, Mapping) for node in content.values()):
            raise DocumentError("this is not a request body", field=pointer, remedy="give it `content`")
        forms = {name: form for name in content if (form := _body_form(_essence(name))) is not None}
        if not forms:
            raise DocumentError(
                f"no body can be written as {', '.join(content)[:200] or 'nothing'}",
                field=child(pointer, "content"),
                remedy="offer JSON, a form, text or bytes",
            )
        name = min(forms, key=lambda name: _PREFERENCE.get(forms[name], len(_PREFERENCE)))
        node, at = content[name], child(child(child(pointer, "content"), name), "schema")
        schema = described(self.schemas.read(node.get("schema", {}), at), body)
        form, schema = self._sendable(forms[name], _essence(name), schema)
        if form in ("urlencoded", "multipart") and "object" not in possible_types(schema, self.schemas.definitions):
            raise DocumentError("a form must be an object", field=at, remedy="describe its properties")
        media_type = _OF_RANGE.get(form, name) if "*" in name else name
        required = body.get("required", False) is True
        return Body(media_type, form, "body", required, parts=self._parts(node, form, schema)), schema, at

    def style(self, node: Mapping[str, Any], schema: Schema, default: StyleName) -> Style:
        """The style that a Parameter or Encoding Object states, with the specification's defaults."""
        name: StyleName = node.get("style", default)
        explode = node.get("explode", name == "form") is True
        integers = only_integers(schema, self.schemas.definitions)
        return Style(name, explode, node.get("allowReserved", False) is True, integers)

    def _sendable(self, form: BodyForm, essence: str, schema: Schema) -> tuple[BodyForm, Schema]:
        """How the body is written, and the schema of the argument that it is written from."""
        types = possible_types(schema, self.schemas.definitions)

        def text(note: str) -> Schema:
            return {"type": "string", "description": f"{schema.get('description', '')} {note}".strip()}

        if form == "json" and "*" in essence and _is_file(schema):
            form = "base64"
        if form == "base64":
            is_bytes = _is_file(schema) or "octet-stream" in essence or essence.partition("/")[0] in _MEDIA
            if types == {"string"} and not is_bytes:
                return "text", schema
            return form, text("The bytes in base64.") | {"contentEncoding": "base64"}
        if form == "lines":
            if types == {"string"}:
                return "text", schema
            return form, schema if types == {"array"} else {"type": "array", "items": schema}
        if form == "text" and types & {"array", "object"}:
            return form, text(f"Text of the type {essence}.")
        return form, schema

    def _parts(self, node: Mapping[str, Any], form: BodyForm, schema: Schema) -> dict[str, Part]:
        if form not in ("urlencoded", "multipart"):
            return {}
        encodings = node.get("encoding", {})
        encodings = encodings if isinstance(encodings, Mapping) else {}
        properties = (plain_object(schema, self.schemas.definitions) or schema).get("properties", {})
        parts = {
            name: self._part(encodings.get(name, {}), properties.get(name, {}), form)
            for name in dict.fromkeys([*properties, *encodings])
        }
        return {name: part for name, part in parts.items() if part != Part()}

    def _part(self, encoding: Any, schema: Any, form: BodyForm) -> Part:
        encoding = encoding if isinstance(encoding, Mapping) else {}
        schema = schema if isinstance(schema, dict) else {}
        if form == "urlencoded" and {"style", "explode", "allowReserved"} & set(encoding):
            return Part(self.style(encoding, schema, "form"))
        item = schema.get("items", schema)
        item = item if isinstance(item, dict) else {}
        media_type = str(encoding.get("contentType", item.get("contentMediaType", ""))).partition(",")[0].strip()
        media_type = "" if "*" in media_type else media_type
        is_text = not media_type or media_type.startswith("text/") or is_json(media_type)
        name: StyleName = "json" if media_type and is_json(media_type) else "content"
        style = Style(name, integers=only_integers(schema, self.schemas.definitions))
        # Version 3.1 has no other way to describe raw bytes than to say nothing about the type.
        untyped = not set(item) - {"description", "examples"} and str(self.root.get("openapi", "")).startswith("3.1")
        return Part(style, media_type or None, form == "multipart" and (_is_file(item) or not is_text or untyped))


def described(schema: Schema, node: Mapping[str, Any]) -> Schema:
    """The schema with the description and an example of the parameter or body that it belongs to."""
    if isinstance(text := node.get("description"), str) and text.strip():
        schema = {**schema, "description": text.strip()[:MAX_DESCRIPTION_CHARACTERS]}
    named = node.get("examples")
    listed = named.values() if isinstance(named, Mapping) else ()
    values = [each["value"] for each in listed if isinstance(each, Mapping) and "value" in each]
    return schema | short_example([node["example"]] if "example" in node else values)


def _essence(media_type: str) -> str:
    return media_type.partition(";")[0].strip().lower()


def _body_form(essence: str) -> BodyForm | None:
    if is_json(essence):
        return "json"
    if essence == "application/x-www-form-urlencoded":
        return "urlencoded"
    if essence.startswith("multipart/"):
        return "multipart" if essence in ("multipart/form-data", "multipart/*") else None
    if essence in _LINES:
        return "lines"
    return "text" if essence.startswith("text/") or essence.endswith(("xml", "yaml")) else "base64"


def _is_file(schema: Schema) -> bool:
    """Whether a text is the content of a file, in full or in base64."""
    encoded = "contentEncoding" in schema or "contentMediaType" in schema
    return encoded or schema.get("format") in ("binary", "byte", "base64")
