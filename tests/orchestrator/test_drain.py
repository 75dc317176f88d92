"""SIGTERM with many open streams: all runs stop within ten seconds and are resumed by the next process."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from httpx_sse import ServerSentEvent, aconnect_sse
from support.orchestrator_process import OrchestratorProcess, orchestrator_process
from support.orchestrator_world import World
from support.scripted_roles import Reply, call, decide, hang, say
from support.serving_on_loopback import until

EACH = 10
KINDS = ("generation", "tool", "client")
SURVEY = {"name": "survey", "description": "Ask the user", "parameters": {"type": "object", "properties": {}}}


def script(world: World, *, hanging: bool) -> None:
    """Script by instruction: hang in a generation, hang in a tool call, or wait for the client."""

    def planner(body: dict[str, Any]) -> Reply:
        kind = body["history"][0]["content"]
        if kind == "generation":
            return hang() if hanging else decide("nothing to do", "conclusion")
        observed = any(turn["role"] == "observation" for turn in body["history"])
        return decide("observed", "conclusion") if observed else decide("use it", "caller")

    def caller(body: dict[str, Any]) -> Reply:
        return call("order", item="lamp") if body["history"][0]["content"] == "tool" else call("survey")

    world.roles.planner, world.roles.caller = planner, caller
    world.roles.summarizer = lambda _: say("done")


@dataclass
class Follower:
    """One stream and its events."""

    kind: str
    id: str = ""
    events: list[ServerSentEvent] = field(default_factory=list)

    @property
    def rows(self) -> list[ServerSentEvent]:
        return [event for event in self.events if not event.event.endswith((".delta", "reconnect"))]

    @property
    def ids(self) -> list[int]:
        return [int(event.id) for event in self.rows]

    async def begin(self, http: httpx.AsyncClient) -> None:
        """Create a trajectory and follow it to the end of the stream."""
        body: dict[str, Any] = {"instruction": self.kind, "stream": True}
        if self.kind == "client":
            body["tools"] = [SURVEY]
        await self._follow(http, "POST", "/v1/trajectories", json=body)

    async def resume(self, http: httpx.AsyncClient) -> None:
        """Resume after the last event."""
        self.events = [event for event in self.events if event.event != "reconnect"]
        headers = {"Last-Event-ID": str(self.ids[-1])}
        await self._follow(http, "GET", f"/v1/trajectories/{self.id}/events", headers=headers)

    async def _follow(self, http: httpx.AsyncClient, method: str, path: str, **options: Any) -> None:
        async with aconnect_sse(http, method, path, **options) as source:
            async for event in source.aiter_sse():
                self.events.append(event)
                if event.event == "trajectory.created":
                    self.id = event.json()["trajectory_id"]


def send_signal(started: OrchestratorProcess, number: int = signal.SIGTERM) -> float:
    """Send a signal. Returns the time."""
    assert started.process.pid is not None
    os.kill(started.process.pid, number)
    return time.monotonic()


async def ended(started: OrchestratorProcess, since: float) -> float:
    """Wait for the end of the process. Returns the seconds since then."""
    await asyncio.to_thread(started.process.join, 20)
    assert started.process.exitcode == 0
    return time.monotonic() - since


def client(started: OrchestratorProcess) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=None)
    return httpx.AsyncClient(base_url=started.address, timeout=60, limits=limits)


async def until_all_wait(followers: list[Follower], world: World) -> None:
    """Wait until every trajectory hangs or waits."""

    def there(follower: Follower) -> bool:
        last = {"generation": "trajectory.created", "tool": "caller.called", "client": "trajectory.requires_action"}
        return bool(follower.rows) and follower.rows[-1].event == last[follower.kind]

    await until(lambda: all(map(there, followers)), seconds=60)
    await until(lambda: len(world.shop.executed("order")) == EACH, seconds=60)
    await until(lambda: len(bodies(world, "generation")) == EACH, seconds=60)


def bodies(world: World, kind: str) -> list[dict[str, Any]]:
    """Requests to role services for trajectories of a kind."""
    return [body for _, body, _ in world.roles.requests if body["history"][0]["content"] == kind]


async def resumed(world: World, followers: list[Follower]) -> dict[str, list[dict[str, Any]]]:
    """Restart, resume every stream, and compare each with the complete log. Returns the trajectories by kind."""
    script(world, hanging=False)
    world.shop.hang = False
    with orchestrator_process(world.environment()) as second:
        async with client(second) as http:
            streams = [asyncio.create_task(follower.resume(http)) for follower in followers]
            for follower in followers:
                if follower.kind == "client":
                    await give_output(http, follower)
            await asyncio.gather(*streams)
            for follower in followers:
                complete = Follower(follower.kind)
                await complete._follow(http, "GET", f"/v1/trajectories/{follower.id}/events")
                assert follower.ids == complete.ids, "no gap and no repetition"
                assert complete.rows[-1].event == "trajectory.finished"
    return {kind: [result.rows[-1].json() for result in followers if result.kind == kind] for kind in KINDS}


async def give_output(http: httpx.AsyncClient, follower: Follower) -> None:
    (pending,) = (row.json() for row in follower.rows if row.event == "trajectory.requires_action")
    outputs = {"outputs": [{"call_id": pending["call_id"], "content": "yes"}], "background": True}
    response = await http.post(f"/v1/trajectories/{follower.id}/tool_outputs", json=outputs)
    assert response.status_code == 202, response.text


Meanwhile = Callable[[OrchestratorProcess, httpx.AsyncClient], Awaitable[float]]


async def stopped(world: World, meanwhile: Meanwhile) -> tuple[list[Follower], float]:
    """Open many streams, then end the process. Returns the streams and the seconds since the last signal."""
    script(world, hanging=True)
    world.shop.hang = True
    followers = [Follower(kind) for kind in KINDS for _ in range(EACH)]
    with orchestrator_process(world.environment()) as first:
        async with client(first) as http:
            streams = [asyncio.create_task(follower.begin(http)) for follower in followers]
            await until_all_wait(followers, world)
            since = await meanwhile(first, http)
            seconds = await ended(first, since)
            await asyncio.gather(*streams, return_exceptions=True)
    return followers, seconds


@pytest.mark.timeout(240)
async def test_many_streams_stop_and_resume(world: World) -> None:
    async def terminate(started: OrchestratorProcess, http: httpx.AsyncClient) -> float:
        since = send_signal(started)
        while (ready := await http.get("/readyz")).status_code == 200:
            await asyncio.sleep(0.01)
        assert time.monotonic() - since < 1, "not ready at once"
        for refused in (ready, await http.post("/v1/trajectories", json={"instruction": "tool"})):
            assert refused.status_code == 503
            assert refused.json()["type"] == "urn:alpha-umi:problem:shutting-down"
            assert refused.headers["Retry-After"] == "5"
        assert (await http.get("/healthz")).status_code == 200
        late = Follower("generation", id=(await http.get("/v1/trajectories?limit=100")).json()["data"][-1]["id"])
        await late._follow(http, "GET", f"/v1/trajectories/{late.id}/events")
        assert late.events[-1].event == "reconnect"
        world.shop.release.set()
        return since

    followers, seconds = await stopped(world, terminate)
    assert seconds < 10
    for follower in followers:
        assert follower.events[-1].event == "reconnect"
        assert (follower.rows[-1].event == "tool.observed") == (follower.kind == "tool"), "its state was committed"
    result = await resumed(world, followers)
    assert {item["status"] for items in result.values() for item in items} == {"completed"}
    assert len(world.shop.executed("order")) == EACH, "no order was sent twice"
    for item in result["tool"]:
        assert not item["steps"][0]["observation"]["is_error"]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_at_once_and_loses_nothing(world: World, second: int) -> None:
    async def terminate_twice(started: OrchestratorProcess, http: httpx.AsyncClient) -> float:
        send_signal(started)
        while (await http.get("/readyz")).status_code == 200:
            await asyncio.sleep(0.01)
        return send_signal(started, second)

    followers, seconds = await stopped(world, terminate_twice)
    assert seconds < 3
    result = await resumed(world, followers)
    assert {item["status"] for items in result.values() for item in items} == {"completed"}
    assert len(world.shop.executed("order")) == EACH, "no order was sent twice"
    for item in result["tool"]:
        assert "UNKNOWN" in item["steps"][0]["observation"]["content"]
