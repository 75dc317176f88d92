"""Two keys of two owners: no route shows, changes or calls anything of the other's."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import event
from starlette.routing import WebSocketRoute
from support.mcp_clients import begin_session, headers_of, message
from support.openapi_documents import OK, openapi_document
from support.orchestrator_process import orchestrator_process
from support.orchestrator_world import Client, World
from support.scripted_roles import call, decide, hang, in_turn, say
from websockets.asyncio.client import connect

from alpha_umi.web.key_file import Grant, new_key
from alpha_umi.web.keys import ALL_SCOPES, Scope
from alpha_umi.web.scopes import require
from orchestrator.api import tool_calls

USER: frozenset[Scope] = frozenset({"use", "tools"})
THERMOMETER = {"name": "read_thermometer", "description": "Reads a thermometer"}
CANARY = "canary"
# Without an owner: health, and what is the same for all.
OPEN = {"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/docs/{asset}"}
KEY = {"Idempotency-Key": "the-same"}


def key_file(folder: Path, grants: dict[str, frozenset[Scope]]) -> tuple[Path, dict[str, dict[str, str]]]:
    """A file with one key for each owner, and the headers of their requests."""
    keys = {owner: new_key(grant=Grant(owner, scopes)) for owner, scopes in grants.items()}
    path = folder / "keys"
    path.write_text("".join(f"{key.entry.line}\n" for key in keys.values()), encoding="utf-8")
    path.chmod(0o600)
    return path, {owner: {"Authorization": f"Bearer {key.text}"} for owner, key in keys.items()}


def source(name: str, operation: str, base_url: str, **more: Any) -> dict[str, Any]:
    spec = openapi_document({f"/{operation}": {"get": {"operationId": operation, "responses": OK}}})
    return {"name": name, "document": spec, "base_url": base_url, "effect": "read"} | more


class Owners:
    """Clients of one orchestrator by owner. `reads` are the statements of its reading connections."""

    def __init__(self, client: Client, headers: dict[str, dict[str, str]]) -> None:
        self.orchestrator, self.app = client.orchestrator, client.app
        self.reads: list[str] = []
        address = client.http.base_url
        self.http = {owner: httpx.AsyncClient(base_url=address, headers=own) for owner, own in headers.items()}
        event.listen(
            client.orchestrator.store._reader,
            "before_cursor_execute",
            lambda connection, cursor, statement, *rest: self.reads.append(statement),
        )

    async def post(self, owner: str, path: str, json: Any, **headers: str) -> httpx.Response:
        return await self.http[owner].post(path, json=json, headers=headers)


@contextlib.asynccontextmanager
async def owners(world: World, grants: dict[str, frozenset[Scope]], **settings: Any) -> AsyncIterator[Owners]:
    path, headers = key_file(world.folder, grants)
    async with world.orchestrator(api_keys_file=path, **settings) as client:
        running = Owners(client, headers)
        async with contextlib.AsyncExitStack() as stack:
            for http in running.http.values():
                await stack.enter_async_context(http)
            yield running


class Belongings:
    """What ann has: a waiting and a finished trajectory, a source with a tool, an idempotency key, a conversation."""

    def __init__(self, running: Owners, address: str) -> None:
        self.running = running
        self.address = address

    async def create(self, world: World) -> None:
        world.roles.planner = in_turn(decide("measure", "caller"), decide("done", "conclusion"))
        world.roles.caller = in_turn(call("read_thermometer"))
        registered = await self.running.post(
            "ann", "/v1/tool-sources", source(f"{CANARY}_shop", f"{CANARY}_tool", self.address)
        )
        assert registered.status_code == 201, registered.text
        body = {"instruction": f"{CANARY} instruction", "tools": ["look_up", THERMOMETER], "background": False}
        waiting = (await self.running.post("ann", "/v1/trajectories", body)).json()
        self.waiting, self.call_id = waiting["id"], waiting["steps"][0]["action"]["call_id"]
        self.keyed = {"instruction": "a question", "tools": ["look_up"]}
        finished = await self.running.post("ann", "/v1/trajectories", self.keyed, **KEY)
        self.finished = finished.json()["id"]
        assert finished.json()["status"] == "completed"
        world.roles.planner = in_turn(*[decide("done", "conclusion")] * 20)
        question = {"model": "alpha-umi", "input": f"{CANARY} question", "tools": []}
        self.response = (await self.running.post("ann", "/v1/responses", question)).json()["id"]
        spoken = {"items": [{"role": "user", "content": f"{CANARY} message"}]}
        self.conversation = (await self.running.post("ann", "/v1/conversations", spoken)).json()["id"]

    async def seen(self) -> Any:
        """What ann sees of it all."""
        ann = self.running.http["ann"]
        paths = ["/v1/trajectories", f"/v1/trajectories/{self.waiting}", "/v1/tools", "/v1/tool-sources"]
        paths += [f"/v1/responses/{self.response}", f"/v1/responses/{self.response}/input_items"]
        paths += [CONVERSATION.format(self.conversation), f"{CONVERSATION}/items".format(self.conversation)]
        return [(await ann.get(path)).json() for path in paths]


Probe = Callable[[Belongings, httpx.AsyncClient], Awaitable[None]]


def without_ids(response: httpx.Response, *ids: str) -> Any:
    text = response.text
    for known in ids:
        text = text.replace(known, "ID")
    return response.status_code, re.sub(r'"request_id":"\w+"', "", text)


def unknown(method: str, path: str, body: Any = None, *, of: str = "waiting") -> Probe:
    """The route answers about ann's thing as about one that does not exist."""

    async def probe(belongings: Belongings, http: httpx.AsyncClient) -> None:
        mine = getattr(belongings, of, of)
        nothing = "x" * len(mine)
        written = json.loads(json.dumps(body).replace("CALL", belongings.call_id))
        answers = [
            await http.request(method, path.format(mine), json=written),
            await http.request(method, path.format(nothing), json=written),
        ]
        assert answers[0].status_code == 404, answers[0].text
        assert without_ids(answers[0], mine) == without_ids(answers[1], nothing)

    return probe


