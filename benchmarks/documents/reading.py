"""Endpoints of OpenAPI 3.0, 3.1 and Swagger 2.0 documents: how each parameter and body is to be written.

Shares no code with the product. Swagger 2.0 is read as it is, not converted. References to other documents are not
followed: an endpoint that needs one is `Unreadable`.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import yaml

METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch")
_ONE: Final = frozenset({
    "items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else", "unevaluatedItems",
    "unevaluatedProperties",
})  # fmt: skip
_SEVERAL: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_NAMED: Final = frozenset({"properties", "patternProperties", "dependentSchemas"})
_VALUES: Final = frozenset({
    "type", "enum", "const", "format", "pattern", "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum",
    "exclusiveMaximum", "multipleOf", "minItems", "maxItems", "uniqueItems", "minContains", "maxContains",
    "minProperties", "maxProperties", "required", "dependentRequired", "default", "contentEncoding", "contentMediaType",
})  # fmt: skip
_REFERENCE: Final = re.compile(r'"\$ref": "#/\$defs/([^"]+)"')
# OpenAPI: `style` of a parameter that has none.
_STYLE: Final = {"query": "form", "cookie": "form", "path": "simple", "header": "simple"}
# Swagger 2.0, `collectionFormat`.
_COLLECTION: Final = {"multi": "form", "ssv": "spaceDelimited", "pipes": "pipeDelimited", "tsv": "tabDelimited"}

Json = dict[str, Any]


class Unreadable(Exception):
    """A part of a document whose meaning cannot be read."""


@dataclass(frozen=True)
class Written:
    """How a value is written: by style, or, with a media type, as text of that type."""

    style: str | None = None
    explode: bool = False
    media_type: str | None = None


@dataclass(frozen=True)
class Parameter:
    """A value outside of the body. `schema` is JSON Schema 2020-12, with references into `Document.definitions`."""

    name: str
    location: str
    schema: Any
    required: bool
    written: Written


@dataclass(frozen=True)
class Media:
    """One form of a body. `encoding` tells how its properties are written where that is not the default."""

    schema: Any
    encoding: Mapping[str, Written]


@dataclass(frozen=True)
class Scheme:
    """A security scheme. `kind`: header, query, cookie, basic, bearer or unsupported."""

    name: str
    kind: str
    wire_name: str = "authorization"


@dataclass(frozen=True)
class Endpoint:
    """One operation: its Operation Object `node`, and the Path Item Object `item` that holds it."""

    method: str
    path: str
    node: Mapping[str, Any] = field(repr=False)
    item: Mapping[str, Any] = field(repr=False)


class Document:
    """A document's endpoints, and their parts."""

    def __init__(self, root: Json) -> None:
        self.root = root
        self.swagger = "swagger" in root
        self._old = self.swagger or str(root.get("openapi", "")).startswith("3.0")
        self.definitions: Json = {}

    def endpoints(self) -> list[Endpoint]:
        """Every operation of the seven methods; those of path items in other documents are not known."""
        listed = []
        for path, node in (self.root.get("paths") or {}).items():
            item = self._resolved_or_same(node)
            if path.startswith("/") and isinstance(item, Mapping):
                nodes = {method: self._resolved_or_same(item.get(method)) for method in METHODS}
                listed += [Endpoint(m.upper(), path, n, item) for m, n in nodes.items() if isinstance(n, Mapping)]
        return listed

    def parameters(self, endpoint: Endpoint) -> list[Parameter]:
        """Its parameters, without those of Swagger's bodies. A placeholder that is not declared is a text."""
        listed = [self._parameter(node) for node in self._nodes(endpoint) if node.get("in") not in ("body", "formData")]
        declared = {parameter.name for parameter in listed if parameter.location == "path"}
        missing = set(re.findall(r"\{([^{}]*)\}", endpoint.path)) - declared
        text = {"type": "string", "minLength": 1}
        return listed + [Parameter(name, "path", text, True, Written("simple")) for name in sorted(missing)]

    def bodies(self, endpoint: Endpoint) -> tuple[dict[str, Media], bool]:
        """The body in each of its media types, and whether it is required."""
        if self.swagger:
            return self._swagger_bodies(endpoint)
        body = self._resolve(endpoint.node.get("requestBody"))
        if not isinstance(body, Mapping):
            return {}, False
        media = {name: self._media(part or {}) for name, part in (body.get("content") or {}).items()}
        return media, body.get("required") is True

    def answers(self, endpoint: Endpoint) -> list[str]:
        """The media types that success is declared to have."""
        responses = {str(key).lower(): node for key, node in (endpoint.node.get("responses") or {}).items()}
        success = [node for key, node in responses.items() if key.startswith("2")] or [responses.get("default")]
        if self.swagger:
            typed = any("schema" in (self._resolve(node) or {}) for node in success)
            return list(endpoint.node.get("produces", self.root.get("produces", []))) if typed else []
        names = [name for node in success for name in (self._resolve(node) or {}).get("content") or {}]
        return [name.partition(";")[0].strip().lower() for name in dict.fromkeys(names)]

    def security(self, endpoint: Endpoint) -> list[list[Scheme]]:
        """The alternatives, each of the schemes that are needed together; empty if there are none."""
        requirements = endpoint.node.get("security", self.root.get("security")) or []
        return [[self.schemes().get(name, Scheme(name, "unsupported")) for name in each] for each in requirements]

    def schemes(self) -> dict[str, Scheme]:
        """The security schemes by name."""
        components = self.root.get("components") or {}
        named = self.root.get("securityDefinitions") if self.swagger else components.get("securitySchemes")
        return {name: _scheme(name, self._resolve(node)) for name, node in (named or {}).items()}

    def server(self, endpoint: Endpoint | None = None) -> str:
        """The address that applies, the operation's before the path's before the document's; possibly relative."""
        if self.swagger:
            schemes = self.root.get("schemes") or [""]
            scheme = "https" if "https" in schemes else schemes[0]
            host = f"{scheme}://{self.root['host']}" if scheme and self.root.get("host") else ""
            return (host + str(self.root.get("basePath", ""))).rstrip("/")
        levels = [endpoint.node, endpoint.item, self.root] if endpoint else [self.root]
        server: Json = next((level["servers"][0] for level in levels if level.get("servers")), {"url": ""})
        variables = server.get("variables") or {}
        text = re.sub(r"\{([^{}]*)\}", lambda m: str(variables.get(m[1], {}).get("default", "")), server["url"])
        return text.rstrip("/")

    def schema(self, node: Any) -> Any:
        """A Schema Object as JSON Schema 2020-12 for requests: without what is read-only."""
        if not isinstance(node, Mapping):
            return node if isinstance(node, bool) else {}
        if isinstance(target := node.get("$ref"), str):
            reference = {"$ref": f"#/$defs/{self._named(target)}"}
            beside = {key: value for key, value in node.items() if key in _VALUES | _SEVERAL | _NAMED | _ONE}
            return reference if self._old or not beside else {"allOf": [reference, self.schema(beside)]}
        schema: Json = {key: value for key, value in node.items() if key in _VALUES}
        hidden = [name for name, part in (node.get("properties") or {}).items() if self._read_only(part)]
        for key, value in node.items():
            if key in _ONE:
                schema[key] = self.schema(value)
            elif key in _SEVERAL and isinstance(value, list):
                schema[key] = [self.schema(part) for part in value]
            elif key in _NAMED and isinstance(value, Mapping):
                schema[key] = {name: self.schema(part) for name, part in value.items() if name not in hidden}
        if isinstance(required := schema.get("required"), list):
            schema["required"] = [name for name in required if name not in hidden]
        else:
            schema.pop("required", None)
        return _modern(schema, nullable=self._old and node.get("nullable") is True) if self._old else schema

    def complete(self, schema: Any) -> Json:
        """The schema with the definitions that it reaches."""
        reached: Json = {}
        pending = [schema]
        while pending:
            names = _REFERENCE.findall(json.dumps(pending.pop(), ensure_ascii=False))
            new = {name: self.definitions[name] for name in names if name in self.definitions and name not in reached}
            reached |= new
            pending += new.values()
        return {"allOf": [schema], "$defs": reached}

    def _named(self, target: str) -> str:
        name = re.sub(r"\W", lambda m: f"-{ord(m[0]):x}-", target.removeprefix("#/"))
        if name not in self.definitions:
            self.definitions[name] = {}
            self.definitions[name] = self.schema(self._lookup(target))
        return name

    def _read_only(self, node: Any) -> bool:
        if isinstance(node, Mapping) and "$ref" in node and (self._old or "readOnly" not in node):
            node = self._resolve(node)
        return isinstance(node, Mapping) and node.get("readOnly") is True

    def _nodes(self, endpoint: Endpoint) -> Iterable[Json]:
        self._resolve(endpoint.node)
        nodes = [*(endpoint.item.get("parameters") or []), *(endpoint.node.get("parameters") or [])]
        resolved = [self._resolve(node) for node in nodes]
        return {(node["name"], node["in"]): node for node in resolved}.values()

    def _parameter(self, node: Json) -> Parameter:
        place, schema = node["in"], node.get("schema", {})
        if self.swagger:
            schema, written = node, _collection(node, place)
        elif content := node.get("content"):
            media_type, media = next(iter(content.items()))
            schema, written = media.get("schema", {}), Written(media_type=media_type)
        else:
            written = _styled(node, _STYLE[place])
        return Parameter(node["name"], place, self.schema(schema), node.get("required") is True, written)

    def _media(self, node: Json) -> Media:
        encoding = {}
        for name, part in (node.get("encoding") or {}).items():
            if any(key in part for key in ("style", "explode", "allowReserved")):
                encoding[name] = _styled(part, "form")
            elif isinstance(media_type := part.get("contentType"), str):
                encoding[name] = Written(media_type=media_type)
        return Media(self.schema(node.get("schema", {})), encoding)

    def _swagger_bodies(self, endpoint: Endpoint) -> tuple[dict[str, Media], bool]:
        consumes = endpoint.node.get("consumes", self.root.get("consumes")) or []
        nodes = list(self._nodes(endpoint))
        if body := next((node for node in nodes if node.get("in") == "body"), None):
            media = Media(self.schema(body.get("schema", {})), {})
            return dict.fromkeys(consumes or ["application/json"], media), body.get("required") is True
        fields = [node for node in nodes if node.get("in") == "formData"]
        if not fields:
            return {}, False
        form = {
            "type": "object",
            "properties": {node["name"]: self.schema(node) for node in fields},
            "required": [node["name"] for node in fields if node.get("required") is True],
        }
        media = Media(
            form, {node["name"]: _collection(node, "query") for node in fields if node.get("type") == "array"}
        )
        usual = "multipart/form-data" if any(n.get("type") == "file" for n in fields) else None
        forms = [usual] if usual else [name for name in consumes if "form" in name]
        return dict.fromkeys(forms or ["application/x-www-form-urlencoded"], media), bool(form["required"])

    def _resolved_or_same(self, node: Any) -> Any:
        with contextlib.suppress(Unreadable):
            return self._resolve(node)
        return node

    def _resolve(self, node: Any) -> Any:
        for _ in range(16):
            if not isinstance(node, Mapping) or not isinstance(target := node.get("$ref"), str):
                return node
            node = self._lookup(target)
        raise Unreadable("references in a circle")

    def _lookup(self, target: str) -> Any:
        node: Any = self.root
        if not target.startswith("#/"):
            raise Unreadable(f"a reference to another document: {target}")
        for part in target[2:].split("/"):
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            try:
                node = node[int(key)] if isinstance(node, list) else node[key]
            except (KeyError, IndexError, TypeError, ValueError):
                raise Unreadable(f"a reference that leads nowhere: {target}") from None
        return node


