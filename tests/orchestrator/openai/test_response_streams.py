"""Streams of responses over HTTP: live and stored, resumed, cut short, cancelled, and across restarts.

`ALPHA_UMI_KILLS=50` kills the orchestrator that often instead of three times.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from httpx_sse import ServerSentEvent, SSEError, aconnect_sse
from pysqlite3 import dbapi2 as sqlite3
from support.orchestrator_world import Client, World
from support.response_streams import TERMINAL, check_stream, without_times
from support.restarted_orchestrator import RestartedOrchestrator
from support.scripted_courses import Courses, course_of
from support.scripted_roles import call, decide, hang, in_turn, problem
from support.serving_on_loopback import until

KILLS = int(os.environ.get("ALPHA_UMI_KILLS", "3"))
# About as long as a response takes.
LONGEST_PAUSE_S = 0.3
ROOMS = {"type": "object", "properties": {"room": {"type": "string"}}, "required": ["room"]}
THERMOMETER = {"type": "function", "name": "read_thermometer", "description": "Temperature", "parameters": ROOMS}


@dataclass(frozen=True)
class Sent:
    """A stream as it was sent."""

    events: list[dict[str, Any]]
    is_done: bool

    @property
    def kinds(self) -> list[str]:
        return [event["type"] for event in self.events]

    @property
    def numbers(self) -> list[int]:
        return [event["sequence_number"] for event in self.events]


async def received(
    http: httpx.AsyncClient, method: str, path: str, **options: Any
) -> AsyncGenerator[dict[str, Any], None]:
    """The data of the events, and an empty object for `[DONE]`."""
    async with aconnect_sse(http, method, path, **options) as source:
        assert source.response.status_code == 200, await source.response.aread()
        async for event in source.aiter_sse():
            yield checked(event)


def checked(event: ServerSentEvent) -> dict[str, Any]:
    if event.data == "[DONE]":
        assert (event.event, event.id) == ("message", event.id)
        return {}
    data: dict[str, Any] = event.json()
    assert (event.event, event.id) == (data["type"], str(data["sequence_number"]))
    return data


async def stream(client: Client, **body: Any) -> Sent:
    """Create a response; its stream."""
    return await read(client.http, "POST", "/v1/responses", json={"model": "alpha-umi", "stream": True} | body)


async def stored(client: Client, response_id: str, *, after: int | None = None, **options: Any) -> Sent:
    """The stream of a stored response."""
    path = f"/v1/responses/{response_id}?stream=true" + ("" if after is None else f"&starting_after={after}")
    return await read(client.http, "GET", path, **options)


async def read(http: httpx.AsyncClient, method: str, path: str, **options: Any) -> Sent:
    events = [data async for data in received(http, method, path, **options)]
    is_done = events[-1:] == [{}]
    return Sent(events[:-1] if is_done else events, is_done)


async def created(client: Client, **body: Any) -> dict[str, Any]:
    response = await client.http.post("/v1/responses", json={"model": "alpha-umi"} | body)
    assert response.status_code == 200, response.text
    resource: dict[str, Any] = response.json()
    return resource


async def got(client: Client, response_id: str) -> dict[str, Any]:
    resource: dict[str, Any] = (await client.http.get(f"/v1/responses/{response_id}")).raise_for_status().json()
    return resource


@pytest.mark.parametrize("name", ["answers", "gives up", "is unreadable", "does everything", "repeats itself"])
async def test_a_stream_is_live_what_is_stored(name: str, client: Client, world: World) -> None:
    instruction = Courses(world.roles, world.shop).instruction(name)
    live = await stream(client, input=instruction)
    assert live.is_done
    final = check_stream(live.events)
    replayed = await stored(client, final["id"])
    assert replayed == live
    assert final == await got(client, final["id"])
    assert final["status"] == ("completed" if course_of(instruction).status == "completed" else "incomplete")


async def test_a_waiting_request_gets_the_end_of_the_stream(client: Client, world: World) -> None:
    instruction = Courses(world.roles, world.shop).instruction("looks up")
    response = await client.http.post("/v1/responses", json={"model": "alpha-umi", "input": instruction})
    assert response.headers["location"] == f"/v1/responses/{response.json()['id']}"
    assert (await stored(client, response.json()["id"])).events[-1]["response"] == response.json()


async def test_a_waiting_request_reads_no_log(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows were projected as they were written."""
    monkeypatch.setattr("orchestrator.openai.response_view.response_resource", None)
    first = await created(client, input="Go.")
    assert first["status"] == "completed"
    assert (await created(client, input="And now?", previous_response_id=first["id"]))["status"] == "completed"
    assert (await created(client, input="Go.", background=True))["status"] == "queued"


