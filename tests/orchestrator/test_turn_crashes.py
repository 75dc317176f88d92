"""kill -9 while the client must act and around the commits of its input: nothing is lost or performed twice."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import httpx
import pytest
from httpx_sse import aconnect_sse
from support.orchestrator_process import orchestrator_process
from support.orchestrator_world import World
from support.scripted_roles import Reply, call, decide, say

CREATE = "/v1/trajectories"
QUESTION = {"instruction": "How warm?", "tools": [{"name": "read_thermometer"}]}
KEY = {"Idempotency-Key": "k-1"}
PROBLEM = "urn:alpha-umi:problem:"


def script(world: World) -> None:
    """One call of the client's tool in every turn."""

    def planner(body: dict[str, Any]) -> Reply:
        instructions, observed = (
            sum(turn["role"] == role for turn in body["history"]) for role in ("user", "observation")
        )
        return decide("measure", "caller") if observed < instructions else decide("I know it", "conclusion")

    world.roles.planner = planner
    world.roles.caller = lambda _: call("read_thermometer")
    world.roles.summarizer = lambda _: say("It is warm.")


def output_for(result: dict[str, Any]) -> dict[str, Any]:
    return {"outputs": [{"call_id": result["steps"][-1]["action"]["call_id"], "content": "21 °C"}]}


async def rows(http: httpx.AsyncClient, trajectory_id: str, *, until: str, after: int = 0) -> list[tuple[int, str]]:
    """The rows of a stream, up to the first one of a kind."""
    result = []
    path = f"{CREATE}/{trajectory_id}/events"
    async with asyncio.timeout(20), aconnect_sse(http, "GET", path, headers={"Last-Event-ID": str(after)}) as source:
        async for event in source.aiter_sse():
            if not event.event.endswith(".delta"):
                result.append((int(event.id), event.event))
            if event.event == until:
                break
    return result


async def test_killed_while_waiting_for_an_output(world: World) -> None:
    script(world)
    settings = world.environment()
    with orchestrator_process(settings) as first:
        async with httpx.AsyncClient(base_url=first.address, timeout=20) as http:
            paused = (await http.post(CREATE, json=QUESTION)).json()
            before = await rows(http, paused["id"], until="trajectory.requires_action")
    requests_before = len(world.roles.requests)
    with orchestrator_process(settings) as second:
        async with httpx.AsyncClient(base_url=second.address, timeout=20) as http:
            (waiting,) = (await http.get(CREATE, params={"status": "requires_action", "include": "steps"})).json()[
                "data"
            ]
            assert waiting == paused
            resumed = asyncio.create_task(rows(http, paused["id"], until="trajectory.finished", after=before[-1][0]))
            ended = (await http.post(f"{CREATE}/{paused['id']}/tool_outputs", json=output_for(paused))).json()
            assert (ended["status"], ended["answer"]) == ("completed", "It is warm.")
            complete = await rows(http, paused["id"], until="trajectory.finished")
            assert before + await resumed == complete
            assert [name for _, name in complete].count("trajectory.requires_action") == 1
    assert len(world.roles.requests) - requests_before == 2


async def test_after_a_restart_the_client_has_time_again(world: World) -> None:
    """Only the wall clock tells how long no process ran, and it is not trusted: a deadline that passed moves."""
    script(world)
    settings = world.environment() | {"client_tool_timeout_s": 0.2}
    with orchestrator_process(settings) as first:
        async with httpx.AsyncClient(base_url=first.address, timeout=20) as http:
            # The process is killed before the deadline.
            paused = (await http.post(CREATE, json=QUESTION)).json()
    await asyncio.sleep(0.3)
    with orchestrator_process(settings | {"client_tool_timeout_s": 600}) as second:
        async with httpx.AsyncClient(base_url=second.address, timeout=20) as http:
            given = await http.post(f"{CREATE}/{paused['id']}/tool_outputs", json=output_for(paused))
    assert (given.status_code, given.json()["status"]) == (200, "completed")


async def killed_at(settings: dict[str, Any], failpoint: str, path: str, body: dict[str, Any]) -> None:
    """Send a request to an orchestrator that is killed while handling it."""
    with orchestrator_process(settings | {"failpoint": failpoint}) as doomed:
        async with httpx.AsyncClient(base_url=doomed.address, timeout=20) as http:
            with contextlib.suppress(httpx.HTTPError):
                response = await http.post(path, json=body, headers=KEY)
                pytest.fail(f"answered with {response.status_code}")
        await asyncio.to_thread(doomed.process.join, 20)
        assert doomed.process.exitcode == -9


async def repeated(http: httpx.AsyncClient, path: str, body: dict[str, Any], *, known: bool) -> dict[str, Any]:
    """The responses to the same request after the crash, twice."""
    responses = [await http.post(path, json=body, headers=KEY) for _ in range(2)]
    assert [response.status_code for response in responses] == [200, 200], responses[0].text
    assert ["idempotent-replayed" in response.headers for response in responses] == [known, True]
    first, second = (response.json() for response in responses)
    assert first == second
    return dict(first)


@pytest.mark.parametrize("moment", ["before_commit", "after_commit"])
async def test_killed_around_the_commit_of_a_creation_with_a_key(world: World, moment: str) -> None:
    script(world)
    settings = world.environment()
    await killed_at(settings, f"create.{moment}:1", CREATE, QUESTION)
    with orchestrator_process(settings) as second:
        async with httpx.AsyncClient(base_url=second.address, timeout=20) as http:
            result = await repeated(http, CREATE, QUESTION, known=moment == "after_commit")
            assert result["status"] == "requires_action"
            assert [item["id"] for item in (await http.get(CREATE)).json()["data"]] == [result["id"]]


@pytest.mark.parametrize("moment", ["before_commit", "after_commit"])
async def test_killed_around_the_commit_of_an_output_with_a_key(world: World, moment: str) -> None:
    script(world)
    settings = world.environment()
    with orchestrator_process(settings) as first:
        async with httpx.AsyncClient(base_url=first.address, timeout=20) as http:
            paused = (await http.post(CREATE, json=QUESTION)).json()
    path, body = f"{CREATE}/{paused['id']}/tool_outputs", output_for(paused)
    await killed_at(settings, f"output.{moment}:1", path, body)
    with orchestrator_process(settings) as second:
        async with httpx.AsyncClient(base_url=second.address, timeout=20) as http:
            ended = await repeated(http, path, body, known=moment == "after_commit")
            assert (ended["status"], ended["steps"][0]["observation"]["content"]) == ("completed", "21 °C")
            again = await http.post(path, json=body)
            assert (again.status_code, again.json()["type"]) == (409, f"{PROBLEM}output-already-submitted")


@pytest.mark.parametrize("moment", ["before_commit", "after_commit"])
async def test_killed_around_the_commit_of_a_message_with_a_key(world: World, moment: str) -> None:
    script(world)
    settings = world.environment()
    with orchestrator_process(settings) as first:
        async with httpx.AsyncClient(base_url=first.address, timeout=20) as http:
            paused = (await http.post(CREATE, json=QUESTION)).json()
            await http.post(f"{CREATE}/{paused['id']}/tool_outputs", json=output_for(paused))
    path, body = f"{CREATE}/{paused['id']}/messages", {"content": "And now?"}
    await killed_at(settings, f"message.{moment}:1", path, body)
    with orchestrator_process(settings) as second:
        async with httpx.AsyncClient(base_url=second.address, timeout=20) as http:
            result = await repeated(http, path, body, known=moment == "after_commit")
            assert result["status"] == "requires_action"
            assert [message["role"] for message in result["messages"]] == ["user", "assistant", "user"]