def load(path: Path) -> Document:
    """The document in a JSON or YAML file (YAML 1.2's core types, keys as text)."""
    text = path.read_text(encoding="utf-8-sig")
    root = json.loads(text) if text.lstrip().startswith("{") else _texts(yaml.load(text, Loader=_CoreLoader))  # noqa: S506
    return Document(root)


class _CoreLoader(yaml.CSafeLoader):
    """YAML with the types of YAML 1.2's core schema: no dates, and `no` is a text."""

    yaml_implicit_resolvers: dict[str, Any] = {  # noqa: RUF012 - as PyYAML declares it
        first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] in ("null", "merge")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


for _tag, _pattern in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$"),
    ("int", r"^[-+]?(?:0|[1-9][0-9]*)$"),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$"),
):
    _CoreLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list("tTfF+-.0123456789"))


def _texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _texts(part) for key, part in value.items()}
    return [_texts(part) for part in value] if isinstance(value, list) else value


def _modern(schema: Json, *, nullable: bool) -> Json:
    """Bounds, null and files as JSON Schema 2020-12 has them."""
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(flag := schema.get(exclusive), bool):
            del schema[exclusive]
            if flag and bound in schema:
                schema[exclusive] = schema.pop(bound)
    if schema.get("type") == "file":
        schema |= {"type": "string", "format": "binary"}
    if nullable and isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]
    return schema


def _styled(node: Json, usual: str) -> Written:
    style = node.get("style", usual)
    return Written(style, explode=node.get("explode", style in ("form", "deepObject")) is True)


def _collection(node: Json, place: str) -> Written:
    if node.get("type") != "array":
        return Written("scalar")
    style = "simple" if place in ("path", "header") else _COLLECTION.get(node.get("collectionFormat", "csv"), "form")
    return Written(style, explode=node.get("collectionFormat") == "multi")


def _scheme(name: str, node: Any) -> Scheme:
    kind = node.get("type") if isinstance(node, Mapping) else None
    if kind == "apiKey" and node.get("in") in ("header", "query", "cookie"):
        return Scheme(name, node["in"], node["name"])
    if kind == "basic" or (kind == "http" and str(node.get("scheme")).lower() == "basic"):
        return Scheme(name, "basic")
    if kind in ("oauth2", "openIdConnect") or (kind == "http" and str(node.get("scheme")).lower() == "bearer"):
        return Scheme(name, "bearer")
    return Scheme(name, "unsupported")