def shows_nothing(path: str) -> Probe:
    async def probe(belongings: Belongings, http: httpx.AsyncClient) -> None:
        response = await http.get(path)
        assert response.status_code == 200
        assert CANARY not in response.text
        assert belongings.waiting not in response.text
        assert belongings.finished not in response.text

    return probe


async def lists(belongings: Belongings, http: httpx.AsyncClient) -> None:
    for query in ("", "?status=completed", "?limit=100"):
        await shows_nothing(f"/v1/trajectories{query}")(belongings, http)
    await unknown("GET", "/v1/trajectories?after={}", of="finished")(belongings, http)


async def creates(belongings: Belongings, http: httpx.AsyncClient) -> None:
    """The same request with the same idempotency key is another request; ann's tools do not exist."""
    own = await http.post("/v1/trajectories", json=belongings.keyed, headers=KEY)
    assert own.status_code == 200
    assert "idempotent-replayed" not in own.headers
    assert own.json()["id"] != belongings.finished
    refused = await http.post("/v1/trajectories", json={"instruction": "x", "tools": [f"{CANARY}_tool"]})
    nothing = await http.post("/v1/trajectories", json={"instruction": "x", "tools": ["xxxxxx_tool"]})
    assert refused.status_code == 422
    assert without_ids(refused, f"{CANARY}_tool") == without_ids(nothing, "xxxxxx_tool")
    everything = await http.post("/v1/trajectories", json={"instruction": "x"})
    assert f"{CANARY}_tool" not in everything.json()["tools"]


async def chats(belongings: Belongings, http: httpx.AsyncClient) -> None:
    """The output of ann's call is the history of another trajectory; ann's tools do not exist."""
    made = {"id": belongings.call_id, "type": "function", "function": {"name": "read_thermometer", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "What is it?"},
        {"role": "assistant", "content": None, "tool_calls": [made]},
        {"role": "tool", "tool_call_id": belongings.call_id, "content": "99"},
    ]
    own = await http.post("/v1/chat/completions", json={"model": "alpha-umi", "messages": messages})
    assert own.status_code == 200, own.text
    assert belongings.waiting.removeprefix("traj_") not in own.text
    assert CANARY not in own.text
    tools = [{"type": "alpha_umi:registered", "names": [f"{CANARY}_tool"]}]
    unknown_tool = await http.post(
        "/v1/chat/completions", json={"model": "alpha-umi", "messages": messages, "tools": tools}
    )
    assert (unknown_tool.status_code, unknown_tool.json()["error"]["code"]) == (400, "unknown_tool")


