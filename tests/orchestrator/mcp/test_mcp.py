"""`/mcp` over real HTTP with the SDK's own client, in both eras of the protocol."""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
import sys
import threading
from importlib import import_module
from types import ModuleType
from typing import Any

import httpx
import pytest
from mcp.shared.exceptions import MCPError
from support.mcp_clients import (
    ACCEPT,
    ERAS,
    MODERN,
    begin_session,
    headers_of,
    mcp_client,
    message,
    result_of,
    texts,
)
from support.openapi_documents import OK, openapi_document
from support.orchestrator_process import orchestrator_process
from support.orchestrator_world import Client, World
from support.scripted_roles import call, decide, hang, in_turn, problem, say
from support.serving_on_loopback import until

from orchestrator.mcp import endpoint, mount, server

RUN: dict[str, Any] = {"instruction": "What does a lamp cost?"}


def address_of(client: Client) -> str:
    return str(client.http.base_url)


def two_steps(world: World) -> None:
    world.roles.planner = in_turn(decide("Look the lamp up.", "caller"), decide("I know it.", "conclusion"))
    world.roles.caller = in_turn(call("look_up", item="lamp"))
    world.roles.summarizer = in_turn(say("The lamp costs 9."))


async def statuses(client: Client) -> list[str]:
    return [each["status"] for each in (await client.http.get("/v1/trajectories")).json()["data"]]


async def until_cancelled(client: Client) -> None:
    async with asyncio.timeout(10):
        while await statuses(client) != ["cancelled"]:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("mode", ERAS)
async def test_a_run_reports_its_steps_and_answers(world: World, mode: str) -> None:
    two_steps(world)
    reported: list[tuple[float, float | None, str | None]] = []

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        reported.append((progress, total, message))

    async with world.orchestrator() as client, mcp_client(address_of(client), mode) as mcp:
        assert [tool.name for tool in (await mcp.list_tools()).tools] == ["run", "get_trajectory"]
        result = await mcp.call_tool("run", RUN | {"max_steps": 4, "tools": ["look_up"]}, progress_callback=progress)
        assert (result.is_error, texts(result)) == (False, ["The lamp costs 9."])
        trajectory = result.structured_content
        assert trajectory["tools"] == ["look_up"]
        assert trajectory == (await client.http.get(f"/v1/trajectories/{trajectory['id']}")).json()
        assert reported == [(1, 4, "Look the lamp up."), (2, 4, "I know it.")]
        again = await mcp.call_tool("get_trajectory", {"id": trajectory["id"]})
        assert again.structured_content == trajectory == json.loads(texts(again)[0])


@pytest.mark.parametrize("mode", ERAS)
async def test_a_run_without_an_answer_says_why(world: World, mode: str) -> None:
    world.roles.planner = in_turn(decide("Nothing fits.", "give up"), problem("context-exceeded", "too long"))
    async with world.orchestrator() as client, mcp_client(address_of(client), mode) as mcp:
        for reason in (
            "gave_up: the planner gave up: Nothing fits.",
            "failed: planner service refused the request: too long",
        ):
            result = await mcp.call_tool("run", RUN)
            assert (result.is_error, texts(result)) == (True, [reason])
            assert result.structured_content["status"] == reason.partition(":")[0]


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        ("run", {}, "instruction: Field required"),
        ("run", {"instruction": " "}, "instruction: "),
        ("run", RUN | {"steps": 3}, "steps: Extra inputs"),
        ("run", RUN | {"max_steps": 0}, "max_steps: Input should be greater"),
        ("run", RUN | {"tools": ["look_up", "look_up"]}, "tools: Value error, a tool is listed twice"),
        ("run", RUN | {"tools": ["look_upp"]}, "look_up"),
        ("run", RUN | {"strategy": "single"}, "ALPHA_UMI_BACKBONE_URL"),
        ("get_trajectory", {}, "id: Field required"),
        ("get_trajectory", {"id": "traj_0"}, "traj_0"),
    ],
)
async def test_arguments_at_fault_are_named(
    world: World, mode: str, name: str, arguments: dict[str, Any], reason: str
) -> None:
    async with world.orchestrator() as client, mcp_client(address_of(client), mode) as mcp:
        result = await mcp.call_tool(name, arguments)
        assert result.is_error
        assert reason in texts(result)[0], texts(result)
        assert await statuses(client) == []


