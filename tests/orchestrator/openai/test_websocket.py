"""The Responses interface on a web socket: requests in order, continuations, what is not stored, and bad input."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.orchestrator_world import Client, World
from support.scripted_roles import call, decide, hang, in_turn, say
from support.serving_on_loopback import until
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from orchestrator.openai import websocket
from orchestrator.openai.begin import ResponseRequests
from orchestrator.runs.idempotency import AcceptedRequest

Event = dict[str, Any]
KEY = "canary-key-4c1d-9b0e57a2f681"
THERMOMETER = {"type": "function", "name": "read_thermometer", "description": "Reads", "parameters": {"type": "object"}}
TERMINAL = ("response.completed", "response.failed", "response.incomplete", "error")


@contextlib.asynccontextmanager
async def socket_to(client: Client, **options: Any) -> AsyncIterator[ClientConnection]:
    address = str(client.http.base_url).replace("http", "ws", 1).rstrip("/")
    async with connect(f"{address}/v1/responses", **options) as socket:
        yield socket


async def send(socket: ClientConnection, **fields: Any) -> None:
    await socket.send(json.dumps({"type": "response.create", "model": "alpha-umi", "tools": []} | fields))


async def events_of(socket: ClientConnection) -> list[Event]:
    """The events up to the end of one response, or to an error."""
    events: list[Event] = []
    async with asyncio.timeout(30):
        while not events or events[-1]["type"] not in TERMINAL:
            events.append(json.loads(await socket.recv()))
    return events


async def create(socket: ClientConnection, **fields: Any) -> Event:
    """The last event of a response."""
    await send(socket, **fields)
    return (await events_of(socket))[-1]


async def close_code(socket: ClientConnection) -> int | None:
    async with asyncio.timeout(30):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await socket.recv()
    return socket.close_code


def concluding(world: World, turns: int = 1) -> None:
    world.roles.planner = in_turn(*[decide("I know it.", "conclusion")] * turns)
    world.roles.summarizer = in_turn(*[say("It is blue.")] * turns)


def trajectory_of(response: Event) -> str:
    number: str = response["response"]["id"]
    return "traj_" + number.split("_")[1]


async def test_requests_are_answered_in_order_with_the_events_of_the_stream(world: World, client: Client) -> None:
    concluding(world, 3)
    async with socket_to(client) as socket:
        for _ in range(2):
            await send(socket, input="Which colour?")
        first, second = await events_of(socket), await events_of(socket)
    assert first[0]["type"] == second[0]["type"] == "response.created"
    assert first[-1]["type"] == second[-1]["type"] == "response.completed"
    assert first[-1]["response"]["id"] != second[-1]["response"]["id"]
    numbers = [event["sequence_number"] for event in first]
    assert numbers == sorted(set(numbers))

    stored = await client.stream("GET", f"/v1/responses/{first[-1]['response']['id']}?stream=true")
    assert [json.loads(event.data) for event in stored if event.data != "[DONE]"] == first


async def test_a_response_is_continued(world: World, client: Client) -> None:
    concluding(world, 2)
    async with socket_to(client) as socket:
        first = await create(socket, input="Which colour?")
        second = await create(socket, input="And now?", previous_response_id=first["response"]["id"])
        assert second["type"] == "response.completed"
        assert trajectory_of(second) == trajectory_of(first)


async def test_the_output_of_a_function_continues_the_response(world: World, client: Client) -> None:
    world.roles.planner = in_turn(decide("I measure.", "caller"), decide("I know it.", "conclusion"))
    world.roles.caller = in_turn(call("read_thermometer"))
    world.roles.summarizer = in_turn(say("It is 20 degrees."))
    async with socket_to(client) as socket:
        first = await create(socket, input="How warm?", tools=[THERMOMETER])
        (item,) = [each for each in first["response"]["output"] if each["type"] == "function_call"]
        output = {"type": "function_call_output", "call_id": item["call_id"], "output": "20"}
        second = await create(socket, input=[output], previous_response_id=first["response"]["id"], tools=[THERMOMETER])
    assert second["response"]["output"][-1]["content"][0]["text"] == "It is 20 degrees."


async def test_what_is_not_stored_is_continued_on_its_connection_alone(world: World, client: Client) -> None:
    concluding(world, 4)
    async with socket_to(client) as socket:
        first = await create(socket, input="Which colour?", store=False)
        number = first["response"]["id"]
        assert (await client.http.get(f"/v1/responses/{number}")).status_code == 404
        async with socket_to(client) as another:
            refused = await create(another, input="And now?", store=False, previous_response_id=number)
            assert (refused["status"], refused["error"]["code"]) == (404, "previous_response_not_found")
            assert refused["error"]["param"] == "previous_response_id"
            assert (await create(another, input="Which colour?", store=False))["type"] == "response.completed"
        second = await create(socket, input="And now?", store=False, previous_response_id=number)
        assert second["type"] == "response.completed"
    await until(lambda: not client.orchestrator.runs.active_count)
    for response in (first, second):
        await gone(client, trajectory_of(response))


async def gone(client: Client, trajectory_id: str) -> None:
    async with asyncio.timeout(10):
        while (await client.http.get(f"/v1/trajectories/{trajectory_id}")).status_code == 200:
            await client.orchestrator.response_deletion.delete_unstored()


@pytest.mark.parametrize(
    "failing",
    [
        {"input": [{"type": "function_call_output", "call_id": "call_none", "output": "x"}]},
        {"input": "x", "model": "none"},
        {"input": "x", "unknown": 1},
    ],
    ids=["output", "model", "field"],
)
async def test_a_failed_continuation_evicts_what_is_not_stored(
    world: World, client: Client, failing: dict[str, Any]
) -> None:
    concluding(world, 3)
    async with socket_to(client) as socket:
        first = await create(socket, input="Which colour?", store=False)
        named = {"store": False, "previous_response_id": first["response"]["id"]}
        assert (await create(socket, **failing, **named))["type"] == "error"
        assert (await create(socket, input="And now?", **named))["error"]["code"] == "previous_response_not_found"
        await gone(client, trajectory_of(first))


async def test_only_the_newest_are_held(world: World, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "MAX_HELD", 1)
    concluding(world, 3)
    async with socket_to(client) as socket:
        first = await create(socket, input="Which colour?", store=False)
        await create(socket, input="Which colour?", store=False)
        refused = await create(socket, input="x", store=False, previous_response_id=first["response"]["id"])
        assert refused["error"]["code"] == "previous_response_not_found"


async def test_a_client_that_leaves_cancels_its_response(world: World, client: Client) -> None:
    world.roles.planner = in_turn(hang())
    async with socket_to(client) as socket:
        await send(socket, input="Which colour?")
        created = json.loads(await socket.recv())
    async with asyncio.timeout(10):
        while (await client.http.get(f"/v1/responses/{created['response']['id']}")).json()["status"] != "cancelled":
            await asyncio.sleep(0.02)


async def test_a_client_that_leaves_while_its_request_is_accepted_cancels_it(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, began, released = ResponseRequests.begin, asyncio.Event(), asyncio.Event()

    async def slowly(*arguments: Any, **options: Any) -> AcceptedRequest:
        accepted = await begin(*arguments, **options)
        began.set()
        await released.wait()
        return accepted

    monkeypatch.setattr(ResponseRequests, "begin", slowly)
    world.roles.planner = in_turn(hang())
    async with socket_to(client) as socket:
        await send(socket, input="Which colour?")
        await began.wait()
    released.set()
    async with asyncio.timeout(10):
        while (await client.http.get("/v1/trajectories")).json()["data"][0]["status"] != "cancelled":
            await asyncio.sleep(0.02)


async def test_a_server_that_stops_says_so_and_the_response_goes_on(world: World, client: Client) -> None:
    world.roles.planner = in_turn(hang())
    async with socket_to(client) as socket:
        await send(socket, input="Which colour?")
        created = json.loads(await socket.recv())
        draining = asyncio.create_task(client.orchestrator.runs.drain())
        error = (await events_of(socket))[-1]
        assert (error["status"], error["error"]["code"]) == (503, "shutting_down")
        assert created["response"]["id"] in error["error"]["message"]
        assert (await create(socket, input="x"))["error"]["code"] == "shutting_down"
        await draining
    (row,) = (await client.http.get("/v1/trajectories")).json()["data"]
    assert row["status"] == "running"


BAD: list[tuple[str, str | None, int]] = [
    ("nonsense", "body", 400),
    ("[]", "type", 400),
    ("{}", "type", 400),
    ('{"type": "response.steer"}', "type", 400),
    ("[" * 40_000, "body", 400),
    ('{"type": "response.create", "input": "x"}', "model", 400),
    ('{"type": "response.create", "model": "gpt-9", "input": "x"}', "model", 404),
    ('{"type": "response.create", "model": "alpha-umi", "input": 5}', None, 400),
    ('{"type": "response.create", "model": "alpha-umi", "input": "x", "stream": false}', "stream", 400),
    ('{"type": "response.create", "model": "alpha-umi", "input": "x", "background": true}', "background", 400),
    ('{"type": "response.create", "model": "alpha-umi", "input": "x", "more": 1}', "more", 400),
    ('{"type": "response.create", "x": [' + "{}," * 100_000 + "{}]}", None, 413),
]


async def test_bad_requests_are_answered_and_the_connection_goes_on(world: World, client: Client) -> None:
    concluding(world)
    async with socket_to(client) as socket:
        for text, param, status in BAD:
            await socket.send(text)
            (error,) = await events_of(socket)
            assert (error["type"], error["status"]) == ("error", status), text[:100]
            assert error["error"]["message"]
            if param is not None:
                assert error["error"]["param"] == param, text[:100]
        assert (await create(socket, input="Which colour?", stream=True))["type"] == "response.completed"


async def test_a_defect_is_an_error_without_details(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a secret of the defect")

    concluding(world)
    async with socket_to(client) as socket:
        with monkeypatch.context() as patch:
            patch.setattr(ResponseRequests, "begin", fail)
            error = await create(socket, input="x")
        assert (error["status"], error["error"]["code"]) == (500, "server_error")
        assert "secret" not in json.dumps(error)
        assert (await create(socket, input="Which colour?"))["type"] == "response.completed"


async def test_a_binary_message_ends_the_connection(client: Client) -> None:
    async with socket_to(client) as socket:
        await socket.send(b"{}")
        assert await close_code(socket) == 1003


@pytest.mark.parametrize("text", ["{}", " " * 100_000, " " * 10_000], ids=["many", "large", "large together"])
async def test_what_waits_for_a_response_is_bounded(world: World, client: Client, text: str) -> None:
    world.roles.planner = in_turn(hang())
    async with socket_to(client) as socket:
        await send(socket, input="Which colour?")
        await socket.recv()
        with contextlib.suppress(ConnectionClosed):
            for _ in range(websocket.MAX_WAITING + 1):
                await socket.send(text)
                await asyncio.sleep(0)
        assert await close_code(socket) == 1008


async def test_a_connection_ends_when_it_is_not_used(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "IDLE_S", 0.2)
    async with socket_to(client) as socket:
        assert await close_code(socket) == 1000


async def test_a_connection_ends_after_an_hour_with_an_error(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "MAX_AGE_S", 0.2)
    async with socket_to(client) as socket:
        (error,) = await events_of(socket)
        assert error["error"]["code"] == "websocket_connection_limit_reached"
        assert await close_code(socket) == 1000


async def test_who_may_not_is_answered_before_the_handshake(world: World) -> None:
    async with world.orchestrator(api_keys=(KEY,), max_streams_per_owner=1) as client:
        with pytest.raises(InvalidStatus) as refused:
            async with socket_to(client):
                pass
        assert refused.value.response.status_code == 401
        assert json.loads(refused.value.response.body)["error"]["code"] == "invalid_api_key"
        headers = {"Authorization": f"Bearer {KEY}"}
        async with socket_to(client, additional_headers=headers) as socket:
            with pytest.raises(InvalidStatus) as refused:
                async with socket_to(client, additional_headers=headers):
                    pass
            answer = refused.value.response
            assert (answer.status_code, answer.headers["retry-after-ms"]) == (429, "5000")
            assert json.loads(answer.body)["error"]["code"] == "rate_limit_exceeded"
            await socket.close()
        await until(lambda: not client.orchestrator.streams._open)