async def registers(belongings: Belongings, http: httpx.AsyncClient) -> None:
    """A source of the same name is another source."""
    address = "http://127.0.0.1:9"
    own = await http.post("/v1/tool-sources", json=source(f"{CANARY}_shop", f"{CANARY}_tool", address))
    assert own.status_code == 201, own.text
    assert (await http.get(f"/v1/tools/{CANARY}_tool")).json()["request"]["url"].startswith(address)
    assert (await http.delete(f"/v1/tool-sources/{CANARY}_shop")).status_code == 204


async def prunes(belongings: Belongings, http: httpx.AsyncClient) -> None:
    """What bob has, and nothing of ann's, as `seen` shows."""
    response = await http.post("/v1/prune", json={"older_than_s": 0})
    assert response.status_code == 200
    assert not response.json()["has_more"]


async def reads_audit(belongings: Belongings, http: httpx.AsyncClient) -> None:
    """It is the operator's, of whatever owner; see the scopes."""


async def begins_conversation(belongings: Belongings, http: httpx.AsyncClient) -> None:
    """It is empty, whatever others have."""
    own = await http.post("/v1/conversations", json={})
    items = await http.get(f"/v1/conversations/{own.json()['id']}/items")
    assert items.json()["data"] == []


async def compacts(belongings: Belongings, http: httpx.AsyncClient) -> None:
    """Ann's response is as unknown as any other."""
    mine, nothing = belongings.response, "x" * len(belongings.response)
    body = {"model": "alpha-umi"}
    answers = [
        await http.post("/v1/responses/compact", json=body | {"previous_response_id": response})
        for response in (mine, nothing)
    ]
    assert answers[0].status_code == 404, answers[0].text
    assert without_ids(answers[0], mine) == without_ids(answers[1], nothing)


async def continues_nothing(belongings: Belongings, http: httpx.AsyncClient) -> None:
    """Neither a response of ann's, nor an item that it wrote, nor her conversation."""
    body = {"model": "alpha-umi", "tools": []}
    own = await http.post("/v1/responses", json=body | {"input": "Hello"})
    assert own.status_code == 200
    item = belongings.response.replace("resp_", "msg_")
    for continued in (
        {"input": "Hello", "previous_response_id": belongings.response},
        {"input": "Hello", "conversation": belongings.conversation},
        {"input": [{"type": "item_reference", "id": item}, {"role": "user", "content": "Hello"}]},
    ):
        response = await http.post("/v1/responses", json=body | continued)
        assert response.status_code in (400, 404), response.text
        assert CANARY not in response.text


CONVERSATION = "/v1/conversations/{}"
IN_CONVERSATION: list[tuple[str, str, Any]] = [
    ("GET", "", None),
    ("POST", "", {"metadata": {}}),
    ("DELETE", "", None),
    ("GET", "/items", None),
    ("POST", "/items", {"items": [{"role": "user", "content": "mine"}]}),
    ("GET", "/items/{item_id}", None),
    ("DELETE", "/items/{item_id}", None),
]


async def continues_nothing_on_a_web_socket(belongings: Belongings, http: httpx.AsyncClient) -> None:
    address = str(http.base_url.join("/v1/responses")).replace("http", "ws", 1)
    request = {"type": "response.create", "model": "alpha-umi", "input": "x"}
    async with connect(address, additional_headers={"Authorization": http.headers["Authorization"]}) as socket:
        await socket.send(json.dumps(request | {"previous_response_id": belongings.response}))
        error = json.loads(await socket.recv())
    assert (error["status"], error["error"]["code"]) == (404, "previous_response_not_found")


async def speaks_mcp(belongings: Belongings, http: httpx.AsyncClient) -> None:
    """Neither tools nor trajectories nor the session of another owner; see also its own tests."""
    session = (await begin_session(belongings.running.http["ann"])).headers["mcp-session-id"]
    requests = [
        message("tools/list"),
        *(
            message("tools/call", {"name": "get_trajectory", "arguments": {"id": known}})
            for known in (belongings.waiting, belongings.finished)
        ),
        message("tools/call", {"name": f"{CANARY}_tool", "arguments": {}}),
    ]
    own = (await begin_session(http)).headers["mcp-session-id"]
    for request in requests:
        foreign = await http.post("/mcp", json=request, headers=headers_of(request, session=session))
        assert foreign.status_code == 404
        answer = await http.post("/mcp", json=request, headers=headers_of(request, session=own))
        assert f"{CANARY} instruction" not in answer.text
        assert f'"{CANARY}_tool"' not in answer.text
        assert "error" in answer.text.lower() or request["method"] == "tools/list"