@pytest.mark.parametrize("mode", ERAS)
async def test_a_cancelled_call_cancels_the_trajectory(world: World, mode: str) -> None:
    world.roles.planner = lambda _: hang()
    async with world.orchestrator() as client, mcp_client(address_of(client), mode) as mcp:
        calling = asyncio.create_task(mcp.call_tool("run", RUN))
        await until(lambda: client.orchestrator.runs.active_count == 1)
        calling.cancel()
        await until_cancelled(client)
        world.roles.planner = in_turn(decide("", "conclusion"))
        assert not (await mcp.call_tool("run", RUN)).is_error


@pytest.mark.parametrize("mode", ERAS)
async def test_a_client_that_leaves_cancels_the_trajectory(world: World, mode: str) -> None:
    world.roles.planner = lambda _: hang()
    async with world.orchestrator() as client:
        session = (await begin_session(client.http)).headers.get("mcp-session-id")
        request = message("tools/call", {"name": "run", "arguments": RUN}, mode=mode)
        headers = headers_of(request, mode=mode, session=session)
        calling = asyncio.create_task(client.http.post("/mcp", json=request, headers=headers))
        await until(lambda: client.orchestrator.runs.active_count == 1)
        calling.cancel()
        await until_cancelled(client)


@pytest.mark.parametrize("mode", ERAS)
async def test_registered_tools_are_offered_and_called(world: World, mode: str) -> None:
    world.shop.details = {"lamp": {"price": 9}}
    async with world.orchestrator(mcp_tools=True) as client, mcp_client(address_of(client), mode) as mcp:
        tools = {tool.name: tool for tool in (await mcp.list_tools()).tools}
        assert list(tools) == ["run", "get_trajectory", "look_up", "reserve", "order"]
        assert tools["look_up"].input_schema["required"] == ["item"]
        hints = {name: tool.annotations.read_only_hint for name, tool in tools.items() if tool.annotations}
        assert hints == {"run": False, "get_trajectory": True, "look_up": True, "reserve": False, "order": False}
        price = await mcp.call_tool("look_up", {"item": "lamp"})
        assert (price.is_error, "lamp" in texts(price)[0]) == (False, True)
        assert not (await mcp.call_tool("order", {"item": "lamp"})).is_error
        assert [item for item, _ in world.shop.executed("order")] == ["lamp"]
        acts = (await client.http.get("/v1/audit")).json()["data"]
        assert [(act["action"], act["object"]) for act in acts] == [("tool.called", "order")]
        wrong = await mcp.call_tool("look_up", {"thing": "lamp"})
        assert (wrong.is_error, "thing" in texts(wrong)[0]) == (True, True), texts(wrong)
        with pytest.raises(MCPError, match="Unknown tool: nothing"):
            await mcp.call_tool("nothing", {})


@pytest.mark.parametrize("mode", ERAS)
async def test_without_the_setting_no_registered_tool_can_be_called(world: World, mode: str) -> None:
    async with world.orchestrator() as client, mcp_client(address_of(client), mode) as mcp:
        with pytest.raises(MCPError, match="Unknown tool: look_up"):
            await mcp.call_tool("look_up", {"item": "lamp"})
        with pytest.raises(MCPError, match="cursor"):
            await mcp.list_tools(cursor="look_up")
    assert world.shop.journal == []


async def register(client: Client, names: list[str], base_url: str = "http://127.0.0.1:9") -> None:
    paths: dict[str, Any] = {f"/{name}": {"get": {"operationId": name, "responses": OK}} for name in names}
    source = {"name": "more", "document": openapi_document(paths), "base_url": base_url, "effect": "read"}
    response = await client.http.post("/v1/tool-sources", json=source)
    assert response.status_code == 201, response.text


