"""A tool in detail, and calls by hand: their request, effect classes, idempotency keys and refusals."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from support.openapi_documents import OK, openapi_document
from support.orchestrator_world import Client, World

from orchestrator.store import AuditEntry, EventStore, StoreUnavailable

SECRET = "canary-credential-7f3a"
NOWHERE = [{"url": "http://127.0.0.1:1"}]


async def call(client: Client, name: str, *, key: str | None = None, **body: Any) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return await client.http.post(f"/v1/tools/{name}/calls", json=body, headers=headers)


async def test_a_tool_is_shown_with_an_example_and_its_request(client: Client, world: World) -> None:
    tool = (await client.http.get("/v1/tools/look_up")).json()
    assert (tool["name"], tool["source"], tool["effect"]) == ("look_up", "shop", "read")
    assert tool["example"] == {"item": "text"}
    assert tool["request"] == {
        "method": "GET",
        "url": f"{world.shop_url}/items/text",
        "headers": {"accept": "application/json, */*;q=0.1"},
        "credentials": [],
        "body": None,
    }
    assert world.shop.journal == []


async def test_a_call_by_hand_shows_request_status_and_observation(client: Client, world: World) -> None:
    result = (await call(client, "look_up", arguments={"item": "red lamp"})).json()
    assert (result["request"]["method"], result["request"]["url"]) == ("GET", f"{world.shop_url}/items/red%20lamp")
    assert (result["status"], result["is_error"], result["truncated"]) == (200, False, False)
    assert result["observation"] == '{"item":"red lamp","price":80}'
    assert result["duration_ms"] >= 0
    broken = (await call(client, "look_up", arguments={"item": "broken"})).json()
    assert (broken["status"], broken["is_error"]) == (500, True)
    assert "out of order" in broken["observation"]


async def test_a_long_observation_is_shortened_by_its_structure(client: Client, world: World) -> None:
    world.shop.details["catalogue"] = {"entries": [{"name": f"entry {number}"} for number in range(5_000)]}
    result = (await call(client, "look_up", arguments={"item": "catalogue"})).json()
    assert 48 * 1024 < len(result["observation"]) <= 64 * 1024
    assert (result["truncated"], result["is_error"]) == (True, False)
    assert json.loads(result["observation"])["entries"][-1].startswith("[... items ")


async def test_a_call_that_may_change_something_is_confirmed(client: Client, world: World) -> None:
    for name in ("reserve", "order"):
        refused = await call(client, name, arguments={"item": "lamp"})
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "confirm")
        assert '"confirm": true' in refused.json()["errors"][0]["remedy"]
    assert world.shop.journal == []
    assert (await call(client, "order", arguments={"item": "lamp"}, confirm=True)).json()["status"] == 200
    assert world.shop.executed("order") == [("lamp", "")]
    await call(client, "look_up", arguments={"item": "lamp"}, confirm=True)
    (act,) = (await client.http.get("/v1/audit")).json()["data"]
    assert (act["action"], act["object"], act["key_id"]) == ("tool.called", "order", "anonymous")
    assert (act["details"]["effect"], act["details"]["source"]) == ("unkeyed_write", "shop")
    assert "lamp" not in str(act)


async def test_a_confirmed_call_that_cannot_be_recorded_is_not_sent(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(self: EventStore, act: AuditEntry) -> None:
        raise StoreUnavailable("full")

    monkeypatch.setattr(EventStore, "record_act", fails)
    assert (await call(client, "order", arguments={"item": "lamp"}, confirm=True)).status_code == 503
    assert world.shop.journal == []


async def test_calls_with_one_key_are_carried_out_once(client: Client, world: World) -> None:
    body = {"arguments": {"item": "lamp"}, "confirm": True}
    answers = await asyncio.gather(*(call(client, "order", key="k-1", **body) for _ in range(5)))
    answers.append(await call(client, "order", key="k-1", **body))
    assert len({answer.text for answer in answers}) == 1
    assert sorted("Idempotent-Replayed" in answer.headers for answer in answers) == [False] + [True] * 5
    assert world.shop.executed("order") == [("lamp", "")]
    other = await call(client, "order", key="k-1", arguments={"item": "chair"}, confirm=True)
    assert (other.status_code, other.json()["type"]) == (422, "urn:alpha-umi:problem:idempotency-key-reused")
    await call(client, "reserve", key="k-1", **body)
    assert world.shop.executed("reserve") == [("lamp", "k-1")]


async def test_refused_calls_name_what_is_wrong(client: Client, world: World) -> None:
    for arguments, field in (({"item": 5}, "arguments.item"), ({}, "arguments"), ({"item": ".."}, "arguments.item")):
        refused = await call(client, "look_up", arguments=arguments)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field)
        assert "tools show look_up" in refused.json()["errors"][0]["remedy"]
    unknown = await call(client, "look_upp", arguments={})
    assert (unknown.status_code, unknown.json()["errors"][0]["remedy"]) == (404, "did you mean 'look_up'?")
    assert (await client.http.get("/v1/tools/look_upp")).status_code == 404
    assert world.shop.journal == []


async def test_numbers_keep_their_digits(client: Client) -> None:
    operation = {
        "operationId": "pay",
        "parameters": [{"name": "amount", "in": "query", "required": True, "schema": {"type": "number"}}],
        "responses": OK,
    }
    document = openapi_document({"/a": {"get": operation}}, servers=NOWHERE)
    assert (await client.http.post("/v1/tool-sources", json={"name": "s", "document": document})).status_code == 201
    headers = {"Content-Type": "application/json"}
    body = '{"arguments": {"amount": 1.10}}'
    infinite = await client.http.post("/v1/tools/pay/calls", content=body.replace("1.10", "NaN"), headers=headers)
    assert (infinite.status_code, infinite.json()["errors"][0]["field"]) == (422, "arguments")
    result = await client.http.post("/v1/tools/pay/calls", content=body, headers=headers)
    assert result.json()["request"]["url"] == "http://127.0.0.1:1/a?amount=1.10"


async def test_a_document_that_repeats_the_credential_discloses_it_to_nobody(client: Client) -> None:
    quoted = "".join(f"\\u{ord(character):04x}" for character in SECRET)
    leaks = {"type": "string", "enum": [SECRET, "red"], "description": f"such as {quoted}"}
    documented = {"summary": f"Send {SECRET}", "responses": OK}
    paths = {
        f"/{SECRET}/items": {
            "get": documented
            | {"operationId": "items", "parameters": [{"name": SECRET, "in": "query", "schema": leaks}]},
            "post": documented | {"operationId": SECRET},
            "put": documented | {"operationId": "broken", "parameters": [{"name": SECRET, "in": "nowhere"}]},
        }
    }
    document = json.dumps(openapi_document(paths, servers=[{"url": f"http://127.0.0.1:1/{SECRET}"}]))
    source = {"name": "echo", "document": document, "headers": {"X-Key": SECRET}}
    answers = [await client.http.post("/v1/tool-sources", json=source)]
    assert answers[0].status_code == 201, answers[0].text
    assert [left_out["reason"] for left_out in answers[0].json()["left_out"]]
    answers += [await client.http.get(path) for path in ("/v1/tools", "/v1/tools/items", "/v1/tool-sources")]
    del paths[f"/{SECRET}/items"]["get"]
    source |= {"name": "worse", "document": openapi_document(paths, servers=NOWHERE)}
    answers.append(await client.http.post("/v1/tool-sources", json=source))
    assert answers[-1].status_code == 422
    assert not [answer.request.url for answer in answers if SECRET in answer.text or quoted[1:] in answer.text]


async def test_credentials_are_shown_by_their_places_only(client: Client) -> None:
    operation = {"operationId": "secured", "responses": OK, "security": [{"key": [], "token": []}]}
    schemes = {
        "key": {"type": "apiKey", "in": "query", "name": "api_key"},
        "token": {"type": "http", "scheme": "bearer"},
    }
    components = {"securitySchemes": schemes}
    document = openapi_document({"/a": {"get": operation}}, servers=NOWHERE, components=components)
    source = {"name": "s", "document": document, "credentials": {"key": SECRET, "token": SECRET}}
    assert (await client.http.post("/v1/tool-sources", json=source)).status_code == 201
    shown = await client.http.get("/v1/tools/secured")
    result = await call(client, "secured")
    for text in (shown.text, result.text):
        assert SECRET not in text
    assert shown.json()["request"]["credentials"] == ["header authorization", "query api_key"]
    assert (result.json()["status"], result.json()["is_error"]) == (None, True)
    assert "refuses the connection" in result.json()["observation"]
