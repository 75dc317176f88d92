"""Tools over real HTTP: added, called, colliding, and removed."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse
from pydantic import BaseModel, Field, ValidationError
from support.openapi_documents import OK, openapi_document

from orchestrator.store import SHARED
from orchestrator.tools.egress import Egress
from orchestrator.tools.errors import (
    DocumentError,
    SourceExistsError,
    SourceUnreachableError,
    ToolSourceError,
    UnknownSourceError,
    UnknownToolError,
)
from orchestrator.tools.kinds import parse_source
from orchestrator.tools.model import EffectClass, ToolResult
from orchestrator.tools.openapi.provider import OpenApiSource, packed_document
from orchestrator.tools.registry import ToolRegistry

Serve = Callable[[Any], str]
CANARY = "canary-91ab7c55"


class Order(BaseModel):
    item: str
    count: Annotated[int, Field(ge=1)] = 1


def shop() -> FastAPI:
    """A tool API that records its requests."""
    app = FastAPI()
    app.state.requests = []

    @app.middleware("http")
    async def remember(request: Request, call_next: Any) -> Any:
        app.state.requests.append((request.method, str(request.url), dict(request.headers)))
        return await call_next(request)

    @app.get("/items/{name:path}", operation_id="get_item")
    def get_item(name: str, unit: str = "kg") -> dict[str, str]:
        return {"name": name, "unit": unit}

    @app.post("/orders", operation_id="place_order")
    def place_order(order: Order) -> Order:
        return order

    @app.get("/boom", operation_id="boom")
    def boom() -> JSONResponse:
        return JSONResponse({"detail": "out of order"}, status_code=503)

    @app.get("/moved", operation_id="moved")
    def moved() -> RedirectResponse:
        return RedirectResponse("http://127.0.0.1:1/secret")

    @app.get("/echo", operation_id="echo")
    def echo(request: Request) -> dict[str, Any]:
        return {"headers": dict(request.headers), "url": str(request.url)}

    @app.get("/page", operation_id="page", response_class=PlainTextResponse)
    def page() -> str:
        return "plain words"

    return app


@pytest.fixture
def registry(egress: Egress) -> ToolRegistry:
    return ToolRegistry(egress)


async def call(registry: ToolRegistry, name: str, arguments: dict[str, Any] | None = None) -> ToolResult:
    return await registry.call(
        registry.of(SHARED).get([name])[0], arguments or {}, idempotency_key="key-7", timeout_s=5
    )


def secured(schemes: dict[str, Any], security: list[dict[str, list[str]]], base: str) -> dict[str, Any]:
    parameters = [{"name": "api_key", "in": "query", "required": True, "schema": {"type": "string"}}]
    paths = {"/echo": {"get": {"operationId": "secured_echo", "parameters": parameters, "responses": OK}}}
    components = {"securitySchemes": schemes}
    return openapi_document(paths, servers=[{"url": base}], components=components, security=security)


async def test_a_fetched_document_becomes_tools_that_work(registry: ToolRegistry, serve: Serve) -> None:
    app = shop()
    base = serve(app)
    registered = await registry.add_source(
        OpenApiSource(name="shop", url=f"{base}/openapi.json", effect=EffectClass.KEYED_WRITE)
    )
    assert registered.base_url == base
    assert set(registered.tools) == {"get_item", "place_order", "boom", "moved", "echo", "page"}
    assert [tool.effect for tool in registry.of(SHARED).get(["get_item", "place_order"])] == ["read", "keyed_write"]

    actual = await call(registry, "get_item", {"name": "a/b ?#ü%2F"})
    assert json.loads(actual.content) == {"name": "a/b ?#ü%2F", "unit": "kg"}
    assert await call(registry, "place_order", {"item": "tea"}) == ToolResult(
        '{"item":"tea","count":1}', is_error=False, truncated=False, status=200
    )
    method, _, headers = app.state.requests[-1]
    assert (method, headers["idempotency-key"]) == ("POST", "key-7")
    assert (await call(registry, "page")).content == "plain words"


async def test_failures_are_observations(registry: ToolRegistry, serve: Serve) -> None:
    app = shop()
    await registry.add_source(OpenApiSource(name="shop", url=f"{serve(app)}/openapi.json"))
    requests_before = len(app.state.requests)
    wrong = await call(registry, "place_order", {"item": "tea", "count": 0})
    assert wrong.is_error
    assert "'count'" in wrong.content
    assert len(app.state.requests) == requests_before, "nothing is sent for arguments that do not fit"
    assert await call(registry, "boom") == ToolResult(
        'HTTP 503 from the tool: {"detail":"out of order"}', is_error=True, truncated=False, status=503
    )
    moved = await call(registry, "moved")
    assert moved.is_error
    assert "redirect" in moved.content
    assert "secret" not in moved.content


async def test_a_write_without_an_answer_is_of_unknown_effect(registry: ToolRegistry, raw_server: Any) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    spec = openapi_document({"/x": {"get": {"responses": OK}, "post": {"responses": OK}}})
    source = OpenApiSource(name="s", document=packed_document(spec), base_url=await raw_server(silent))
    await registry.add_source(source)
    read, write = registry.of(SHARED).offered.values()
    for tool, says in ((read, "gave no answer"), (write, "whether the call took effect is unknown")):
        result = await registry.call(tool, {}, idempotency_key="k", timeout_s=0.2)
        assert result.is_error
        assert says in result.content
        assert "0.2 s" in result.content


async def test_two_sources_may_have_the_same_tools(registry: ToolRegistry, serve: Serve) -> None:
    one, two = shop(), shop()
    await registry.add_source(OpenApiSource(name="one", url=f"{serve(one)}/openapi.json"))
    assert "page" in registry.of(SHARED).offered
    with pytest.raises(SourceExistsError, match="'one' is registered"):
        await registry.add_source(OpenApiSource(name="one", url=f"{serve(one)}/openapi.json"))
    await registry.add_source(OpenApiSource(name="two", url=f"{serve(two)}/openapi.json", operations=["page"]))

    assert {"one__page", "two__page", "get_item"} <= registry.of(SHARED).offered.keys()
    assert "page" not in {tool.name for tool in registry.of(SHARED).list_tools()}
    assert registry.of(SHARED).get(["one__get_item"]) == registry.of(SHARED).get(["get_item"])
    two.state.requests.clear()
    assert (await call(registry, "two__page")).content == "plain words"
    assert len(two.state.requests) == 1
    with pytest.raises(UnknownToolError, match="several sources have a tool 'page'; did you mean 'one__page' or 'two"):
        registry.of(SHARED).get(["page"])

    (gone,) = registry.of(SHARED).get(["one__page"])
    await registry.remove_source("one")
    assert list(registry.of(SHARED).offered) == ["page"]
    assert registry.find(gone) is None


async def test_of_several_sources_added_at_once_with_one_name_one_remains(registry: ToolRegistry, serve: Serve) -> None:
    source = OpenApiSource(name="one", url=f"{serve(shop())}/openapi.json")
    outcomes = await asyncio.gather(*(registry.add_source(source) for _ in range(3)), return_exceptions=True)
    assert sum(isinstance(outcome, SourceExistsError) for outcome in outcomes) == 2
    assert len(registry.list_sources()) == 1


async def test_a_removed_source_is_gone_with_its_tools(registry: ToolRegistry, serve: Serve) -> None:
    base = serve(shop())
    await registry.add_source(OpenApiSource(name="shop", url=f"{base}/openapi.json"))
    await registry.remove_source("shop")
    assert registry.of(SHARED).list_tools() == []
    with pytest.raises(UnknownSourceError, match="no source is registered"):
        await registry.remove_source("shop")
    with pytest.raises(UnknownToolError, match="no tool is registered as 'boom'"):
        await call(registry, "boom")


async def test_a_replaced_tool_is_not_called_with_arguments_of_its_predecessor(
    registry: ToolRegistry, serve: Serve
) -> None:
    await registry.add_source(OpenApiSource(name="shop", url=f"{serve(shop())}/openapi.json"))
    await registry.remove_source("shop")
    other = FastAPI()
    requests: list[int] = []

    @other.get("/items", operation_id="get_item")
    def get_item(number: int) -> None:
        requests.append(number)

    await registry.add_source(OpenApiSource(name="other", url=f"{serve(other)}/openapi.json"))
    result = await call(registry, "get_item", {"name": "tea"})
    assert result.is_error
    assert "the tool was not called" in result.content
    assert requests == []


async def test_unknown_names_get_suggestions(registry: ToolRegistry, serve: Serve) -> None:
    await registry.add_source(OpenApiSource(name="shop", url=f"{serve(shop())}/openapi.json"))
    with pytest.raises(UnknownToolError, match="did you mean 'place_order'") as caught:
        registry.of(SHARED).get(["get_item", "place_orders", "zzz"])
    assert caught.value.names == ["place_orders", "zzz"]
    assert caught.value.suggestions == ["place_order"]
    with pytest.raises(UnknownToolError, match="registered are boom, echo"):
        registry.of(SHARED).get(["zzz"])
    with pytest.raises(UnknownSourceError, match="did you mean 'shop'"):
        await registry.remove_source("shops")


async def test_a_source_with_its_document_needs_no_fetch(registry: ToolRegistry, egress: Egress, serve: Serve) -> None:
    app = shop()
    registered = await registry.add_source(OpenApiSource(name="shop", url=f"{serve(app)}/openapi.json"))
    requests_before = len(app.state.requests)
    restored = ToolRegistry(egress)
    await restored.add_source(parse_source(json.loads(json.dumps(registered.source.record())), stored=True))
    assert restored.of(SHARED).list_tools() == registry.of(SHARED).list_tools()
    assert len(app.state.requests) == requests_before


@pytest.mark.parametrize(
    ("path", "error", "says"),
    [
        ("/nothing", SourceUnreachableError, "HTTP 404"),
        ("/moved", SourceUnreachableError, "redirect"),
        ("/page", DocumentError, "not an object"),
        ("/items/x", DocumentError, "no `openapi`"),
    ],
)
async def test_addresses_without_a_document(
    registry: ToolRegistry, serve: Serve, path: str, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        await registry.add_source(OpenApiSource(name="shop", url=serve(shop()) + path))
    assert registry.list_sources() == []


async def test_a_view_is_made_once_and_again_when_sources_change(registry: ToolRegistry) -> None:
    spec = packed_document(openapi_document({"/x": {"get": {"responses": OK}}}))
    await registry.add_source(OpenApiSource(name="one", document=spec, base_url="http://127.0.0.1:1"))
    views = await asyncio.gather(*(registry.view(owner) for owner in ("alice", "bob", SHARED)))
    assert len(set(map(id, views))) == 1
    assert views[0] is registry.of("alice")
    making = asyncio.create_task(registry.view("alice"))
    await registry.add_source(OpenApiSource(name="two", document=spec, base_url="http://127.0.0.1:1"), owner="alice")
    await making
    assert len((await registry.view("alice")).offered) == 2
    assert len((await registry.view("bob")).offered) == 1


def test_a_document_nested_without_end() -> None:
    nested: dict[str, Any] = {}
    for _ in range(5_000):
        nested = {"a": nested}
    with pytest.raises(ValidationError, match="deep"):
        parse_source({"name": "a", "document": nested})


def test_the_form_of_the_store_is_no_document_for_clients() -> None:
    packed = packed_document("{}").record()
    assert parse_source({"name": "a", "document": packed}, stored=True) == parse_source({"name": "a", "document": "{}"})
    sent = parse_source({"name": "a", "document": packed})
    assert isinstance(sent, OpenApiSource)
    assert sent.document is not None
    assert json.loads(sent.document.raw()) == packed


async def test_a_closed_port_and_a_forbidden_address(registry: ToolRegistry, free_port: int) -> None:
    with pytest.raises(SourceUnreachableError, match="refuses"):
        await registry.add_source(OpenApiSource(name="a", url=f"http://127.0.0.1:{free_port}/openapi.json"))
    async with Egress() as guarded:
        with pytest.raises(SourceUnreachableError, match=r"public internet.*ALPHA_UMI_ALLOW_LOOPBACK_TOOLS"):
            await ToolRegistry(guarded).add_source(
                OpenApiSource(name="a", url=f"http://127.0.0.1:{free_port}/openapi.json")
            )


BASIC = base64.b64encode(f"user:{CANARY}".encode()).decode()
SCHEMES: dict[str, tuple[dict[str, Any], str, Callable[[str, dict[str, str]], bool]]] = {
    "header": (
        {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
        CANARY,
        lambda _, headers: headers["x-api-key"] == CANARY,
    ),
    "query": (
        {"type": "apiKey", "in": "query", "name": "api_key"},
        CANARY,
        lambda url, _: url.endswith(f"?api_key={CANARY}"),
    ),
    "cookie": (
        {"type": "apiKey", "in": "cookie", "name": "sid"},
        CANARY,
        lambda _, headers: headers["cookie"] == f"sid={CANARY}",
    ),
    "bearer": (
        {"type": "http", "scheme": "Bearer"},
        CANARY,
        lambda _, headers: headers["authorization"] == f"Bearer {CANARY}",
    ),
    "basic": (
        {"type": "http", "scheme": "basic"},
        f"user:{CANARY}",
        lambda _, headers: headers["authorization"] == f"Basic {BASIC}",
    ),
    "oauth": (
        {"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": "http://t.example", "scopes": {}}}},
        CANARY,
        lambda _, headers: headers["authorization"] == f"Bearer {CANARY}",
    ),
}


@pytest.mark.parametrize("kind", SCHEMES)
async def test_credentials_arrive_and_are_never_seen(
    registry: ToolRegistry, serve: Serve, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    caplog.set_level(logging.DEBUG)
    scheme, secret, arrived = SCHEMES[kind]
    app = shop()
    source = OpenApiSource.model_validate(
        {"name": "s", "document": secured({"K": scheme}, [{"K": []}], serve(app)), "credentials": {"K": secret}}
    )
    await registry.add_source(source)
    (tool,) = registry.of(SHARED).list_tools()
    arguments = {} if kind == "query" else {"api_key": "of-the-model"}
    assert ("api_key" in tool.parameters["properties"]) == bool(arguments), "a credential is nothing to ask a model for"
    result = await call(registry, tool.name, arguments)
    assert not result.is_error
    _, url, headers = app.state.requests[-1]
    assert arrived(url, headers)
    # The tool repeats all it got; the planner must not read the secret in it.
    everything = result.content + caplog.text + repr(registry.list_sources()) + repr(tool)
    assert CANARY not in everything
    assert BASIC not in everything
    assert "[redacted]" in result.content


async def test_alternatives_and_missing_credentials(registry: ToolRegistry, serve: Serve) -> None:
    app = shop()
    schemes = {
        "A": {"type": "http", "scheme": "bearer"},
        "B": {"type": "apiKey", "in": "header", "name": "X-B"},
        "M": {"type": "mutualTLS"},
    }
    spec = secured(schemes, [{"M": []}, {"A": [], "B": []}], serve(app))

    def source(**given: Any) -> OpenApiSource:
        return OpenApiSource.model_validate({"name": "s", "document": spec, **given})

    for given in ({}, {"credentials": {"A": CANARY}}, {"credentials": {"M": CANARY}}):
        with pytest.raises(ToolSourceError, match="needs credentials for 'M' or 'A' with 'B'") as caught:
            await registry.add_source(source(**given))
        assert CANARY not in str(caught.value)
    await registry.add_source(source(credentials={"A": "token-of-a"}, headers={"x-b": "key-of-b"}))
    await call(registry, "secured_echo", {"api_key": "x"})
    headers = app.state.requests[-1][2]
    assert (headers["authorization"], headers["x-b"]) == ("Bearer token-of-a", "key-of-b")


async def test_headers_go_to_the_document_only_where_the_calls_go(registry: ToolRegistry, serve: Serve) -> None:
    documents, calls = shop(), shop()
    url, base = f"{serve(documents)}/openapi.json", serve(calls)
    headers = {"X-Secret": CANARY}
    await registry.add_source(OpenApiSource.model_validate({"name": "a", "url": url, "headers": headers}))
    assert documents.state.requests[-1][2]["x-secret"] == CANARY
    await registry.remove_source("a")
    await registry.add_source(
        OpenApiSource.model_validate({"name": "a", "url": url, "base_url": base, "headers": headers})
    )
    assert "x-secret" not in documents.state.requests[-1][2]
    await call(registry, "echo")
    assert calls.state.requests[-1][2]["x-secret"] == CANARY


async def test_a_hundred_calls_at_once(registry: ToolRegistry, serve: Serve) -> None:
    await registry.add_source(OpenApiSource(name="shop", url=f"{serve(shop())}/openapi.json"))
    results = await asyncio.gather(*(call(registry, "get_item", {"name": str(n)}) for n in range(100)))
    assert [json.loads(result.content)["name"] for result in results] == [str(n) for n in range(100)]
