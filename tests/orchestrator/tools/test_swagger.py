"""Swagger 2.0: every construct becomes what OpenAPI 3.0 says in its own way."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator.tools.errors import DocumentError
from orchestrator.tools.model import EffectClass, LeftOut
from orchestrator.tools.openapi.operation import Operation
from orchestrator.tools.openapi.parse import parse_document
from orchestrator.tools.openapi.swagger import converted_operation

OK = {"200": {"description": "ok", "schema": {"type": "object"}}}


def parse(paths: dict[str, Any], *, url: str | None = None, **more: Any) -> tuple[list[Operation], list[LeftOut]]:
    document = {"swagger": "2.0", "info": {"title": "t", "version": "1"}, "host": "api.example", "paths": paths} | more
    raw = json.dumps(document).encode()
    return parse_document(
        raw, source_name="s", base_url=None, document_url=url, default_effect=EffectClass.UNKEYED_WRITE
    )


def converted(*parameters: dict[str, Any], **root: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    operation, plain = converted_operation(root, {"responses": OK}, {f"#/{n}": p for n, p in enumerate(parameters)})
    return operation, list(plain.values())


def test_a_document_becomes_tools() -> None:
    item = {
        "parameters": [{"name": "id", "in": "path", "type": "string", "required": True}],
        "put": {
            "operationId": "change",
            "parameters": [
                {"$ref": "#/parameters/page"},
                {"name": "pet", "in": "body", "required": True, "schema": {"$ref": "#/definitions/Pet"}},
            ],
            "responses": OK,
        },
    }
    pet = {
        "type": "object",
        "properties": {"name": {"type": "string", "x-nullable": True}, "inner": {"$ref": "#/definitions/Pet"}},
        "required": ["name"],
    }
    page = {"name": "page", "in": "query", "type": "integer", "minimum": 0, "exclusiveMinimum": True}
    (operation,), left_out = parse(
        {"/pets/{id}": item},
        definitions={"Pet": pet},
        parameters={"page": page},
        basePath="/v2",
        schemes=["http", "https"],
        produces=["application/json; charset=utf-8", "text/csv"],
    )
    assert left_out == []
    assert (operation.base_url, operation.method, operation.path) == ("https://api.example/v2", "PUT", "/pets/{id}")
    assert operation.answers == ("application/json", "text/csv")
    parameters = operation.tool.parameters
    assert parameters["required"] == ["id", "name"]
    assert parameters["properties"] == {
        "id": {"type": "string"},
        "page": {"type": "integer", "exclusiveMinimum": 0},
        "name": {"type": ["string", "null"]},
        "inner": {
            "type": "object",
            "$ref": "#/$defs/Pet",
            "description": "Members: name (string, required), inner (object)",
        },
    }


@pytest.mark.parametrize(
    ("more", "url", "base"),
    [
        ({}, None, "https://api.example"),
        ({"schemes": ["http"]}, None, "http://api.example"),
        ({"schemes": ["ws", "http"]}, "http://api.example/swagger.json", "http://api.example"),
        ({"host": None, "basePath": "/v1"}, "http://a.example/docs/swagger.json", "http://a.example/v1"),
        ({"schemes": None}, "http://api.example/swagger.json", "http://api.example"),
    ],
)
def test_the_address(more: dict[str, Any], url: str | None, base: str) -> None:
    (operation,), _ = parse({"/x": {"get": {"responses": OK}}}, url=url, **more)
    assert operation.base_url == base


def test_a_document_without_host_names_the_field_to_give() -> None:
    with pytest.raises(DocumentError, match=r"#/host: the Swagger 2.0 document, which was converted.*base_url"):
        parse({"/x": {"get": {"responses": OK}}}, host=None)


@pytest.mark.parametrize(
    ("written", "style"),
    [
        ({}, {"explode": False}),
        ({"collectionFormat": "csv"}, {"explode": False}),
        ({"collectionFormat": "multi"}, {"style": "form", "explode": True}),
        ({"collectionFormat": "ssv"}, {"style": "spaceDelimited", "explode": False}),
        ({"collectionFormat": "pipes"}, {"style": "pipeDelimited", "explode": False}),
    ],
)
def test_lists_keep_their_form(written: dict[str, str], style: dict[str, Any]) -> None:
    items = {"type": "integer", "collectionFormat": "csv"}
    _, (parameter,) = converted({"name": "a", "in": "query", "type": "array", "items": items} | written)
    schema = {"type": "array", "items": {"type": "integer"}}
    assert parameter == {"name": "a", "in": "query", "schema": schema} | style


def test_forms() -> None:
    fields: list[dict[str, Any]] = [
        {"name": "a", "in": "formData", "type": "string", "required": True, "description": "d"},
        {"name": "b", "in": "formData", "type": "array", "items": {"type": "string"}, "collectionFormat": "multi"},
    ]
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": "string", "description": "d"},
            "b": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["a"],
    }
    encoding = {"b": {"style": "form", "explode": True}}
    operation, _ = converted(*fields)
    form = "application/x-www-form-urlencoded"
    assert operation["requestBody"] == {"required": True, "content": {form: {"schema": schema, "encoding": encoding}}}
    operation, _ = converted(*fields, consumes=["multipart/form-data"])
    assert list(operation["requestBody"]["content"]) == ["multipart/form-data"]
    operation, _ = converted({"name": "f", "in": "formData", "type": "file"})
    assert operation["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"] == {
        "f": {"type": "string", "format": "binary"}
    }


def test_what_cannot_be_converted_harms_only_its_operation() -> None:
    tabs = {"name": "a", "in": "query", "type": "array", "collectionFormat": "tsv"}
    paths = {
        "/tabs": {"get": {"parameters": [tabs], "responses": OK}},
        "/none": {"get": {"parameters": [5], "responses": OK}},
        "/good": {"get": {"responses": None, "produces": 7, "consumes": None}},
    }
    (operation,), left_out = parse(paths)
    assert operation.path == "/good"
    assert [each.name for each in left_out] == ["get_tabs", "get_none"]
    assert (left_out[0].field, "'tsv'" in left_out[0].reason) == (
        "#/paths/~1tabs/get/parameters/0/collectionFormat",
        True,
    )


def test_credentials() -> None:
    schemes = {
        "basic": {"type": "basic"},
        "key": {"type": "apiKey", "in": "query", "name": "k"},
        "oauth": {"type": "oauth2", "flow": "implicit"},
    }
    security: list[dict[str, list[str]]] = [{"basic": []}, {"key": []}, {"oauth": []}]
    (operation,), _ = parse({"/x": {"get": {"responses": OK}}}, securityDefinitions=schemes, security=security)
    assert [scheme.kind for (scheme,) in operation.security] == ["basic", "query", "bearer"]
