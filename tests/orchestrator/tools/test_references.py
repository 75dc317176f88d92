"""References by pointer, anchor, id and address, within a document and to others."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI, Request

from alpha_umi.contract.tool_schema import full_validator
from orchestrator.tools.egress import Egress
from orchestrator.tools.errors import DocumentError, SourceUnreachableError
from orchestrator.tools.model import EffectClass, LeftOut
from orchestrator.tools.openapi import references
from orchestrator.tools.openapi.operation import Operation
from orchestrator.tools.openapi.parse import parse_document
from orchestrator.tools.openapi.provider import OpenApiSource, load_openapi
from orchestrator.tools.openapi.references import bundled

Document = Callable[..., dict[str, Any]]
OK = {"200": {"description": "ok"}}
ADDRESS = "http://api.example/docs/openapi.json"
TEXT, COLOURS = {"type": "string", "minLength": 2}, {"enum": ["red", "blue"]}


def parse(raw: bytes) -> tuple[list[Operation], list[LeftOut]]:
    return parse_document(
        raw, source_name="s", base_url=None, document_url=ADDRESS, default_effect=EffectClass.UNKEYED_WRITE
    )


def posting(document: Document, schema: dict[str, Any], **schemas: Any) -> dict[str, Any]:
    body = {"content": {"application/json": {"schema": {"type": "object", "properties": {"a": schema}}}}}
    return document({"/x": {"post": {"requestBody": body, "responses": OK}}}, components={"schemas": schemas})


@pytest.mark.parametrize(
    ("schema", "schemas"),
    [
        ({"$ref": f"{ADDRESS}#/components/schemas/T"}, {"T": TEXT}),
        ({"$ref": "openapi.json#/components/schemas/T"}, {"T": TEXT}),
        ({"$ref": "#text"}, {"T": TEXT | {"$anchor": "text"}}),
        ({"$dynamicRef": "#text"}, {"T": TEXT | {"$dynamicAnchor": "text"}}),
        ({"$ref": "http://ids.example/text"}, {"T": TEXT | {"$id": "http://ids.example/text"}}),
        ({"$ref": "/schemas/text"}, {"T": TEXT | {"$id": "http://api.example/schemas/text"}}),
        ({"$ref": "#/components/schemas/B"}, {"B": {"$id": "b", "$defs": {"T": TEXT}, "$ref": "#/$defs/T"}}),
        ({"$ref": "#/components/schemas/B"}, {"B": {"$id": "b", "$ref": "#/components/schemas/T"}, "T": TEXT}),
        ({"$ref": "#/components/schemas/a%20b~1c"}, {"a b/c": TEXT}),
    ],
)
def test_references_of_all_kinds_within_a_document(
    document: Document, schema: dict[str, Any], schemas: dict[str, Any]
) -> None:
    (operation,), _ = parse(json.dumps(posting(document, schema, **schemas)).encode())
    assert operation.tool.parameters["properties"]["a"] == TEXT


def test_a_recursive_reference_means_the_nearest_schema_with_the_anchor(document: Document) -> None:
    inner = {
        "$recursiveAnchor": True,
        "type": "object",
        "properties": {"next": {"anyOf": [{"$recursiveRef": "#"}, TEXT]}},
    }
    tree = {"$recursiveAnchor": True, "properties": {"inner": {"type": "array", "items": inner}}}
    (operation,), _ = parse(json.dumps(posting(document, {"$ref": "#/components/schemas/Tree"}, Tree=tree)).encode())
    for value, valid in ("long enough", True), ("n", False), (1, False):
        assert (
            full_validator(operation.tool.parameters).is_valid({"a": {"inner": [{"next": {"next": value}}]}}) is valid
        )


def test_a_dynamic_reference_that_may_mean_several_schemas_is_not_offered(document: Document) -> None:
    spec = posting(document, {"$dynamicRef": "#t"}, A={"$dynamicAnchor": "t"}, B={"$dynamicAnchor": "t"})
    _, (left_out,) = parse(json.dumps(spec).encode())
    assert "without this optional part: $dynamicRef is not supported" in left_out.reason


FILES: dict[str, bytes] = {
    "http://api.example/docs/common/types.yaml": b"""