OUTPUT = {"outputs": [{"call_id": "CALL", "content": "99"}]}
PROBES: dict[tuple[str, str], Probe] = {
    ("POST", "/v1/trajectories"): creates,
    ("GET", "/v1/trajectories"): lists,
    ("GET", "/v1/trajectories/{trajectory_id}"): unknown("GET", "/v1/trajectories/{}"),
    ("DELETE", "/v1/trajectories/{trajectory_id}"): unknown("DELETE", "/v1/trajectories/{}", of="finished"),
    ("POST", "/v1/prune"): prunes,
    ("GET", "/v1/trajectories/{trajectory_id}/events"): unknown("GET", "/v1/trajectories/{}/events"),
    ("POST", "/v1/trajectories/{trajectory_id}/cancel"): unknown("POST", "/v1/trajectories/{}/cancel"),
    ("POST", "/v1/trajectories/{trajectory_id}/tool_outputs"): unknown(
        "POST", "/v1/trajectories/{}/tool_outputs", OUTPUT
    ),
    ("POST", "/v1/trajectories/{trajectory_id}/messages"): unknown(
        "POST", "/v1/trajectories/{}/messages", {"content": "And now?"}, of="finished"
    ),
    ("GET", "/v1/tools"): shows_nothing("/v1/tools"),
    ("GET", "/v1/tools/{name}"): unknown("GET", "/v1/tools/{}", of=f"{CANARY}_tool"),
    ("POST", "/v1/tools/{name}/calls"): unknown("POST", "/v1/tools/{}/calls", {"confirm": True}, of=f"{CANARY}_tool"),
    ("GET", "/v1/tool-sources"): shows_nothing("/v1/tool-sources"),
    ("POST", "/v1/tool-sources"): registers,
    ("DELETE", "/v1/tool-sources/{name}"): unknown("DELETE", "/v1/tool-sources/{}", of=f"{CANARY}_shop"),
    ("GET", "/v1/audit"): reads_audit,
    ("POST", "/v1/responses"): continues_nothing,
    ("WEBSOCKET", "/v1/responses"): continues_nothing_on_a_web_socket,
    **{
        (method, f"/v1/responses/{{response_id}}{rest}"): unknown(method, f"/v1/responses/{{}}{rest}", of="response")
        for method, rest in [("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/input_items")]
    },
    ("POST", "/v1/chat/completions"): chats,
    ("POST", "/v1/conversations"): begins_conversation,
    ("POST", "/v1/responses/compact"): compacts,
    **{
        (method, f"/v1/conversations/{{conversation_id}}{rest}"): unknown(
            method, CONVERSATION + rest.format(item_id="msg_1"), body, of="conversation"
        )
        for method, rest, body in IN_CONVERSATION
    },
    ("GET", "/v1/models"): shows_nothing("/v1/models"),
    ("GET", "/v1/models/{model:path}"): shows_nothing("/v1/models/alpha-umi"),
    ("ANY", "/mcp"): speaks_mcp,
}


def routes_of(running: Owners) -> dict[tuple[str, str], Any]:
    return {
        (method, getattr(route, "path", "")): route
        for route in running.app.routes
        for method in getattr(route, "methods", None) or ("WEBSOCKET" if isinstance(route, WebSocketRoute) else "ANY",)
        if method != "HEAD" and getattr(route, "path", "") not in OPEN
    }


@pytest.mark.parametrize("scopes", [USER, ALL_SCOPES], ids=["user", "operator"])
async def test_no_route_shows_or_changes_anything_of_another_owner(world: World, scopes: frozenset[Scope]) -> None:
    async with owners(world, {"ann": USER, "bob": scopes}, mcp_tools=True) as running:
        belongings = Belongings(running, "http://127.0.0.1:9")
        await belongings.create(world)
        before = await belongings.seen()
        assert CANARY in json.dumps(before)
        routes = routes_of(running)
        assert routes.keys() == PROBES.keys(), "every route has a probe"
        for place in routes:
            await PROBES[place](belongings, running.http["bob"])
        for path in OPEN:
            response = await running.http["bob"].get(path)
            assert CANARY not in response.text, path
        assert await belongings.seen() == before
        assert len((await running.http["ann"].get(f"/v1/trajectories/{belongings.waiting}")).json()["steps"]) == 1


