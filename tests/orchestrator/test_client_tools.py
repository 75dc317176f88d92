"""Client tools: the pause, the output, its deadline, and unexpected outputs."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from httpx_sse import aconnect_sse
from support.orchestrator_world import Client, World
from support.scripted_roles import call, decide, hang, in_turn, say
from support.serving_on_loopback import until

PROBLEM = "urn:alpha-umi:problem:"
PARAMETERS = {"type": "object", "properties": {"room": {"type": "string"}}, "required": ["room"]}
THERMOMETER = {"name": "read_thermometer", "description": "Temperature of a room", "parameters": PARAMETERS}


def script(world: World, *, calls: int = 1) -> None:
    """A number of calls of the client tool, then the answer."""
    thoughts = [decide(f"measure {number}", "caller") for number in range(calls)]
    world.roles.planner = in_turn(*thoughts, decide("I know it", "conclusion"))
    world.roles.caller = in_turn(call("read_thermometer", room="hall"))
    world.roles.summarizer = in_turn(say("It is warm."))


async def paused(client: Client, **body: Any) -> tuple[str, dict[str, Any]]:
    """A waiting trajectory: its id and the action."""
    result = await client.run(**{"tools": [THERMOMETER]} | body)
    assert result["status"] == "requires_action"
    return result["id"], result["steps"][-1]["action"]


async def give(client: Client, trajectory_id: str, call_id: str, content: str = "21 °C", **body: Any) -> httpx.Response:
    output = {"call_id": call_id, "content": content} | ({"is_error": True} if body.pop("is_error", False) else {})
    response: httpx.Response = await client.http.post(
        f"/v1/trajectories/{trajectory_id}/tool_outputs", json={"outputs": [output]} | body
    )
    return response


async def test_a_foreground_request_is_answered_at_the_pause_and_at_the_end(client: Client, world: World) -> None:
    script(world)
    result = await client.run(tools=[THERMOMETER])
    (step,) = result["steps"]
    assert (result["status"], result["answer"], result["finished_at"]) == ("requires_action", None, None)
    assert (step["action"]["name"], step["action"]["arguments"]) == ("read_thermometer", {"room": "hall"})
    assert step["observation"] is None
    left = datetime.fromisoformat(step["action"]["expires_at"]) - datetime.now(UTC)
    assert 590 < left.total_seconds() <= 600
    response = await give(client, result["id"], step["action"]["call_id"])
    ended = response.json()
    assert (response.status_code, ended["status"], ended["answer"]) == (200, "completed", "It is warm.")
    assert ended["steps"][0]["observation"] == {"content": "21 °C", "is_error": False, "truncated": False}
    assert ended["steps"][0]["action"] == step["action"] | {"expires_at": None}


async def test_the_roles_see_the_clients_tools_among_the_others(client: Client, world: World) -> None:
    world.roles.planner = in_turn(
        decide("look it up", "caller"), decide("measure", "caller"), decide("I know it", "conclusion")
    )
    world.roles.caller = in_turn(call("look_up", item="lamp"), call("read_thermometer", room="hall"))
    trajectory_id, action = await paused(client, tools=["look_up", THERMOMETER, "order"])
    await give(client, trajectory_id, action["call_id"])
    for role in ("planner", "caller"):
        for request in world.roles.bodies_of(role):
            assert [tool["name"] for tool in request["tools"]] == ["look_up", "read_thermometer", "order"]
            assert request["tools"][1] == THERMOMETER
    assert world.roles.bodies_of("planner")[-1]["history"][-1] == {"role": "observation", "content": "21 °C"}
    assert world.shop.journal == [("look_up", "lamp", "")]
    assert (await client.http.get(f"/v1/trajectories/{trajectory_id}")).json()["tools"] == [
        "look_up", "read_thermometer", "order",
    ]  # fmt: skip


async def test_a_clients_tool_keeps_its_meaning_when_another_of_its_name_is_registered(world: World) -> None:
    mine = THERMOMETER | {"name": "look_up"}
    async with world.orchestrator() as client:
        world.roles.planner = in_turn(decide("measure", "caller"), decide("I know it", "conclusion"))
        world.roles.caller = in_turn(call("look_up", room="hall"))
        trajectory_id, action = await paused(client, tools=[mine])
        await give(client, trajectory_id, action["call_id"])
    assert world.roles.bodies_of("caller")[0]["tools"] == [mine]
    assert world.shop.journal == []


async def test_a_stream_shows_the_pause_and_goes_on_after_the_output(client: Client, world: World) -> None:
    script(world)
    body = {"instruction": "How warm?", "tools": [THERMOMETER], "stream": True}
    names, required = [], {}
    async with aconnect_sse(client.http, "POST", "/v1/trajectories", json=body) as source:
        async for event in source.aiter_sse():
            if event.event.endswith(".delta"):
                continue
            names.append(event.event)
            if event.event == "trajectory.requires_action":
                required = event.json()
                given = await give(client, required["trajectory_id"], required["call_id"], background=True)
                assert given.status_code == 202
    assert names == [
        "trajectory.created", "planner.decided", "caller.called", "trajectory.requires_action", "tool.observed",
        "planner.decided", "summarizer.answered", "trajectory.finished",
    ]  # fmt: skip
    assert (required["step"], required["name"], required["arguments"]) == (0, "read_thermometer", {"room": "hall"})
    assert datetime.fromisoformat(required["expires_at"]) > datetime.now(UTC)


async def test_an_output_can_be_followed_by_a_stream_from_there_on(client: Client, world: World) -> None:
    script(world)
    trajectory_id, action = await paused(client)
    body = {"outputs": [{"call_id": action["call_id"], "content": "21 °C"}], "stream": True}
    events = await client.stream("POST", f"/v1/trajectories/{trajectory_id}/tool_outputs", json=body)
    shown = [event.event for event in events if not event.event.endswith(".delta")]
    assert shown == ["tool.observed", "planner.decided", "summarizer.answered", "trajectory.finished"]
    assert events[0].json()["content"] == "21 °C"
    everything = await client.events(trajectory_id)
    assert [event.id for event in everything][-4:] == [
        event.id for event in events if not event.event.endswith(".delta")
    ]


async def test_several_calls_pause_one_after_the_other(client: Client, world: World) -> None:
    script(world, calls=3)
    trajectory_id, action = await paused(client)
    seen = {action["call_id"]}
    for _ in range(2):
        result = (await give(client, trajectory_id, action["call_id"], f"{len(seen)} °C")).json()
        action = result["steps"][-1]["action"]
        assert (result["status"], action["call_id"] in seen) == ("requires_action", False)
        seen.add(action["call_id"])
    assert (await give(client, trajectory_id, action["call_id"], "last")).json()["status"] == "completed"


async def test_a_waiting_trajectory_is_listed_and_can_be_cancelled(client: Client, world: World) -> None:
    script(world)
    trajectory_id, action = await paused(client)
    await client.start(tools=["look_up"])

    async def waiting() -> list[str]:
        result = (await client.http.get("/v1/trajectories", params={"status": "requires_action"})).json()
        return [item["id"] for item in result["data"]]

    assert await waiting() == [trajectory_id]
    cancelled = (await client.http.post(f"/v1/trajectories/{trajectory_id}/cancel")).json()
    assert (cancelled["status"], cancelled["steps"][0]["observation"]) == ("cancelled", None)
    assert await waiting() == []
    late = await give(client, trajectory_id, action["call_id"])
    assert (late.status_code, late.json()["type"]) == (409, f"{PROBLEM}trajectory-finished")


async def test_a_failed_tool_is_an_error_for_the_planner(client: Client, world: World) -> None:
    script(world)
    trajectory_id, action = await paused(client)
    ended = (await give(client, trajectory_id, action["call_id"], "the battery is empty", is_error=True)).json()
    assert ended["steps"][0]["observation"]["is_error"] is True
    assert world.roles.bodies_of("planner")[-1]["history"][-1]["content"] == "the battery is empty"


async def test_outputs_are_shortened_and_cleaned_like_every_observation(client: Client, world: World) -> None:
    script(world, calls=2)
    trajectory_id, action = await paused(client)
    result = (await give(client, trajectory_id, action["call_id"], "é" * 100_000)).json()
    observation = result["steps"][0]["observation"]
    assert observation["truncated"] is True
    assert len(observation["content"].encode()) <= 16 * 1024
    assert observation["content"].startswith("[Result 1: shortened from 200,000 bytes.")
    assert "read_more" in [tool["name"] for tool in world.roles.bodies_of("planner")[-1]["tools"]]
    ended = (await give(client, trajectory_id, result["steps"][-1]["action"]["call_id"], "a\x00b")).json()
    assert ended["steps"][1]["observation"]["content"] == "a\N{REPLACEMENT CHARACTER}b"


async def test_when_the_time_is_over_the_planner_reads_so_and_a_late_output_is_refused(world: World) -> None:
    script(world)
    async with world.orchestrator(client_tool_timeout_s=0.3) as client:
        trajectory_id, action = await paused(client)
        ended = await client.finished(trajectory_id)
        observation = ended["steps"][0]["observation"]
        assert (ended["status"], observation["is_error"]) == ("completed", True)
        assert "gave no output" in observation["content"]
        late = await give(client, trajectory_id, action["call_id"])
        assert (late.status_code, late.json()["type"]) == (409, f"{PROBLEM}output-too-late")
        assert action["call_id"] in late.json()["detail"]


async def test_the_wait_does_not_count_towards_the_time_limit_of_the_trajectory(world: World) -> None:
    script(world)
    async with world.orchestrator(trajectory_timeout_s=2.0) as client:
        trajectory_id, action = await paused(client)
        await asyncio.sleep(2.1)
        ended = (await give(client, trajectory_id, action["call_id"])).json()
    assert (ended["status"], ended["error"]) == ("completed", None)


async def test_an_output_for_a_trajectory_that_waits_for_none(client: Client, world: World) -> None:
    world.roles.planner = in_turn(hang())
    trajectory_id = await client.start(tools=[THERMOMETER])
    refused = await give(client, trajectory_id, "call_1")
    assert (refused.status_code, refused.json()["type"]) == (409, f"{PROBLEM}no-output-expected")
    assert refused.json()["errors"][0]["field"] == "outputs.0.call_id"


async def test_an_output_for_another_call(client: Client, world: World) -> None:
    script(world)
    trajectory_id, action = await paused(client)
    refused = await give(client, trajectory_id, "call_unknown")
    assert (refused.status_code, refused.json()["type"]) == (409, f"{PROBLEM}call-id-mismatch")
    assert action["call_id"] in refused.json()["detail"]
    assert (await give(client, trajectory_id, action["call_id"])).json()["status"] == "completed"


async def test_a_second_output_changes_nothing(client: Client, world: World) -> None:
    script(world, calls=2)
    trajectory_id, action = await paused(client)
    assert (await give(client, trajectory_id, action["call_id"], "first")).status_code == 200
    for _ in range(2):
        refused = await give(client, trajectory_id, action["call_id"], "second")
        assert (refused.status_code, refused.json()["type"]) == (409, f"{PROBLEM}output-already-submitted")
        result = (await client.http.get(f"/v1/trajectories/{trajectory_id}")).json()
        assert result["steps"][0]["observation"]["content"] == "first"
        if result["status"] == "requires_action":
            await give(client, trajectory_id, result["steps"][-1]["action"]["call_id"])
    assert result["status"] == "completed" or result["steps"][1]["observation"] is None


async def test_of_many_outputs_at_once_one_is_taken(client: Client, world: World) -> None:
    script(world)
    trajectory_id, action = await paused(client)
    responses = await asyncio.gather(
        *(give(client, trajectory_id, action["call_id"], f"output {number}") for number in range(10))
    )
    taken = [response for response in responses if response.status_code == 200]
    assert len(taken) == 1
    assert {response.status_code for response in responses} == {200, 409}
    assert {response.json()["type"] for response in responses if response.status_code == 409} == {
        f"{PROBLEM}output-already-submitted"
    }
    message = taken[0].json()["steps"][0]["observation"]["content"]
    trajectory = (await client.http.get(f"/v1/trajectories/{trajectory_id}")).json()
    assert trajectory["steps"][0]["observation"]["content"] == message


async def test_an_output_for_an_unknown_trajectory(client: Client) -> None:
    refused = await give(client, "traj_unknown", "call_1")
    assert (refused.status_code, refused.json()["type"]) == (404, f"{PROBLEM}trajectory-not-found")


async def test_an_output_for_a_trajectory_that_has_ended(client: Client) -> None:
    ended = await client.run()
    refused = await give(client, ended["id"], "call_1")
    assert (refused.status_code, refused.json()["type"]) == (409, f"{PROBLEM}trajectory-finished")
    assert "completed" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "outputs"),
        ({"outputs": []}, "outputs"),
        ({"outputs": [{"call_id": "a", "content": "b"}] * 2}, "outputs"),
        ({"outputs": [{"call_id": "a"}]}, "outputs.0.content"),
        ({"outputs": [{"call_id": "", "content": "b"}]}, "outputs.0.call_id"),
        ({"outputs": [{"call_id": "a", "content": 5}]}, "outputs.0.content"),
        ({"outputs": [{"call_id": "a", "content": "b", "is_error": "no"}]}, "outputs.0.is_error"),
        ({"outputs": [{"call_id": "a", "content": "b", "extra": 1}]}, "outputs.0.extra"),
        ({"outputs": [{"call_id": "a", "content": "x" * 1_000_001}]}, "outputs.0.content"),
        ({"outputs": [{"call_id": "a", "content": "b"}], "surprise": 1}, "surprise"),
    ],
)
async def test_outputs_that_are_none(client: Client, body: dict[str, Any], field: str) -> None:
    response = await client.http.post("/v1/trajectories/traj_x/tool_outputs", json=body)
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, field)


BAD_TOOLS: list[tuple[list[Any], str, str]] = [
    ([{}], "invalid-request", "tools.0.name"),
    ([{"name": ""}], "invalid-request", "tools.0.name"),
    ([{"name": "two words"}], "invalid-request", "tools.0.name"),
    ([{"name": "x" * 65}], "invalid-request", "tools.0.name"),
    ([{"name": "a", "description": "x" * 10_001}], "invalid-request", "tools.0.description"),
    ([{"name": "a", "parameters": []}], "invalid-request", "tools.0.parameters"),
    ([{"name": "a", "url": "http://x"}], "invalid-request", "tools.0.url"),
    ([5], "invalid-request", "tools.0"),
    ([None], "invalid-request", "tools.0"),
    ([THERMOMETER, THERMOMETER], "invalid-request", "tools.1.name"),
    (["look_up", {"name": "look_up"}], "invalid-request", "tools.1.name"),
    ([{"name": "look_up"}, "look_up"], "invalid-request", "tools.1"),
    (["look_up", THERMOMETER, "look_down"], "unknown-tool", "tools.2"),
    (["look_up", {"name": "a", "parameters": {"type": "array"}}], "tool-schema-invalid", "tools.1.parameters"),
    (
        [{"name": "a", "parameters": {"type": "object", "properties": {"b": {"$ref": "http://x"}}}}],
        "tool-schema-invalid",
        "tools.0.parameters.properties.b.$ref",
    ),
    ([{"name": "a", "parameters": {"type": "object", "title": "x" * 600_000}}], "tool-schema-invalid", "tools.0"),
    ([{"name": f"t{number}"} for number in range(101)], "invalid-request", "tools"),
]


@pytest.mark.parametrize(("tools", "kind", "field"), BAD_TOOLS)
async def test_definitions_that_cannot_be_used(client: Client, tools: list[Any], kind: str, field: str) -> None:
    response = await client.create(tools=tools)
    document = response.json()
    assert (response.status_code, document["type"]) == (422, PROBLEM + kind)
    assert document["errors"][0]["field"].startswith(field)
    assert "(" not in document["errors"][0]["field"]
    assert (await client.http.get("/v1/trajectories")).json()["data"] == []


async def test_a_client_that_leaves_during_the_pause_is_waited_for(client: Client, world: World) -> None:
    """The output may come over any connection."""
    script(world)
    body = {"instruction": "How warm?", "tools": [THERMOMETER], "stream": True}
    async with aconnect_sse(client.http, "POST", "/v1/trajectories", json=body) as source:
        async for event in source.aiter_sse():
            if event.event == "trajectory.requires_action":
                required = event.json()
                break
    run = client.orchestrator.runs.find(required["trajectory_id"], owner="default")
    assert run is not None
    await until(lambda: run.lease_count == 0)
    ended = (await give(client, required["trajectory_id"], required["call_id"])).json()
    assert ended["status"] == "completed"


async def test_a_client_that_leaves_after_its_output_ends_the_trajectory(client: Client, world: World) -> None:
    world.roles.planner = in_turn(decide("measure", "caller"), hang())
    world.roles.caller = in_turn(call("read_thermometer", room="hall"))
    trajectory_id, action = await paused(client)
    world.roles.requested.clear()
    request = asyncio.create_task(give(client, trajectory_id, action["call_id"]))
    await world.roles.requested.wait()
    request.cancel()
    assert (await client.finished(trajectory_id))["status"] == "cancelled"


async def test_one_of_two_waiting_clients_may_leave(client: Client, world: World) -> None:
    """The stream of the creation stays open when the request with the output is aborted."""
    world.roles.planner = in_turn(decide("measure", "caller"), hang())
    world.roles.caller = in_turn(call("read_thermometer", room="hall"))
    body = {"instruction": "How warm?", "tools": [THERMOMETER], "stream": True}
    async with aconnect_sse(client.http, "POST", "/v1/trajectories", json=body) as source:
        events = source.aiter_sse()
        async for event in events:
            if event.event == "trajectory.requires_action":
                required = event.json()
                trajectory_id = required["trajectory_id"]
                giving = asyncio.create_task(give(client, trajectory_id, required["call_id"]))
            if event.event == "tool.observed":
                break
        run = client.orchestrator.runs.find(trajectory_id, owner="default")
        assert run is not None
        await until(lambda: run.lease_count == 2)
        giving.cancel()
        await until(lambda: run.lease_count == 1)
        result = (await client.http.get(f"/v1/trajectories/{trajectory_id}")).json()
        assert result["status"] == "running"
    assert (await client.finished(trajectory_id))["status"] == "cancelled"


async def test_stopping_while_waiting_leaves_the_trajectory_waiting(world: World) -> None:
    script(world)
    async with world.orchestrator() as client:
        trajectory_id, action = await paused(client)
        expires_at = action["expires_at"]
    async with world.orchestrator() as client:
        result = (await client.http.get(f"/v1/trajectories/{trajectory_id}")).json()
        assert (result["status"], result["steps"][0]["action"]["expires_at"]) == ("requires_action", expires_at)
        assert (await give(client, trajectory_id, action["call_id"])).json()["status"] == "completed"