@pytest.mark.parametrize("mode", ERAS)
async def test_thousands_of_tools_come_in_pages(world: World, mode: str) -> None:
    async with world.orchestrator(mcp_tools=True) as client, mcp_client(address_of(client), mode) as mcp:
        names = [f"tool_{number}" for number in range(2_000)]
        await register(client, names)
        listed: list[str] = []
        cursor, pages = None, 0
        while pages == 0 or cursor is not None:
            page = await mcp.list_tools(cursor=cursor)
            listed += [tool.name for tool in page.tools]
            cursor, pages = page.next_cursor, pages + 1
        assert listed == ["run", "get_trajectory", "look_up", "reserve", "order", *names]
        assert pages > 10


@pytest.mark.parametrize("mode", ERAS)
async def test_registered_tools_with_the_names_of_ours_have_others(world: World, mode: str) -> None:
    async with world.orchestrator(mcp_tools=True) as client, mcp_client(address_of(client), mode) as mcp:
        await register(client, ["run", "run_tool", "get_trajectory"])
        names = [tool.name for tool in (await mcp.list_tools()).tools]
        assert names[-3:] == ["run_tool", "run_tool_tool", "get_trajectory_tool"]
        assert len(set(names)) == len(names)
        result = await mcp.call_tool("run_tool_tool", {})
        assert "refused" in texts(result)[0] or result.is_error


@pytest.mark.parametrize("mode", ERAS)
async def test_numbers_of_arguments_keep_their_digits(world: World, mode: str) -> None:
    async with world.orchestrator(mcp_tools=True) as client:
        paths = {
            "/items/{item}": {
                "get": {
                    "operationId": "weigh",
                    "parameters": [{"name": "item", "in": "path", "required": True, "schema": {"type": "number"}}],
                    "responses": OK,
                }
            }
        }
        source = {"name": "more", "document": openapi_document(paths), "base_url": world.shop_url, "effect": "read"}
        assert (await client.http.post("/v1/tool-sources", json=source)).status_code == 201
        session = (await begin_session(client.http)).headers.get("mcp-session-id")
        request = message("tools/call", {"name": "weigh", "arguments": {"item": "NUMBER"}}, mode=mode)
        body = json.dumps(request).replace('"NUMBER"', "0.12345678901234567890")
        headers = headers_of(request, mode=mode, session=session)
        response = await client.http.post("/mcp", content=body, headers=headers)
        assert not result_of(response)["result"].get("isError"), response.text
        assert world.shop.executed("look_up")[0][0] == "0.12345678901234567890"