Text: {type: string, minLength: 2}
Colour: {$ref: '../colours.json'}
Pair: {type: array, prefixItems: [{$ref: '#/Text'}, {$ref: 'types.yaml#/Colour'}]}
Tree: {type: object, properties: {below: {type: array, items: {$ref: '#/Tree'}}}}
""",
    "http://api.example/docs/colours.json": json.dumps(COLOURS).encode(),
    "http://other.example/paths.json": json.dumps(
        {"things": {"get": {"operationId": "things", "parameters": [{"$ref": "#/page"}], "responses": OK},
                    "servers": [{"url": "http://evil.example"}]},
         "page": {"name": "page", "in": "query", "schema": {"type": "integer"}}}
    ).encode(),
}  # fmt: skip


async def load(url: str) -> bytes:
    if url not in FILES:
        raise SourceUnreachableError("the server answered with HTTP 404", field="url", remedy="none")
    return FILES[url]


async def test_other_documents_are_fetched_once_and_put_into_the_document(document: Document) -> None:
    spec = posting(document, {"$ref": "common/types.yaml#/Pair"})
    spec["paths"] |= {
        "/tree": {"post": {"requestBody": {"content": {"application/json": {
            "schema": {"type": "object", "properties": {"tree": {"$ref": "./common/types.yaml#/Tree"}}}}}}}},
        "/missing": {"get": {"parameters": [{"$ref": "gone.json"}]}},
        "/plain": {"get": {"operationId": "plain", "responses": {"default": {"$ref": "gone.json"}}}},
    }  # fmt: skip
    spec["paths"]["/x"]["post"]["responses"] = {"200": {"examples": {"$ref": "http://data.example/no-reference"}}}
    raw = await bundled(json.dumps(spec).encode(), ADDRESS, load)
    operations, (left_out,) = parse(raw)
    assert [each.path for each in operations] == ["/x", "/tree", "/plain"]
    pair = operations[0].tool.parameters["properties"]["a"]
    assert pair == {"type": "array", "prefixItems": [TEXT, COLOURS]}
    tree = operations[1].tool.parameters
    assert tree["properties"]["tree"]["$ref"] == "#/$defs/Tree"
    assert tree["$defs"]["Tree"]["properties"]["below"] == {"type": "array", "items": {"$ref": "#/$defs/Tree"}}
    assert (left_out.name, "'gone.json' leads out" in left_out.reason) == ("get_missing", True)
    # It is complete now.
    assert await bundled(raw, ADDRESS, load) == raw


async def test_a_path_of_another_host_cannot_direct_calls_there(document: Document) -> None:
    spec = document({"/things": {"$ref": "http://other.example/paths.json#/things"}, "/own": {"get": {}}})
    operations, (left_out,) = parse(await bundled(json.dumps(spec).encode(), ADDRESS, load))
    assert ([each.path for each in operations], left_out.name) == (["/own"], "things")
    assert "another origin" in left_out.reason


async def test_the_number_and_the_size_of_other_documents_are_bounded(
    document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def endless(url: str) -> bytes:
        return json.dumps({"$ref": url + "0"}).encode()

    raw = json.dumps(posting(document, {"$ref": "http://a.example/0"})).encode()
    monkeypatch.setattr(references, "MAX_REMOTE_DOCUMENTS", 50)
    with pytest.raises(DocumentError, match="more than 50 other documents"):
        await bundled(raw, ADDRESS, endless)
    monkeypatch.setattr(references, "MAX_BYTES", len(raw) + 60)
    with pytest.raises(DocumentError, match="larger than"):
        await bundled(raw, ADDRESS, endless)


@pytest.mark.parametrize("allowed", [True, False])
async def test_a_source_fetches_them_if_the_operator_allows_it(
    document: Document, serve: Callable[[Any], str], egress: Egress, allowed: bool
) -> None:
    app = FastAPI()
    seen: list[tuple[str, str | None]] = []
    spec = posting(document, {"$ref": "types.json#/Text"}) | {"servers": [{"url": "/v1"}]}
    spec["paths"]["/b"] = {"get": {"responses": OK}}

    @app.get("/docs/{name}")
    def file(name: str, request: Request) -> Any:
        seen.append((name, request.headers.get("x-key")))
        return {"openapi.json": spec, "types.json": {"Text": TEXT}}[name]

    source = OpenApiSource.model_validate(
        {
            "name": "s",
            "url": f"{serve(app)}/docs/openapi.json",
            "headers": {"X-Key": "secret"},
            "remote_references": allowed,
        }
    )
    provider = await load_openapi(source, egress)
    assert list(provider.tools) == (["post_x", "get_b"] if allowed else ["get_b"])
    assert seen == [("openapi.json", "secret")] + [("types.json", "secret")] * allowed
    # What is stored is complete: it reads the same without the network.
    again = await load_openapi(provider.source, Egress())
    assert again.tools == provider.tools
    assert again.left_out == provider.left_out


@pytest.mark.parametrize("base_url", [None, "http://api.example"])
async def test_only_an_address_that_the_operator_named_sees_the_headers(
    document: Document, serve: Callable[[Any], str], egress: Egress, base_url: str | None
) -> None:
    app = FastAPI()
    seen: list[str | None] = []

    @app.get("/types.json")
    def file(request: Request) -> Any:
        seen.append(request.headers.get("x-key"))
        return {"Text": TEXT}

    settings = {
        "name": "s",
        "document": posting(document, {"$ref": f"{serve(app)}/types.json#/Text"}),
        "headers": {"X-Key": "secret"},
        "remote_references": True,
    }
    await load_openapi(OpenApiSource.model_validate(settings | ({"base_url": base_url} if base_url else {})), egress)
    assert seen == [None]
