"""The log of a running orchestrator: each line is one JSON object that names the trajectory, step and request."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from typing import Any

import httpx
from support.orchestrator_process import OrchestratorProcess, orchestrator_process
from support.orchestrator_world import World
from support.scripted_roles import Reply, call, decide, in_turn, problem, say

HOSTILE = 'lamp\n{"event": "forged"}\x1b[2J\u202e'


def lines_of(started: OrchestratorProcess) -> list[dict[str, Any]]:
    """The parsed lines of the log."""
    return [json.loads(line) for line in started.errors.read_text(encoding="utf-8").splitlines()]


def script(world: World) -> None:
    """A retried role call, a failing tool, and text that tries to forge a log line."""
    broken: Reply = problem("engine-not-ready", HOSTILE)
    world.roles.planner = in_turn(broken, decide(HOSTILE, "caller"), decide("I know it", "conclusion"))
    world.roles.caller = in_turn(call("look_up", item="broken"))
    world.roles.summarizer = in_turn(say(HOSTILE))


async def test_lines_name_what_they_belong_to(world: World) -> None:
    script(world)
    with orchestrator_process(world.environment() | {"log_level": "INFO"}) as started:
        async with httpx.AsyncClient(base_url=started.address, timeout=20) as http:
            response = await http.post(
                "/v1/trajectories", json={"instruction": HOSTILE}, headers={"X-Request-Id": "r1"}
            )
            await http.get(f"/v1/trajectories/{response.json()['id']}", headers={"X-Request-Id": "r 2"})
            await http.get(f"/v1/trajectories/{HOSTILE.encode().hex()}")
        assert started.process.pid is not None
        os.kill(started.process.pid, signal.SIGTERM)
        await asyncio.to_thread(started.process.join)
        assert started.process.exitcode == 0
        lines = lines_of(started)
    assert response.json()["status"] == "completed", (response.json()["error"], lines)
    trajectory_id = response.json()["id"]
    assert all({"timestamp", "level", "service", "event"} <= line.keys() for line in lines)
    assert {line["service"] for line in lines} == {"orchestrator"}
    assert "forged" not in {line["event"] for line in lines}
    result = {line["event"]: line for line in lines}
    assert (result["trajectory.created"]["trajectory_id"], result["trajectory.created"]["request_id"]) == (
        trajectory_id, "r1",
    )  # fmt: skip
    for event, step in (("role.retry", 0), ("tool.called", 0)):
        line = result[event]
        assert (line["trajectory_id"], line["step"], line["request_id"]) == (trajectory_id, step, "r1")
    assert (result["trajectory.finished"]["status"], result["trajectory.finished"]["steps"]) == ("completed", 2)
    created, read, unknown = (line for line in lines if line["event"] == "request" and line["route"] != "/readyz")
    assert (created["method"], created["route"], created["status"]) == ("POST", "/v1/trajectories", 200)
    assert (created["trajectory_id"], created["request_id"]) == (trajectory_id, "r1")
    assert (read["route"], read["trajectory_id"]) == ("/v1/trajectories/{trajectory_id}", trajectory_id)
    assert read["request_id"] != "r 2"
    assert (unknown["status"], unknown["problem"], "trajectory_id" in unknown) == (404, "trajectory-not-found", False)
