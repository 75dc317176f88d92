"""Converts parts of Swagger 2.0 documents to those of OpenAPI 3.0, which `parse` reads.

Schemas stay where they are; `SchemaReader` reads them as those of version 3.0. Operations are converted one by one, so
that a mistake in one harms no other. Source: the Swagger 2.0 specification.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urljoin

from orchestrator.tools.errors import DocumentError
from orchestrator.tools.openapi.document import child, resolve

_FORMS: Final = ("application/x-www-form-urlencoded", "multipart/form-data")
_STYLES: Final[dict[str, dict[str, Any]]] = {
    "csv": {"explode": False},
    "multi": {"style": "form", "explode": True},
    "ssv": {"style": "spaceDelimited", "explode": False},
    "pipes": {"style": "pipeDelimited", "explode": False},
}
_NO_SCHEMA: Final = frozenset(
    {"name", "in", "required", "description", "collectionFormat", "allowEmptyValue", "schema"}
)


def converted_root(root: Mapping[str, Any], document_url: str | None) -> dict[str, Any]:
    """The document with `servers` and security schemes of version 3; its operations are as they were."""
    schemes = root.get("securityDefinitions")
    schemes = schemes if isinstance(schemes, Mapping) else {}
    return {
        **root,
        "servers": list(_servers(root, document_url)),
        "components": {"securitySchemes": {name: _scheme(node) for name, node in schemes.items()}},
    }


def converted_operation(
    root: Mapping[str, Any], operation: Mapping[str, Any], parameters: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The operation without parameters, but with `requestBody` and answers, and its parameters by pointer.

    `parameters` are those of the path and then of the operation, by pointer. Raises `DocumentError`.
    """
    merged: dict[tuple[Any, Any], tuple[str, dict[str, Any]]] = {}
    for pointer, node in parameters.items():
        parameter, at = resolve(root, node, pointer)
        if not isinstance(parameter, Mapping):
            raise DocumentError("this is not a parameter", field=at, remedy="give it `name` and `in`")
        merged[str(parameter.get("name")), str(parameter.get("in"))] = (at, dict(parameter))
    plain = {at: _parameter(node, at) for at, node in merged.values() if node.get("in") not in ("body", "formData")}
    result = {key: value for key, value in operation.items() if key not in ("parameters", "servers")}
    result["responses"] = _responses(root, operation)
    body = [node for _, node in merged.values() if node.get("in") == "body"]
    form = {at: node for at, node in merged.values() if node.get("in") == "formData"}
    consumes = _media_types(root, operation, "consumes")
    if body:
        result["requestBody"] = {
            "description": body[0].get("description"),
            "required": body[0].get("required") is True,
            "content": {name: {"schema": body[0].get("schema", {})} for name in consumes or ["application/json"]},
        }
    elif form:
        result["requestBody"] = _form(form, consumes)
    return result, plain


def _servers(root: Mapping[str, Any], document_url: str | None) -> Iterator[dict[str, str]]:
    base = root.get("basePath") if isinstance(root.get("basePath"), str) else "/"
    host = root.get("host")
    if not isinstance(host, str) or not host:
        yield {"url": urljoin("/", base or "/")}
        return
    own = (document_url or "https:").partition(":")[0]
    schemes = root.get("schemes") if isinstance(root.get("schemes"), list) else [own]
    # Credentials travel encrypted where the document offers it.
    for scheme in sorted(map(str, schemes or [own]), key=lambda name: name != "https"):
        yield {"url": f"{scheme}://{host}/{str(base).lstrip('/')}"}


def _scheme(node: Any) -> Any:
    if isinstance(node, Mapping) and node.get("type") == "basic":
        return {"type": "http", "scheme": "basic"}
    return node


def _parameter(node: dict[str, Any], pointer: str) -> dict[str, Any]:
    same = {key: node[key] for key in ("name", "in", "required", "description") if key in node}
    return same | {"schema": _schema(node)} | _style(node, pointer)


def _schema(node: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a parameter other than a body, or of its items, whose keywords stand beside the others."""
    schema = {key: value for key, value in node.items() if key not in _NO_SCHEMA and not key.startswith("x-")}
    if "x-nullable" in node:
        schema["nullable"] = node["x-nullable"]
    if schema.get("type") == "file":
        schema |= {"type": "string", "format": "binary"}
    if isinstance(items := schema.get("items"), Mapping):
        schema["items"] = _schema(items)
    return schema


def _style(node: Mapping[str, Any], pointer: str) -> dict[str, Any]:
    if node.get("type") != "array":
        return {}
    name = str(node.get("collectionFormat", "csv"))
    if name not in _STYLES:
        raise DocumentError(
            f"the collectionFormat {name[:40]!r} has no form in OpenAPI 3",
            field=child(pointer, "collectionFormat"),
            remedy="leave the operation out with `operations`",
        )
    return {**_STYLES[name]}


def _form(parameters: Mapping[str, dict[str, Any]], consumes: list[str]) -> dict[str, Any]:
    has_file = any(node.get("type") == "file" for node in parameters.values())
    offered = [name for name in consumes if name in _FORMS]
    media_type = _FORMS[1] if has_file else (offered or [_FORMS[0]])[0]
    properties, encoding = {}, {}
    for pointer, node in parameters.items():
        name = str(node.get("name"))
        described = {"description": node["description"]} if "description" in node else {}
        properties[name] = _schema(node) | described
        if style := _style(node, pointer):
            encoding[name] = {"style": "form"} | style
    needed = [str(node.get("name")) for node in parameters.values() if node.get("required") is True]
    schema = {"type": "object", "properties": properties} | ({"required": needed} if needed else {})
    return {"required": bool(needed), "content": {media_type: {"schema": schema, "encoding": encoding}}}


def _responses(root: Mapping[str, Any], operation: Mapping[str, Any]) -> dict[str, Any]:
    """The answers by status: those with a schema have all media types that the operation produces."""
    content: dict[str, Any] = {name: {} for name in _media_types(root, operation, "produces")}
    responses = operation.get("responses")
    return {status: {"content": content} for status in responses} if isinstance(responses, Mapping) else {}


def _media_types(root: Mapping[str, Any], operation: Mapping[str, Any], key: str) -> list[str]:
    names = operation.get(key, root.get(key))
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