async def test_a_projection_that_fails_costs_no_trajectory(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a fault of the projection")

    with monkeypatch.context() as fault:
        fault.setattr("orchestrator.openai.projection.Projection.feed", fail)
        response = await client.http.post("/v1/responses", json={"model": "alpha-umi", "input": "Go."})
    assert response.status_code == 500
    (listed,) = (await client.http.get("/v1/trajectories")).json()["data"]
    assert listed["status"] == "completed"


async def test_a_stream_resumes_after_every_number(client: Client, world: World) -> None:
    instruction = Courses(world.roles, world.shop).instruction("looks up")
    live = await stream(client, input=instruction)
    response_id = live.events[0]["response"]["id"]
    for index, number in enumerate(live.numbers):
        rest = await stored(client, response_id, after=number)
        assert rest == Sent(live.events[index + 1 :], is_done=True)
    assert await stored(client, response_id, headers={"Last-Event-ID": str(live.numbers[3])}) == Sent(
        live.events[4:], is_done=True
    )
    assert await stored(client, response_id, after=10**9) == Sent([], is_done=True)


async def test_text_is_sent_while_it_is_written(client: Client, world: World) -> None:
    """Its last word is not, and neither is the decision."""
    deltas = ("I know", " it", " very well", ", no", "w.", " Ne", "xt: concl")
    world.roles.planner = in_turn(replace(decide("I know it very well, now.", "conclusion"), deltas=deltas, hang=True))
    body = {"model": "alpha-umi", "input": "Go.", "stream": True, "background": True}
    events = received(client.http, "POST", "/v1/responses", json=body)
    async with contextlib.aclosing(events):
        seen: list[dict[str, Any]] = []
        async for event in events:
            seen.append(event)
            if event.get("delta") == " now.":
                break
    assert [event["delta"] for event in seen if "delta" in event] == ["I", " know", " it", " very", " well,", " now."]
    # Who comes later waits for the complete text.
    response_id = seen[0]["response"]["id"]
    assert [item["status"] for item in (await got(client, response_id))["output"]] == []
    late = asyncio.create_task(stored(client, response_id, after=seen[-1]["sequence_number"]))
    await until(lambda: client.orchestrator.streams._open.total() == 1)
    cancelled = (await client.http.post(f"/v1/responses/{response_id}/cancel")).raise_for_status().json()
    rest = await late
    assert rest.is_done
    final = check_stream([*seen, *rest.events], exact_deltas=False)
    assert final == cancelled
    assert (final["status"], rest.kinds[-1]) == ("cancelled", "response.incomplete")


async def test_comments_are_no_events(client: Client, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Official clients take the blank line after a comment for an event."""
    monkeypatch.setattr("orchestrator.api.events.KEEP_ALIVE_S", 0.01)
    release = asyncio.Event()
    world.roles.planner = in_turn(replace(decide("I know it", "conclusion"), until=release))
    text = ""
    body = {"model": "alpha-umi", "input": "Go.", "stream": True}
    async with client.http.stream("POST", "/v1/responses", json=body) as response:
        async for piece in response.aiter_text():
            text += piece
            if text.count(": keep-alive\n") > 2:
                release.set()
    assert release.is_set()
    assert all("data: " in block for block in text.removesuffix("\n\n").split("\n\n"))


async def test_every_end_has_its_event(client: Client, world: World) -> None:
    world.roles.planner = in_turn(problem("context-exceeded", "too long"))
    failed = await stream(client, input="Go.")
    assert failed.kinds[-1] == "response.failed"
    assert check_stream(failed.events)["error"]["code"] == "planner_failed"
    world.roles.planner = in_turn(decide("Measure it", "caller"))
    world.roles.caller = in_turn(call("read_thermometer", room="hall"))
    waiting = await stream(client, input="Go.", tools=[THERMOMETER])
    assert waiting.is_done
    item = check_stream(waiting.events)["output"][-1]
    assert (item["type"], item["status"], json.loads(item["arguments"])) == (
        "function_call", "completed", {"room": "hall"},
    )  # fmt: skip
    world.roles.planner = in_turn(decide("I know it", "conclusion"))
    output = {"type": "function_call_output", "call_id": item["call_id"], "output": "21 °C"}
    before = waiting.events[0]["response"]["id"]
    further = await stream(client, input=[output], previous_response_id=before, tools=[THERMOMETER])
    final = check_stream(further.events)
    assert [each["type"] for each in final["output"]] == ["reasoning", "message"]
    # The one before is as it was.
    assert await stored(client, before) == waiting


async def test_a_further_turn_leaves_the_stream_before_as_it_was(client: Client) -> None:
    first = await stream(client, input="Go.")
    first_id = first.events[0]["response"]["id"]
    second = await stream(client, input="And now?", previous_response_id=first_id)
    assert check_stream(second.events)["previous_response_id"] == first_id
    assert await stored(client, first_id) == first
    assert await stored(client, second.events[0]["response"]["id"]) == second


@pytest.mark.parametrize("background", [False, True])
async def test_a_client_that_leaves(client: Client, world: World, background: bool) -> None:
    """It cancels its response, unless it is in the background."""
    release = asyncio.Event()
    world.roles.planner = in_turn(replace(decide("I know it", "conclusion"), until=release))
    body = {"model": "alpha-umi", "input": "Go.", "stream": True, "background": background}
    async with contextlib.aclosing(received(client.http, "POST", "/v1/responses", json=body)) as events:
        response_id = (await anext(events))["response"]["id"]
        world.roles.requested.clear()
        await anext(events)
    if not background:
        await until(lambda: client.orchestrator.runs.active_count == 0)
    release.set()
    assert (await stored(client, response_id)).events[-1]["response"]["status"] == (
        "completed" if background else "cancelled"
    )


async def test_a_deleted_response_has_no_end(client: Client, world: World) -> None:
    world.roles.planner = in_turn(hang())
    body = {"model": "alpha-umi", "input": "Go.", "stream": True, "background": True}
    async with contextlib.aclosing(received(client.http, "POST", "/v1/responses", json=body)) as events:
        response_id = (await anext(events))["response"]["id"]
        deletion = await client.http.delete(f"/v1/responses/{response_id}")
        assert deletion.status_code == 200, deletion.text
        rest = [event async for event in events]
    assert not [event for event in rest if event and event["type"] in TERMINAL and event["response"]["error"]]
    assert (await client.http.get(f"/v1/responses/{response_id}?stream=true")).status_code == 404


async def test_a_damaged_log_ends_a_stream_without_an_end(client: Client, world: World) -> None:
    response_id = (await created(client, input="Go."))["id"]
    with contextlib.closing(sqlite3.connect(world.folder / "log.db")) as database:
        database.execute("UPDATE events SET payload = '{}' WHERE seq = 3")
        database.commit()
    sent = await stored(client, response_id)
    assert sent.kinds == ["response.created", "response.in_progress"]
    assert not sent.is_done
    assert (await client.http.get(f"/v1/responses/{response_id}")).status_code == 500


async def test_a_shutdown_ends_a_stream_early_and_the_next_process_goes_on(world: World) -> None:
    world.roles.planner = in_turn(hang(), decide("I know it", "conclusion"))
    orchestrator = RestartedOrchestrator(world.environment())
    try:
        async with httpx.AsyncClient(timeout=30) as http:
            body = {"model": "alpha-umi", "input": "Go.", "stream": True, "background": True}
            reading = asyncio.create_task(read(http, "POST", f"{orchestrator.address}/v1/responses", json=body))
            await asyncio.wait_for(world.roles.requested.wait(), 60)
            await asyncio.to_thread(orchestrator.stop)
            begun = await reading
            assert not begun.is_done
            assert not set(begun.kinds) & set(TERMINAL)
            await asyncio.to_thread(orchestrator.start)
            path = f"{orchestrator.address}/v1/responses/{begun.events[0]['response']['id']}?stream=true"
            rest = await read(http, "GET", f"{path}&starting_after={begun.numbers[-1]}")
            check_stream([*begun.events, *rest.events], exact_deltas=False)
            complete = await read(http, "GET", path)
            assert rest == Sent([event for event in complete.events if event in rest.events], is_done=True)
    finally:
        orchestrator.close()


@pytest.mark.parametrize("name", ["looks up", "does everything"])
async def test_kill_9_at_any_place(name: str, world: World) -> None:
    """What a client has joined equals the stream of the stored response, and that of a response without a kill.

    Without a kill every write has a known outcome, so that is compared for reads alone.
    """
    courses, pauses = Courses(world.roles, world.shop), random.Random(5)
    plan = world.roles.planner
    world.roles.planner = lambda request: replace(plan(request), pause_s=LONGEST_PAUSE_S / 20)
    body = {"model": "alpha-umi", "input": courses.instruction(name), "background": True}
    orchestrator = RestartedOrchestrator(world.environment())
    try:
        async with httpx.AsyncClient(base_url=orchestrator.address, timeout=30) as http:
            uninterrupted = (await read(http, "POST", "/v1/responses", json=body | {"stream": True})).events
        for _ in range(KILLS):
            joined: list[dict[str, Any]] = []
            response_id = orchestrator.http.post("/v1/responses", json=body).raise_for_status().json()["id"]
            reading = asyncio.create_task(_read_until_the_end(orchestrator, response_id, joined))
            await asyncio.sleep(pauses.uniform(0, LONGEST_PAUSE_S))
            orchestrator.kill()
            await asyncio.to_thread(orchestrator.start)
            await asyncio.wait_for(reading, 60)
            check_stream(joined)
            if name == "looks up":
                assert without_times(joined) == without_times(uninterrupted)
            async with httpx.AsyncClient(base_url=orchestrator.address, timeout=30) as http:
                assert joined == (await read(http, "GET", f"/v1/responses/{response_id}?stream=true")).events
    finally:
        orchestrator.close()


async def _read_until_the_end(
    orchestrator: RestartedOrchestrator, response_id: str, joined: list[dict[str, Any]]
) -> None:
    async with httpx.AsyncClient(timeout=30) as http:
        while not joined or joined[-1]["type"] not in TERMINAL:
            after = f"&starting_after={joined[-1]['sequence_number']}" if joined else ""
            path = f"{orchestrator.address}/v1/responses/{response_id}?stream=true{after}"
            with contextlib.suppress(httpx.TransportError, SSEError, httpx.HTTPStatusError):
                async for event in received(http, "GET", path):
                    joined += [event] if event else []
            await asyncio.sleep(0.05)