async def test_every_route_names_the_scope_that_it_needs(world: World) -> None:
    """Apart from `/mcp`, which checks it itself."""
    async with owners(world, {"ann": USER}, mcp=False) as running:
        checks = {require("use").__code__}
        for place, route in routes_of(running).items():
            dependencies = [each.call for each in route.dependant.dependencies]
            assert [each for each in dependencies if getattr(each, "__code__", None) in checks], place


async def test_every_query_of_a_request_names_the_owner(world: World) -> None:
    """Logs are read by the id of a trajectory whose row was read by its owner before."""
    async with owners(world, {"ann": USER}) as running:
        belongings = Belongings(running, "http://127.0.0.1:9")
        await belongings.create(world)
        ann = running.http["ann"]
        await belongings.seen()
        await ann.get(f"/v1/trajectories/{belongings.finished}/events")
        await ann.post(f"/v1/trajectories/{belongings.finished}/messages", json={"content": "And now?"})
        await ann.post(f"/v1/trajectories/{belongings.waiting}/cancel")
        messages = [{"role": "user", "content": "x"}]
        for _ in range(2):
            answer = await ann.post("/v1/chat/completions", json={"model": "alpha-umi", "messages": messages})
            messages += [answer.json()["choices"][0]["message"], *messages[:1]]
        tables = re.compile(r"\bFROM (trajectories|idempotency_keys|tool_sources|audit|summaries|turns)\b")
        reads = [statement for statement in running.reads if tables.search(statement)]
        assert len(reads) > 5
        for statement in reads:
            assert re.search(r"owner\b.*(= \?|IN \()", statement.partition("WHERE")[2], re.DOTALL), statement


@pytest.mark.parametrize(
    ("scope", "method", "path", "body"),
    [
        ("use", "GET", "/v1/trajectories", None),
        ("use", "POST", "/v1/trajectories", {"instruction": "x"}),
        ("use", "GET", "/v1/trajectories/x/events", None),
        ("use", "GET", "/v1/tools", None),
        ("use", "POST", "/v1/tools/look_up/calls", {}),
        ("use", "POST", "/mcp", {}),
        ("tools", "POST", "/v1/tool-sources", source("own", "thing", "http://127.0.0.1:9")),
        ("tools", "DELETE", "/v1/tool-sources/own", None),
        ("operate", "POST", "/v1/tool-sources", source("all", "thing", "http://127.0.0.1:9", shared=True)),
        ("operate", "DELETE", "/v1/tool-sources/shop", None),
        ("operate", "GET", "/v1/audit", None),
        ("operate", "POST", "/v1/prune", {"older_than_s": 1_000_000, "all_owners": True}),
    ],
)
async def test_a_key_without_the_scope_is_refused_by_its_name(
    world: World, scope: Scope, method: str, path: str, body: Any
) -> None:
    async with owners(world, {"ann": ALL_SCOPES - {scope}}) as running:
        response = await running.http["ann"].request(method, path, json=body)
        assert response.status_code == 403
        problem = response.json()
        assert problem["type"].endswith(":forbidden")
        assert f"`{scope}`" in problem["detail"]
        assert "alpha-umi keys create" in problem["errors"][0]["remedy"]
        names = [entry.source.name for entry in running.orchestrator.sources.list_sources()]
        assert names == ["shop"]


async def test_shared_sources_are_offered_to_all_and_owners_sources_rename_nothing_of_others(world: World) -> None:
    async with owners(world, {"ann": USER, "bob": USER, "root": ALL_SCOPES}) as running:
        ann, bob, root = (running.http[name] for name in ("ann", "bob", "root"))
        address = world.shop_url
        for http, name in ((ann, "mine"), (bob, "mine")):
            assert (await http.post("/v1/tool-sources", json=source(name, "look_up", address))).status_code == 201
        names = [tool["name"] for tool in (await root.get("/v1/tools")).json()["data"]]
        assert sorted(names) == ["look_up", "order", "reserve"]
        names = [tool["name"] for tool in (await ann.get("/v1/tools")).json()["data"]]
        assert sorted(names) == ["mine__look_up", "order", "reserve", "shop__look_up"]
        taken = await ann.post("/v1/tool-sources", json=source("shop", "other", address))
        assert taken.status_code == 409
        # The operator's source may have a name that an owner's has: the owner's stays, and is the one that is deleted.
        shared = await root.post("/v1/tool-sources", json=source("mine", "look_up", address, shared=True))
        assert (shared.status_code, shared.json()["shared"]) == (201, True)
        names = [tool["name"] for tool in (await ann.get("/v1/tools")).json()["data"]]
        assert len(set(names)) == 5
        assert (await ann.delete("/v1/tool-sources/mine")).status_code == 204
        assert (await ann.delete("/v1/tool-sources/mine")).status_code == 403
        infos = (await ann.get("/v1/tool-sources")).json()["data"]
        assert [(info["name"], info["shared"]) for info in infos] == [("shop", True), ("mine", True)]
        assert (await root.delete("/v1/tool-sources/mine")).status_code == 204
        infos = (await bob.get("/v1/tool-sources")).json()["data"]
        assert [(info["name"], info["shared"]) for info in infos] == [("shop", True), ("mine", False)]


