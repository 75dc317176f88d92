"""A role service that is away is waited for; one that refuses or sends invalid data ends the turn, without a part of
an answer.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from support.orchestrator_process import free_port
from support.orchestrator_world import Client, World
from support.scripted_roles import Reply, call, decide, hang, in_turn, problem, say
from support.serving_on_loopback import serving


def closed_address() -> str:
    return f"http://127.0.0.1:{free_port()}"


async def test_a_role_that_stays_away_is_waited_for_until_the_deadline(world: World) -> None:
    async with world.orchestrator(planner_url=closed_address(), trajectory_timeout_s=3) as client:
        trajectory_id = await client.start()
        waiting = await waiting_for(client, trajectory_id, "planner")
        listed = (await client.http.get("/v1/trajectories")).json()["data"]
        ready = await client.http.get("/readyz")
        events = await client.events(trajectory_id)
        metrics = (await client.http.get("/metrics")).text
    assert (waiting["status"], [each["waiting_for"] for each in listed]) == ("running", ["planner"])
    assert ready.status_code == 503
    assert ready.json()["type"] == "urn:alpha-umi:problem:role-unavailable"
    assert ready.json()["roles"]["caller"] == "ready"
    notices = [event for event in events if event.event == "role.unavailable"]
    assert notices[0].json()["role"] == "planner"
    assert "it cannot be reached" in notices[0].json()["reason"]
    assert {event.id for event in notices} == {events[0].id}, "they have no id of their own"
    result = events[-1].json()
    assert (result["status"], result["waiting_for"], result["error"]["code"]) == ("failed", None, "planner_unavailable")
    assert "planner service: it cannot be reached; it was waited for until" in result["error"]["detail"]
    assert 'alpha_umi_trajectories_waiting_for_role{role="planner"} 0.0' in metrics
    assert 'alpha_umi_role_wait_seconds_total{role="planner"} ' in metrics


@pytest.mark.parametrize("role", ["planner", "caller", "summarizer"])
async def test_an_outage_costs_time_only(world: World, role: str) -> None:
    """Whoever listens learns that the role is away and back, also who comes in the middle of the outage."""
    away = free_port()
    world.roles.planner = in_turn(decide("look it up", "caller"), decide("done", "conclusion"))
    world.roles.caller = in_turn(call("look_up", item="chair"))
    async with world.orchestrator(**{f"{role}_url": f"http://127.0.0.1:{away}"}) as client:
        trajectory_id = await client.start()
        await waiting_for(client, trajectory_id, role)
        stream = asyncio.create_task(client.events(trajectory_id))
        await asyncio.sleep(0.1)
        async with serving(world.roles.application(), port=away):
            events = await stream
    names = [event.event for event in events]
    assert "role.unavailable" in names[: names.index("role.available")]
    result = events[-1].json()
    assert (result["status"], result["waiting_for"]) == ("completed", None)


@pytest.mark.parametrize(
    ("planner_s", "ended"), [(0, ("failed", "summarizer_unavailable")), (30, ("exhausted", "deadline"))]
)
async def test_the_summarizer_is_waited_for_until_the_deadline_as_well(
    world: World, planner_s: float, ended: tuple[str, str]
) -> None:
    """The time of a role call, which an answer has after the deadline, is for generating it."""
    decision = decide("done", "conclusion")
    world.roles.planner = in_turn(hang() if planner_s else decision)
    async with (
        world.orchestrator(summarizer_url=closed_address(), trajectory_timeout_s=2, role_timeout_s=600) as client,
        asyncio.timeout(60),
    ):
        result = await client.run()
    assert (result["status"], result["error"]["code"]) == ended


async def test_a_role_that_never_answers(world: World) -> None:
    world.roles.summarizer = in_turn(hang())
    async with world.orchestrator(role_timeout_s=0.2, trajectory_timeout_s=1) as client:
        result = await client.run()
    assert (result["status"], result["error"]["code"]) == ("failed", "summarizer_unavailable")
    assert "no answer within 0.2 s" in result["error"]["detail"]
    assert set(world.roles.left) == {"summarizer"}


async def test_a_trajectory_that_waits_for_a_role_can_be_cancelled(world: World) -> None:
    async with world.orchestrator(planner_url=closed_address()) as client:
        trajectory_id = await client.start()
        await waiting_for(client, trajectory_id, "planner")
        cancelled = (await client.http.post(f"/v1/trajectories/{trajectory_id}/cancel")).json()
    assert (cancelled["status"], cancelled["waiting_for"]) == ("cancelled", None)


@pytest.mark.parametrize("policy", ["resume", "replay"])
async def test_a_repeated_request_resumes_what_an_outage_has_ended(world: World, policy: str) -> None:
    """It goes on where it was: the tool that was called before is not called again."""
    away = free_port()
    world.roles.planner = in_turn(decide("look it up", "caller"), decide("done", "conclusion"))
    world.roles.caller = in_turn(call("look_up", item="chair"))
    settings = {"summarizer_url": f"http://127.0.0.1:{away}", "trajectory_timeout_s": 6, "role_timeout_s": 6}
    request: dict[str, Any] = {"json": {"instruction": "?"}, "headers": {"Idempotency-Key": "k-1"}}
    async with world.orchestrator(**settings, repeated_after_outage=policy) as client:
        failed = (await client.http.post("/v1/trajectories", **request)).json()
        assert (failed["status"], failed["error"]["code"]) == ("failed", "summarizer_unavailable")
        async with serving(world.roles.application(), port=away):
            again = (await client.http.post("/v1/trajectories", **request)).json()
        events = await client.events(failed["id"])
    assert again["id"] == failed["id"]
    assert again["status"] == ("completed" if policy == "resume" else "failed")
    assert len(world.roles.bodies_of("planner")) == 2
    assert len(again["steps"]) == 2
    names = [event.event for event in events]
    assert ("trajectory.resumed" in names, names.count("trajectory.finished")) == (policy == "resume", 1)


async def waiting_for(client: Client, trajectory_id: str, role: str) -> dict[str, Any]:
    """The trajectory, once it waits for a role."""
    while True:
        trajectory: dict[str, Any] = (await client.http.get(f"/v1/trajectories/{trajectory_id}")).json()
        if trajectory["waiting_for"] == role:
            return trajectory
        assert trajectory["status"] == "running", trajectory
        await asyncio.sleep(0.02)


async def test_a_failure_that_passes_is_not_noticed(client: Client, world: World) -> None:
    world.roles.planner = in_turn(Reply(b"oops", 503, "text/plain"), decide("nothing to do", "conclusion"))
    result = await client.run()
    assert result["status"] == "completed"
    assert len(world.roles.bodies_of("planner")) == 2
    assert 'alpha_umi_role_retries_total{role="planner"} 1.0' in (await client.http.get("/metrics")).text


# By instruction: the planner's response, and the error.
NONSENSE: dict[str, tuple[Reply, str]] = {
    "no JSON": (Reply(b"<html>", 200, "text/html"), "cannot be read"),
    "wrong shape": (Reply(b'{"thought": 1}'), "cannot be read: usage: Field required"),
    "refused": (problem("context-exceeded", "the tools do not fit"), "refused the request: the tools do not fit"),
    "unauthorized": (Reply(b"{}", 401), "set ALPHA_UMI_ROLE_TOKEN"),
    "redirect": (Reply(b"", 302, "text/plain"), "status 302"),
    "failed": (Reply(b"oops", 500, "text/plain"), "status 500"),
    "too large": (Reply(b"x" * (9 * 2**20)), "larger than"),
}


async def test_nonsense(client: Client, world: World) -> None:
    def reply(body: dict[str, Any]) -> Reply:
        return NONSENSE[body["history"][0]["content"]][0]

    world.roles.planner = reply
    # Sequential: concurrent failures would open the circuit.
    result = [await client.run(instruction=name) for name in NONSENSE]
    counts = Counter(body["history"][0]["content"] for body in world.roles.bodies_of("planner"))
    for trajectory, (name, (_, detail)) in zip(result, NONSENSE.items(), strict=True):
        assert (trajectory["status"], trajectory["error"]["code"]) == ("failed", "planner_failed"), name
        assert detail in trajectory["error"]["detail"], name
        assert counts[name] == 1, name


def streamed(*lines: str) -> Reply:
    return Reply("".join(f"{line}\n" for line in lines).encode(), 200, "text/event-stream")


UNREADABLE = problem("output-unreadable", "empty", text="").body.decode()
# By instruction: the summarizer's stream, and the error.
BROKEN_STREAMS: dict[str, tuple[Reply, str]] = {
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