async def test_a_trajectory_that_is_too_long_for_a_result_is_summarized(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_TRAJECTORY_BYTES", 100)
    two_steps(world)
    async with world.orchestrator() as client, mcp_client(address_of(client), MODERN) as mcp:
        result = await mcp.call_tool("run", RUN)
        assert texts(result)[0] == "The lamp costs 9."
        assert f"GET /v1/trajectories/{result.structured_content['id']}" in texts(result)[1]
        assert not {"steps", "instruction", "tools"} & result.structured_content.keys()


@pytest.mark.parametrize("mode", ERAS)
async def test_a_call_that_is_cancelled_while_it_is_accepted_leaves_nothing_behind(
    world: World, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row may be in the log already, without a driver."""
    world.roles.planner = lambda _: hang()
    async with world.orchestrator() as client, mcp_client(address_of(client), mode) as mcp:
        store, committed, release = client.orchestrator.store, asyncio.Event(), asyncio.Event()
        create = store.create

        async def slow(*arguments: Any, **options: Any) -> Any:
            row = await create(*arguments, **options)
            committed.set()
            await release.wait()
            return row

        monkeypatch.setattr(store, "create", slow)
        calling = asyncio.create_task(mcp.call_tool("run", RUN))
        await committed.wait()
        calling.cancel()
        await asyncio.sleep(0.2)
        release.set()
        await until_cancelled(client)


@pytest.mark.parametrize("mode", ERAS)
async def test_progress_takes_a_place_among_the_owners_streams(world: World, mode: str) -> None:
    async def progress(progress: float, total: float | None, message: str | None) -> None:
        pass

    async with world.orchestrator(max_streams_per_owner=1) as client:
        with client.orchestrator.streams.slot("default"):
            async with mcp_client(address_of(client), mode) as mcp:
                refused = await mcp.call_tool("run", RUN, progress_callback=progress)
                assert refused.is_error
                assert refused.structured_content["reason"] == "streams"
                assert await statuses(client) == []


# Sessions


async def ping(http: httpx.AsyncClient, session: str, **headers: str) -> httpx.Response:
    request = message("ping")
    return await http.post("/mcp", json=request, headers=headers_of(request, session=session) | headers)


async def test_sessions_end_by_request_and_when_they_are_idle(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "IDLE_S", 0.3)
    async with world.orchestrator() as client:
        first, second = [(await begin_session(client.http)).headers["mcp-session-id"] for _ in range(2)]
        assert (await ping(client.http, first)).status_code == 200
        ended = await client.http.delete("/mcp", headers={"Mcp-Session-Id": first})
        assert ended.status_code == 200
        assert (await ping(client.http, first)).status_code == 404
        # An open stream keeps it.
        async with client.http.stream("GET", "/mcp", headers=ACCEPT | {"Mcp-Session-Id": second}) as stream:
            assert stream.status_code == 200
            await asyncio.sleep(0.6)
            assert (await ping(client.http, second)).status_code == 200
        async with asyncio.timeout(10):
            while True:
                await asyncio.sleep(0.4)
                if (await ping(client.http, second)).status_code == 404:
                    break


async def test_an_owner_has_so_many_sessions(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "MAX_SESSIONS", 3)
    monkeypatch.setattr(endpoint, "MAX_SESSIONS_PER_OWNER", 2)
    keys = [secrets.token_hex(32) for _ in range(2)]
    ann, bob = [{"Authorization": f"Bearer {key}"} for key in keys]
    async with world.orchestrator(api_keys=",".join(keys)) as client:
        answers = [await begin_session(client.http, **ann) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[2].json()["reason"] == "sessions"
        session = answers[0].headers["mcp-session-id"]
        assert (await ping(client.http, session, **ann)).status_code == 200
        assert (await ping(client.http, session, **bob)).status_code == 404
        assert (await begin_session(client.http, **bob)).status_code == 200
        assert (await begin_session(client.http, **bob)).status_code == 503
        # A request that opens none takes no place.
        await client.http.delete("/mcp", headers=ann | {"Mcp-Session-Id": session})
        refused = await client.http.post("/mcp", json=message("tools/list"), headers=ACCEPT | ann)
        assert refused.status_code == 400
        assert (await begin_session(client.http, **bob)).status_code == 200


# Strangers and bad input


async def test_without_a_key_nothing_is_answered(world: World) -> None:
    async with world.orchestrator(api_keys=secrets.token_hex(32)) as client:
        answer = await begin_session(client.http)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert "mcp-session-id" not in answer.headers


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://localhost"])
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
async def test_pages_of_other_sites_are_refused(world: World, origin: str, method: str) -> None:
    async with world.orchestrator() as client:
        own = await begin_session(client.http, Origin=address_of(client))
        assert own.status_code == 200
        headers = ACCEPT | {"Origin": origin, "Mcp-Session-Id": own.headers["mcp-session-id"]}
        refused = await client.http.request(method, "/mcp", headers=headers)
        assert (refused.status_code, refused.json()["type"]) == (403, "urn:alpha-umi:problem:foreign-origin")
        rebound = await begin_session(client.http, Host="evil.example", Origin="http://evil.example")
        assert rebound.status_code == 421


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff", 400),
        (b"[" * 100_000, 400),
        (b"[]", 400),
        (b'{"jsonrpc":"2.0","id":1}', 400),
        (b'{"jsonrpc":"2.0","id":' + b"9" * 10_000 + b',"method":"ping"}', 400),
        (b'{"a":"' + b"a" * 2**20 + b'"}', 413),
    ],
)
@pytest.mark.parametrize("mode", ERAS)
async def test_garbage_is_refused(world: World, mode: str, body: bytes, status: int) -> None:
    async with world.orchestrator() as client:
        session = (await begin_session(client.http)).headers["mcp-session-id"]
        headers = headers_of(message("ping", mode=mode), mode=mode, session=session)
        response = await client.http.post("/mcp", content=body, headers=headers)
        assert response.status_code == status, response.text
        assert len(response.text) < 2_000
        async with httpx.AsyncClient(base_url=address_of(client)) as http:
            assert (await ping(http, session)).status_code == 200


async def test_there_are_no_other_methods(world: World) -> None:
    async with world.orchestrator() as client:
        for method in ("PUT", "PATCH", "OPTIONS"):
            assert (await client.http.request(method, "/mcp")).status_code == 405
        assert (await client.http.get("/mcp", headers={"MCP-Protocol-Version": MODERN})).status_code == 405


# The process


async def test_it_can_be_switched_off(world: World) -> None:
    async with world.orchestrator(mcp=False) as client:
        assert (await begin_session(client.http)).status_code == 404


def test_the_sdk_is_not_imported_before_the_first_request() -> None:
    program = "import sys, orchestrator.__main__, orchestrator.mcp.mount; print('mcp' in sys.modules)"
    output = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert output.stdout == "False\n"


async def test_other_requests_are_answered_while_the_sdk_is_imported(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    importing, release = threading.Event(), threading.Event()

    def slow_import(name: str) -> ModuleType:
        importing.set()
        release.wait(30)
        return import_module(name)

    monkeypatch.setattr(mount, "import_module", slow_import)
    async with world.orchestrator() as client:
        requests = [asyncio.create_task(begin_session(client.http)) for _ in range(2)]
        await until(importing.is_set)
        assert (await client.http.get("/healthz")).status_code == 200
        release.set()
        assert [each.status_code for each in await asyncio.gather(*requests)] == [200, 200]


async def test_an_import_that_fails_is_an_error_of_the_request(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_import(name: str) -> ModuleType:
        raise ImportError(name)

    monkeypatch.setattr(mount, "import_module", no_import)
    async with world.orchestrator() as client:
        assert (await begin_session(client.http)).status_code == 500
        assert (await client.http.get("/healthz")).status_code == 200


async def test_the_end_of_the_process_ends_streams_and_the_run_continues(world: World) -> None:
    world.roles.planner = lambda _: hang()
    with orchestrator_process(world.environment()) as running:
        async with httpx.AsyncClient(base_url=running.address, timeout=20) as http:
            session = (await begin_session(http)).headers["mcp-session-id"]
            requests = {mode: message("tools/call", {"name": "run", "arguments": RUN}, mode=mode) for mode in ERAS}
            calls = [
                asyncio.create_task(
                    http.post("/mcp", json=request, headers=headers_of(request, mode=mode, session=session))
                )
                for mode, request in requests.items()
            ]
            listening = asyncio.create_task(http.get("/mcp", headers=ACCEPT | {"Mcp-Session-Id": session}))
            async with asyncio.timeout(10):
                while len((await http.get("/v1/trajectories")).json()["data"]) < len(calls):
                    await asyncio.sleep(0.02)
            running.process.terminate()
            for answer in await asyncio.gather(*calls):
                result = result_of(answer)["result"]
                assert result["isError"]
                assert "continues after the restart" in result["content"][0]["text"]
            assert (await listening).status_code == 200
        await asyncio.to_thread(running.process.join, 10)
        assert running.process.exitcode == 0
