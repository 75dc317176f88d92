"""A role service that is down, slow, refuses, breaks off or speaks nonsense: a typed end, never a part of an answer."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from scripted_roles import Reply, decide, hang, in_turn, problem, say

SSE = "text/event-stream"


def closed_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


async def test_down(world: Any) -> None:
    async with world.orchestrator(planner_url=closed_address()) as client:
        found = await client.run()
        ready = await client.http.get("/readyz")
    assert (found["status"], found["error"]["code"]) == ("failed", "planner_failed")
    assert found["error"]["detail"] == "planner service: it cannot be reached"
    assert ready.status_code == 503
    assert ready.json()["type"] == "urn:alpha-umi:problem:role-unavailable"
    assert ready.json()["roles"]["caller"] == "ready"


async def test_slow(world: Any) -> None:
    world.roles.summarizer = in_turn(hang())
    async with world.orchestrator(role_timeout_s=0.2) as client:
        found = await client.run()
    assert (found["status"], found["error"]["code"]) == ("failed", "summarizer_failed")
    assert "no answer within 0.2 s" in found["error"]["detail"]
    assert world.roles.left == ["summarizer"]


async def test_a_failure_that_passes_is_not_noticed(client: Any, world: Any) -> None:
    world.roles.planner = in_turn(Reply(b"oops", 500, "text/plain"), decide("nothing to do", "conclusion"))
    found = await client.run()
    assert found["status"] == "completed"
    assert len(world.roles.asked_of("planner")) == 2
    assert 'alpha_umi_role_retries_total{role="planner"} 1.0' in (await client.http.get("/metrics")).text


@pytest.mark.parametrize(
    ("reply", "asked", "detail"),
    [
        (Reply(b"<html>", 200, "text/html"), 3, "cannot be read"),
        (Reply(b'{"thought": 1}'), 3, "cannot be read: usage: Field required"),
        (Reply(b"busy", 503, "text/plain"), 3, "status 503"),
        (
            problem("context-exceeded", "the tools alone do not fit"),
            1,
            "refused the request: the tools alone do not fit",
        ),
        (Reply(b"{}", 401), 1, "set ALPHA_UMI_ROLE_TOKEN"),
        (Reply(b"", 302, "text/plain"), 1, "status 302"),
        (Reply(b"x" * (9 * 2**20)), 3, "larger than"),
    ],
    ids=["no-json", "wrong-shape", "unavailable", "refused", "unauthorized", "redirect", "too-large"],
)
async def test_nonsense(client: Any, world: Any, reply: Reply, asked: int, detail: str) -> None:
    world.roles.planner = in_turn(reply)
    found = await client.run()
    assert (found["status"], found["error"]["code"]) == ("failed", "planner_failed")
    assert detail in found["error"]["detail"]
    assert len(world.roles.asked_of("planner")) == asked


def streamed(*lines: str) -> Reply:
    return Reply("".join(f"{line}\n" for line in lines).encode(), 200, SSE)


UNREADABLE = problem("output-unreadable", "empty", text="").body.decode()


@pytest.mark.parametrize(
    ("reply", "detail"),
    [
        (Reply(say("42").body, deltas=("It is ", "4"), cut=True), "broke off"),
        (streamed("event: delta", 'data: {"text": "It is"}', "", "event: done", "data: {", ""), "cannot be read"),
        (streamed("event: delta", "data: nothing", ""), "a piece of its stream"),
        (streamed("event: error", f"data: {UNREADABLE}", ""), "empty"),
        (streamed("event: error", "data: ?", ""), "status 500"),
        (Reply(say("42").body, media_type="application/json; charset=utf-8"), "event stream"),
    ],
    ids=["cut", "half-done", "bad-delta", "error-event", "bad-error-event", "no-stream"],
)
async def test_a_part_of_a_stream_is_never_an_answer(client: Any, world: Any, reply: Reply, detail: str) -> None:
    world.roles.summarizer = in_turn(reply)
    events = await client.stream("POST", "/v1/trajectories", json={"instruction": "What?", "stream": True})
    finished = events[-1].json()
    assert events[-1].event == "trajectory.finished"
    assert (finished["status"], finished["error"]["code"], finished["answer"]) == ("failed", "summarizer_failed", None)
    assert detail in finished["error"]["detail"]


async def test_the_role_token_is_shown_and_kept_secret(world: Any) -> None:
    async with world.orchestrator(role_token="very-secret") as client:
        found = await client.run()
        events = await client.events(found["id"])
        metrics = (await client.http.get("/metrics")).text
    assert {headers["authorization"] for _, _, headers in world.roles.requests} == {"Bearer very-secret"}
    assert "very-secret" not in f"{found}{[event.data for event in events]}{metrics}"
