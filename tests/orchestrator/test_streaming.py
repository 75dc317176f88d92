"""Server-sent events: content, resuming after every event, clients that connect late, disconnect, or read slowly."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import replace
from typing import Any

import pytest
from httpx_sse import aconnect_sse
from support.orchestrator_world import Client, World
from support.scripted_roles import Reply, Script, call, decide, hang, in_turn, problem, say
from support.serving_on_loopback import until

from alpha_umi.contract.problems import ServiceError

SHOWN = ["trajectory.created", "planner.decided", "caller.called", "tool.observed"]


def rows_of(events: list[Any]) -> list[Any]:
    """Without live text. (A client keeps the last id that it saw, so text seems to have one, too.)"""
    return [event for event in events if not event.event.endswith(".delta")]


def script_one_call(world: World) -> None:
    world.roles.planner = in_turn(decide("look it up", "caller"), decide("I know it", "conclusion"))
    world.roles.caller = in_turn(call("look_up", item="lamp"))
    world.roles.summarizer = in_turn(say("It costs 40."))


async def test_a_stream_shows_the_rows_and_the_text_between_them(client: Client, world: World) -> None:
    script_one_call(world)
    # Text that is generated before a client listens is not sent.
    begun, plan = asyncio.Event(), world.roles.planner
    world.roles.planner = lambda request: replace(plan(request), until=begun)
    events = []
    async with aconnect_sse(
        client.http, "POST", "/v1/trajectories", json={"instruction": "What?", "stream": True}
    ) as it:
        async for event in it.aiter_sse():
            events.append(event)
            begun.set()
    rows = rows_of(events)
    assert [event.event for event in rows] == [
        *SHOWN, "planner.decided", "summarizer.answered", "trajectory.finished",
    ]  # fmt: skip
    assert events[-1] is rows[-1]
    created, decided, called, observed, concluded, answered, finished = (event.json() for event in rows)
    assert created["instruction"] == "What?"
    assert (decided["step"], decided["thought"], decided["next"], decided["unreadable"]) == (
        0, "look it up", "caller", False,
    )  # fmt: skip
    assert (called["step"], called["name"], called["arguments"]) == (0, "look_up", {"item": "lamp"})
    assert (observed["call_id"], observed["is_error"]) == (called["call_id"], False)
    assert (concluded["step"], answered["answer"]) == (1, "It costs 40.")
    assert finished["status"] == "completed"
    assert finished == (await client.http.get(f"/v1/trajectories/{finished['id']}")).json()
    live = [event for event in events if event.event == "planner.delta"]
    assert "".join(event.json()["text"] for event in live) == "look it up I know it "
    assert [event.json()["step"] for event in live] == [0, 0, 0, 1, 1, 1]
    spoken = [event.json()["text"] for event in events if event.event == "summarizer.delta"]
    assert "".join(spoken) == "It costs 40. "
    assert (await client.http.get("/v1/trajectories")).json()["data"][0]["id"] == finished["id"]


async def test_stream_headers_and_ids(client: Client) -> None:
    async with client.http.stream(
        "POST", "/v1/trajectories", json={"instruction": "What?", "stream": True}
    ) as response:
        for text in (await response.aread()).decode().strip().split("\n\n"):
            assert ("\nid: " in f"\n{text}") == (".delta" not in text)
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-cache"
        assert response.headers["x-accel-buffering"] == "no"
        assert response.headers["location"].startswith("/v1/trajectories/traj_")


async def test_resuming_at_every_cut_neither_skips_nor_repeats(client: Client, world: World) -> None:
    script_one_call(world)
    trajectory_id = await client.start()
    complete = [(event.id, event.event) for event in rows_of(await client.events(trajectory_id))]
    last = int(complete[-1][0])
    for cut in range(last + 1):
        resumed = [(event.id, event.event) for event in await client.events(trajectory_id, after=cut)]
        assert resumed == [row for row in complete if int(row[0]) > cut]
    by_query = await client.stream("GET", f"/v1/trajectories/{trajectory_id}/events?after=3")
    assert [event.id for event in by_query] == [seq for seq, _ in complete if int(seq) > 3]


async def test_following_from_any_moment_of_a_running_trajectory(client: Client, world: World) -> None:
    """Each step of the run waits for another follower."""
    script_one_call(world)
    planner, caller, summarizer = world.roles.planner, world.roles.caller, world.roles.summarizer
    followers: list[asyncio.Task[Any]] = []

    def joined(script: Script) -> Script:
        def reply(body: dict[str, Any]) -> Reply:
            trajectory_id = world.roles.requests[-1][2]["x-trajectory-id"]
            followers.append(asyncio.create_task(client.events(trajectory_id)))
            return script(body)

        return reply

    world.roles.planner, world.roles.caller = joined(planner), joined(caller)
    world.roles.summarizer = joined(summarizer)
    trajectory_id = (await client.run())["id"]
    assert len(followers) == 4
    expected = [(event.id, event.event) for event in await client.events(trajectory_id)]
    for follower in followers:
        seen = [(event.id, event.event) for event in rows_of(await follower)]
        assert seen == expected


async def test_an_id_beyond_the_log_is_gone(client: Client) -> None:
    trajectory_id = await client.start()
    await client.finished(trajectory_id)
    path = f"/v1/trajectories/{trajectory_id}/events"
    response = await client.http.get(path, headers={"Last-Event-ID": "99"})
    assert response.status_code == 410
    assert response.json()["type"] == "urn:alpha-umi:problem:event-not-found"
    for bad in ("-1", "x"):
        response = await client.http.get(path, headers={"Last-Event-ID": bad})
        assert response.status_code == 422
        assert "last-event-id" in response.json()["errors"][0]["field"].lower()


async def test_the_last_id_of_an_ended_trajectory_stops_reconnects_until_a_further_turn(client: Client) -> None:
    trajectory_id = await client.start()
    await client.finished(trajectory_id)
    path = f"/v1/trajectories/{trajectory_id}/events"
    last = (await client.events(trajectory_id))[-1].id
    for request in ({"headers": {"Last-Event-ID": last}}, {"params": {"after": last}}):
        response = await client.http.get(path, **request)  # type: ignore[arg-type]
        assert (response.status_code, response.content) == (204, b"")
    await client.http.post(f"/v1/trajectories/{trajectory_id}/messages", json={"content": "And now?"})
    assert [event.event for event in await client.events(trajectory_id, after=int(last))][-1] == "trajectory.finished"


async def test_unreadable_output_is_shown_under_the_usual_names(client: Client, world: World) -> None:
    world.roles.planner = in_turn(
        decide("look it up", "caller"), problem("output-unreadable", "no decision", text="hm")
    )
    world.roles.caller = in_turn(problem("call-invalid", "no such argument", text="Action: what"))
    events = await client.stream("POST", "/v1/trajectories", json={"instruction": "What?", "stream": True})
    rows = rows_of(events)
    assert [event.event for event in rows] == [
        "trajectory.created", "planner.decided", "tool.observed", "planner.decided", "summarizer.answered",
        "trajectory.finished",
    ]  # fmt: skip
    assert rows[2].json()["is_error"]
    assert rows[2].json()["call_id"] is None
    assert (rows[2].json()["text"], rows[2].json()["attempts"]) == ("Action: what", 1)
    assert (rows[3].json()["unreadable"], rows[3].json()["next"], rows[3].json()["reason"]) == (
        True, "conclusion", "no decision",
    )  # fmt: skip


async def test_a_client_that_leaves_its_stream_ends_the_trajectory(client: Client, world: World) -> None:
    world.roles.planner = in_turn(hang())
    body = {"instruction": "What?", "stream": True}
    async with aconnect_sse(client.http, "POST", "/v1/trajectories", json=body) as source:
        async for event in source.aiter_sse():
            if event.event == "planner.delta":
                break
    await until(lambda: world.roles.left == ["planner"])
    (result,) = (await client.http.get("/v1/trajectories")).json()["data"]
    assert (await client.finished(result["id"]))["status"] == "cancelled"


async def test_a_client_that_leaves_a_waiting_request_ends_the_trajectory(client: Client, world: World) -> None:
    world.roles.planner = in_turn(hang())
    waiting = asyncio.create_task(client.create())
    await world.roles.requested.wait()
    waiting.cancel()
    await until(lambda: world.roles.left == ["planner"])
    (result,) = (await client.http.get("/v1/trajectories")).json()["data"]
    assert (await client.finished(result["id"]))["error"]["detail"] == "the client disconnected"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_background_trajectory_outlives_its_client(client: Client, world: World, stream: bool) -> None:
    world.roles.planner = in_turn(hang())
    body = {"instruction": "What?", "background": True, "stream": stream}
    async with client.http.stream("POST", "/v1/trajectories", json=body) as response:
        assert response.status_code == (200 if stream else 202)
        trajectory_id = response.headers["location"].rpartition("/")[2]
        await world.roles.requested.wait()
    for _ in range(3):
        await client.http.get("/healthz")
    result = (await client.http.get(f"/v1/trajectories/{trajectory_id}")).json()
    assert result["status"] == "running"
    assert world.roles.left == []


async def test_leaving_a_followed_stream_changes_nothing(client: Client, world: World) -> None:
    world.roles.planner = in_turn(hang())
    trajectory_id = await client.start()
    async with aconnect_sse(client.http, "GET", f"/v1/trajectories/{trajectory_id}/events") as source:
        async for event in source.aiter_sse():
            assert event.event == "trajectory.created"
            break
    assert (await client.http.get(f"/v1/trajectories/{trajectory_id}")).json()["status"] == "running"


async def test_a_listener_that_is_too_slow_reads_the_log_instead(client: Client, world: World) -> None:
    """More text than a listener can queue, then rows: no row is missing."""
    flood = decide("look it up", "caller")
    world.roles.planner = in_turn(Reply(flood.body, deltas=("x",) * 3_000), decide("I know it", "conclusion"))
    world.roles.caller = in_turn(call("look_up", item="lamp"))
    events = await client.stream("POST", "/v1/trajectories", json={"instruction": "What?", "stream": True})
    rows = [event.event for event in rows_of(events)]
    assert rows == [*SHOWN, "planner.decided", "summarizer.answered", "trajectory.finished"]
    json.loads(events[-1].data)


async def test_streams_are_limited_in_all_and_for_each_owner(world: World) -> None:
    world.roles.planner = lambda _: hang()
    limits = {"max_streams": 3, "max_streams_per_owner": 2}
    async with world.orchestrator(**limits) as client, contextlib.AsyncExitStack() as streams:
        body = {"instruction": "What?", "stream": True}
        waiting = await client.start()
        path = f"/v1/trajectories/{waiting}/events"
        await streams.enter_async_context(client.http.stream("POST", "/v1/trajectories", json=body))
        await streams.enter_async_context(client.http.stream("GET", path))
        for response in (await client.http.get(path), await client.http.post("/v1/trajectories", json=body)):
            assert response.status_code == 429
            assert response.json()["type"].endswith("owner-limit")
            assert (response.json()["reason"], response.json()["errors"][0]["field"]) == ("streams", "stream")
            assert 0 < int(response.headers["Retry-After"]) <= 120
        stored = (await client.http.get("/v1/trajectories")).json()["data"]
        assert len(stored) == 2, "nothing of a refused request is stored"
        with client.orchestrator.streams.slot("another"):
            with pytest.raises(ServiceError) as raised, client.orchestrator.streams.slot("a third"):
                pass
            assert raised.value.kind == "overloaded"
        assert (await client.http.post(f"/v1/trajectories/{waiting}/cancel")).status_code == 200
        await streams.aclose()
        async with asyncio.timeout(5):
            while client.orchestrator.metrics.registry.get_sample_value("alpha_umi_streams_open"):
                await asyncio.sleep(0.01)
        assert [event.event for event in await client.events(waiting)][-1] == "trajectory.finished"
