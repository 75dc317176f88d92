"""A role service that is down, slow, refuses, disconnects or sends invalid data: a typed end, no partial answer."""

from __future__ import annotations

import socket
from collections import Counter
from typing import Any

from support.orchestrator_world import Client, World
from support.scripted_roles import Reply, decide, hang, in_turn, problem, say


def closed_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


async def test_down(world: World) -> None:
    async with world.orchestrator(planner_url=closed_address()) as client:
        result = await client.run()
        ready = await client.http.get("/readyz")
    assert (result["status"], result["error"]["code"]) == ("failed", "planner_failed")
    assert result["error"]["detail"] == "planner service: it cannot be reached"
    assert ready.status_code == 503
    assert ready.json()["type"] == "urn:alpha-umi:problem:role-unavailable"
    assert ready.json()["roles"]["caller"] == "ready"


async def test_slow(world: World) -> None:
    world.roles.summarizer = in_turn(hang())
    async with world.orchestrator(role_timeout_s=0.2) as client:
        result = await client.run()
    assert (result["status"], result["error"]["code"]) == ("failed", "summarizer_failed")
    assert "no answer within 0.2 s" in result["error"]["detail"]
    assert world.roles.left == ["summarizer"]


async def test_a_failure_that_passes_is_not_noticed(client: Client, world: World) -> None:
    world.roles.planner = in_turn(Reply(b"oops", 503, "text/plain"), decide("nothing to do", "conclusion"))
    result = await client.run()
    assert result["status"] == "completed"
    assert len(world.roles.bodies_of("planner")) == 2
    assert 'alpha_umi_role_retries_total{role="planner"} 1.0' in (await client.http.get("/metrics")).text


# By instruction: the planner's response, the number of requests, and the error.
NONSENSE: dict[str, tuple[Reply, int, str]] = {
    "no JSON": (Reply(b"<html>", 200, "text/html"), 1, "cannot be read"),
    "wrong shape": (Reply(b'{"thought": 1}'), 1, "cannot be read: usage: Field required"),
    "refused": (problem("context-exceeded", "the tools do not fit"), 1, "refused the request: the tools do not fit"),
    "unavailable": (Reply(b"later", 503, "text/plain"), 3, "status 503"),
    "unauthorized": (Reply(b"{}", 401), 1, "set ALPHA_UMI_ROLE_TOKEN"),
    "busy": (Reply(b"later", 429, "text/plain"), 3, "status 429"),
    "redirect": (Reply(b"", 302, "text/plain"), 1, "status 302"),
    "failed": (Reply(b"oops", 500, "text/plain"), 1, "status 500"),
    "too large": (Reply(b"x" * (9 * 2**20)), 1, "larger than"),
}


async def test_nonsense(client: Client, world: World) -> None:
    def reply(body: dict[str, Any]) -> Reply:
        return NONSENSE[body["history"][0]["content"]][0]

    world.roles.planner = reply
    # Sequential: concurrent failures would open the circuit.
    result = [await client.run(instruction=name) for name in NONSENSE]
    counts = Counter(body["history"][0]["content"] for body in world.roles.bodies_of("planner"))
    for trajectory, (name, (_, times, detail)) in zip(result, NONSENSE.items(), strict=True):
        assert (trajectory["status"], trajectory["error"]["code"]) == ("failed", "planner_failed"), name
        assert detail in trajectory["error"]["detail"], name
        assert counts[name] == times, name


def streamed(*lines: str) -> Reply:
    return Reply("".join(f"{line}\n" for line in lines).encode(), 200, "text/event-stream")


UNREADABLE = problem("output-unreadable", "empty", text="").body.decode()
# By instruction: the summarizer's stream, and the error.
BROKEN_STREAMS: dict[str, tuple[Reply, str]] = {
    "cut": (Reply(say("42").body, deltas=("It is ", "4"), cut=True), "broke off"),
    "error event": (streamed("event: error", f"data: {UNREADABLE}", ""), "empty"),
    "half done": (streamed("event: delta", 'data: {"text": "It"}', "", "event: done", "data: {", ""), "cannot be read"),
    "bad delta": (streamed("event: delta", "data: nothing", ""), "a piece of its stream"),
    "bad error event": (streamed("event: error", "data: ?", ""), "status 500"),
    "no stream": (Reply(say("42").body, media_type="application/json; charset=utf-8"), "event stream"),
}


async def test_a_part_of_a_stream_is_never_an_answer(client: Client, world: World) -> None:
    def reply(body: dict[str, Any]) -> Reply:
        return BROKEN_STREAMS[body["history"][0]["content"]][0]

    world.roles.summarizer = reply
    bodies = [{"instruction": name, "stream": True} for name in BROKEN_STREAMS]
    streams = [await client.stream("POST", "/v1/trajectories", json=body) for body in bodies]
    for events, (name, (_, detail)) in zip(streams, BROKEN_STREAMS.items(), strict=True):
        assert events[-1].event == "trajectory.finished", name
        end = events[-1].json()
        assert (end["status"], end["error"]["code"], end["answer"]) == ("failed", "summarizer_failed", None), name
        assert detail in end["error"]["detail"], name


async def test_the_role_token_is_sent_and_stays_secret(world: World) -> None:
    async with world.orchestrator(role_token="very-secret-4f8e21d07ab9c365") as client:
        result = await client.run()
        events = await client.events(result["id"])
        metrics = (await client.http.get("/metrics")).text
    assert {headers["authorization"] for _, _, headers in world.roles.requests} == {
        "Bearer very-secret-4f8e21d07ab9c365"
    }
    assert "very-secret-4f8e21d07ab9c365" not in f"{result}{[event.data for event in events]}{metrics}"