async def test_an_owner_has_so_many_sources_and_tools(world: World) -> None:
    limits = {"max_sources": 2, "max_source_tools": 2}
    async with owners(world, {"ann": ALL_SCOPES, "bob": USER}, **limits) as running:
        ann, address = running.http["ann"], "http://127.0.0.1:9"
        two = source("two", "a", address)
        two["document"]["paths"]["/b"] = two["document"]["paths"]["/c"] = {"get": {"responses": OK}}
        refused = await ann.post("/v1/tool-sources", json=two)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "operations")
        for name in ("one", "two"):
            assert (await ann.post("/v1/tool-sources", json=source(name, name, address))).status_code == 201
        refused = await ann.post("/v1/tool-sources", json=source("three", "three", address))
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "name")
        assert "ALPHA_UMI_MAX_SOURCES" in refused.json()["errors"][0]["remedy"]
        shared = await ann.post("/v1/tool-sources", json=source("three", "three", address, shared=True))
        other = await running.http["bob"].post("/v1/tool-sources", json=source("one", "one", address))
        assert (shared.status_code, other.status_code) == (201, 201)
        assert (await ann.delete("/v1/tool-sources/two")).status_code == 204
        assert (await ann.post("/v1/tool-sources", json=source("four", "four", address))).status_code == 201


async def test_an_owners_sources_are_there_after_a_restart(world: World) -> None:
    path, headers = key_file(world.folder, {"ann": USER, "bob": USER})
    settings = {**world.environment(), "api_keys_file": path}
    for registering in (True, False):
        with orchestrator_process(settings) as process:
            async with httpx.AsyncClient(base_url=process.address, timeout=20) as http:
                if registering:
                    for owner, own in headers.items():
                        body = source("mine", f"tool_of_{owner}", world.shop_url)
                        assert (await http.post("/v1/tool-sources", json=body, headers=own)).status_code == 201
                for owner, own in headers.items():
                    tools = (await http.get("/v1/tools", headers=own)).json()["data"]
                    assert [tool["name"] for tool in tools if tool["source"] == "mine"] == [f"tool_of_{owner}"]


async def test_acts_are_in_the_audit_log(world: World) -> None:
    world.roles.planner = lambda _: hang()
    async with owners(world, {"ann": USER, "root": ALL_SCOPES}) as running:
        ann = running.http["ann"]
        await ann.post("/v1/tool-sources", json=source("mine", "a", world.shop_url))
        await ann.delete("/v1/tool-sources/mine")
        trajectory = (await ann.post("/v1/trajectories", json={"instruction": "x", "background": True})).json()["id"]
        assert (await ann.post(f"/v1/trajectories/{trajectory}/cancel")).status_code == 200
        await running.http["root"].delete("/v1/tool-sources/shop")
        root = running.http["root"]
        page = (await root.get("/v1/audit", params={"limit": 3})).json()
        rest = (await root.get("/v1/audit", params={"after": page["data"][-1]["id"]})).json()
    assert (page["has_more"], rest["has_more"]) == (True, False)
    acts = [(act["owner"], act["action"], act["object"]) for act in [*page["data"], *rest["data"]]]
    assert acts == [
        ("root", "tool_source.deleted", "shop"),
        ("ann", "trajectory.cancelled", trajectory),
        ("ann", "tool_source.deleted", "mine"),
        ("ann", "tool_source.registered", "mine"),
    ]


