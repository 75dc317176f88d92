"""kill -9 around the commits with which a response begins, and before one that is not stored is deleted."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import httpx
import pytest
from support.orchestrator_process import OrchestratorProcess, orchestrator_process
from support.orchestrator_world import World
from support.scripted_roles import call, decide, in_turn, say

TOOL = {"type": "function", "name": "weather"}


async def post(address: str, body: dict[str, Any]) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=address, timeout=30) as http:
        response = await http.post("/v1/responses", json={"model": "alpha-umi"} | body)
        document: dict[str, Any] = response.json()
        return document


async def killed(process: OrchestratorProcess, body: dict[str, Any]) -> None:
    with contextlib.suppress(httpx.HTTPError):
        await post(process.address, body)
    await asyncio.to_thread(process.process.join, 20)
    assert process.process.exitcode == -9


@pytest.mark.parametrize(
    ("failpoint", "begins", "statuses"),
    [
        ("message.before_commit:1", False, ["completed"]),
        ("message.after_commit:1", True, ["completed", "completed"]),
        ("output.after_commit:1", True, ["completed", "completed"]),
    ],
)
async def test_a_response_begins_in_the_log_or_not_at_all(
    world: World, failpoint: str, begins: bool, statuses: list[str]
) -> None:
    settings = world.environment()
    calls = failpoint.startswith("output")
    world.roles.planner = in_turn(decide("look", "caller" if calls else "conclusion"), decide("now", "conclusion"))
    world.roles.caller, world.roles.summarizer = in_turn(call("weather")), in_turn(say("done"))
    with orchestrator_process({**settings, "failpoint": failpoint}) as first:
        opened = await post(first.address, {"input": "One", "tools": [TOOL]})
        more: Any = "Two"
        if calls:
            call_id = opened["output"][-1]["call_id"]
            more = [{"type": "function_call_output", "call_id": call_id, "output": "sun"}]
        await killed(first, {"input": more, "previous_response_id": opened["id"], "background": True})
    with orchestrator_process(settings) as second:
        async with httpx.AsyncClient(base_url=second.address, timeout=30) as http:
            (trajectory,) = (await http.get("/v1/trajectories")).json()["data"]
            while trajectory["finished_at"] is None:
                trajectory = (await http.get(f"/v1/trajectories/{trajectory['id']}")).json()
            hexadecimal = opened["id"].split("_")[1]
            shown = [await http.get(f"/v1/responses/resp_{hexadecimal}_{seq}") for seq in range(1, 16)]
            listed = [each.json()["status"] for each in shown if each.status_code == 200]
    assert (len(listed) == 2, listed) == (begins, statuses)


async def test_the_next_process_deletes_what_is_not_stored(world: World) -> None:
    settings = world.environment()
    with orchestrator_process({**settings, "failpoint": "create.after_commit:1"}) as first:
        await killed(first, {"input": "Hello", "store": False})
    with orchestrator_process(settings) as second:
        async with httpx.AsyncClient(base_url=second.address) as http, asyncio.timeout(30):
            while (await http.get("/v1/trajectories")).json()["data"]:
                await asyncio.sleep(0.1)
            assert len(world.roles.bodies_of("planner")) == 1