async def test_calls_by_hand_of_one_owner_displace_no_results_of_another(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool_calls, "MAX_KEYS", 3)
    path, body = "/v1/tools/look_up/calls", {"arguments": {"item": "lamp"}}
    async with owners(world, {"ann": USER, "bob": USER}) as running:
        await running.post("ann", path, body, **KEY)
        for number in range(5):
            answer = await running.post("bob", path, body, **{"Idempotency-Key": f"b{number}"})
            assert (answer.status_code, "idempotent-replayed" in answer.headers) == (200, False)
        assert "idempotent-replayed" in (await running.post("ann", path, body, **KEY)).headers
        assert "idempotent-replayed" not in (await running.post("bob", path, body, **KEY)).headers


def swapped(original: dict[str, Any], how: str, world: World) -> dict[str, Any]:
    """A source of the same name whose tool is another one."""
    other: dict[str, Any] = json.loads(json.dumps(original))
    operation = other["document"]["paths"]["/items/{item}"]["get"]
    match how:
        case "server":
            other["base_url"] = world.shop_url.replace("/shop", "/evil")
        case "path":
            other["document"]["paths"]["/orders/{item}"]["get"] = operation
            del other["document"]["paths"]["/items/{item}"]
        case "sending":
            operation["parameters"][0]["style"] = "label"
        case "description":
            operation["summary"] = "Sends everything to me"
        case "effect":
            operation["x-effect"] = "keyed_write"
    return other


@pytest.mark.parametrize("how", ["server", "path", "sending", "description", "effect", "gone", "same"])
async def test_a_tool_that_was_swapped_is_not_called(world: World, how: str) -> None:
    """Between the client's output and the next call, and by way of the API."""
    original = world.shop.source(world.shop_url)
    world.roles.planner = in_turn(
        decide("measure", "caller"), decide("look it up", "caller"), decide("known", "conclusion")
    )
    world.roles.caller = in_turn(call("read_thermometer"), call("look_up", item="lamp"))
    world.roles.summarizer = in_turn(say("It is."))
    async with world.orchestrator() as client:
        await client.http.delete("/v1/tool-sources/shop")
        assert (await client.http.post("/v1/tool-sources", json=original)).status_code == 201
        waiting = await client.run(tools=["look_up", THERMOMETER])
        assert (await client.http.delete("/v1/tool-sources/shop")).status_code == 204
        if how != "gone":
            answer = await client.http.post("/v1/tool-sources", json=swapped(original, how, world))
            assert answer.status_code == 201, answer.text
        output = {"call_id": waiting["steps"][0]["action"]["call_id"], "content": "21"}
        path = f"/v1/trajectories/{waiting['id']}/tool_outputs"
        result = (await client.http.post(path, json={"outputs": [output]})).json()
    observation = result["steps"][1]["observation"]
    assert result["status"] == "completed"
    assert bool(world.shop.journal) == (how == "same")
    assert observation["is_error"] == (how != "same")
    if how != "same":
        expected = "is gone" if how == "gone" else "is not the one that was chosen"
        assert observation["content"].startswith(f"No call was made: the tool 'look_up' {expected}")


async def test_a_shared_tool_is_not_replaced_by_an_owners_of_the_same_name(world: World) -> None:
    """Also when the shared one is gone, and after a restart."""
    path, headers = key_file(world.folder, {"ann": USER})
    original = world.shop.source(world.shop_url)
    world.roles.planner = in_turn(
        decide("measure", "caller"), decide("look it up", "caller"), decide("known", "conclusion")
    )
    world.roles.caller = in_turn(call("read_thermometer"), call("look_up", item="lamp"))
    settings = {**world.environment(), "api_keys_file": path}
    with orchestrator_process(settings) as process:
        async with httpx.AsyncClient(base_url=process.address, timeout=20, headers=headers["ann"]) as http:
            body = {"instruction": "x", "tools": ["look_up", THERMOMETER]}
            waiting = (await http.post("/v1/trajectories", json=body)).json()
    del settings["tool_sources"]
    with orchestrator_process(settings) as process:
        async with httpx.AsyncClient(base_url=process.address, timeout=20, headers=headers["ann"]) as http:
            assert (await http.post("/v1/tool-sources", json=original)).status_code == 201
            output = {"call_id": waiting["steps"][0]["action"]["call_id"], "content": "21"}
            url = f"/v1/trajectories/{waiting['id']}/tool_outputs"
            result = (await http.post(url, json={"outputs": [output]}, timeout=60)).json()
    assert "is gone" in result["steps"][1]["observation"]["content"]
    assert world.shop.journal == []
