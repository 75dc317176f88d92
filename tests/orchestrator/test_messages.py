"""Further user turns: histories of the roles, the wire form, streams across turns, and messages out of turn."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from httpx_sse import aconnect_sse
from support.orchestrator_world import Client, World
from support.scripted_roles import call, decide, hang, in_turn, problem, say

PROBLEM = "urn:alpha-umi:problem:"
THERMOMETER = {"name": "read_thermometer", "description": "Temperature of a room", "parameters": {}}
TURN = ["planner.decided", "summarizer.answered"]


def rows_of(events: list[Any]) -> list[Any]:
    return [event for event in events if not event.event.endswith(".delta")]


async def add(client: Client, trajectory_id: str, content: str = "And now?", **body: Any) -> Any:
    return await client.http.post(f"/v1/trajectories/{trajectory_id}/messages", json={"content": content} | body)


async def test_a_further_turn_continues_the_conversation(client: Client, world: World) -> None:
    world.roles.planner = in_turn(
        decide("look it up", "caller"), decide("I know it", "conclusion"), decide("I still know it", "conclusion")
    )
    world.roles.caller = in_turn(call("look_up", item="lamp"))
    world.roles.summarizer = in_turn(say("It costs 40."), say("As I said: 40."))
    first = await client.run(tools=["look_up"])
    assert first["messages"] == [
        {"role": "user", "content": "What is it?"},
        {"role": "assistant", "content": "It costs 40."},
    ]
    response = await add(client, first["id"], "Are you sure?")
    second = response.json()
    assert (response.status_code, second["id"], second["status"]) == (200, first["id"], "completed")
    assert second["answer"] == "As I said: 40."
    assert second["messages"] == [
        *first["messages"],
        {"role": "user", "content": "Are you sure?"},
        {"role": "assistant", "content": "As I said: 40."},
    ]
    assert (second["instruction"], second["created_at"]) == (first["instruction"], first["created_at"])
    assert second["finished_at"] > first["finished_at"]
    assert [step["index"] for step in second["steps"]] == [0, 1, 2]
    body = world.roles.bodies_of("planner")[-1]
    assert [turn["role"] for turn in body["history"]] == [
        "user", "planner", "caller", "observation", "planner", "conclusion", "user",
    ]  # fmt: skip
    assert body["history"][-2]["content"] == "It costs 40."
    assert [tool["name"] for tool in body["tools"]] == ["look_up"]


async def test_every_turn_has_all_its_steps_and_its_own_end(client: Client, world: World) -> None:
    world.roles.planner = in_turn(decide("look it up", "caller"))
    world.roles.caller = lambda _: call("look_up", item="x" * len(world.shop.journal))
    first = await client.run(max_steps=2)
    assert (first["status"], len(first["steps"]), first["error"]["code"]) == ("exhausted", 2, "max_steps")
    second = (await add(client, first["id"])).json()
    assert (second["status"], len(second["steps"])) == ("exhausted", 4)
    world.roles.planner = in_turn(decide("I know it", "conclusion"))
    third = (await add(client, first["id"])).json()
    assert (third["status"], third["error"]) == ("completed", None)


@pytest.mark.parametrize("end", ["gave_up", "failed", "cancelled"])
async def test_a_turn_without_an_answer_can_be_followed_by_another(client: Client, world: World, end: str) -> None:
    replies = {
        "gave_up": decide("no", "give up"),
        "failed": problem("invalid-request", "it does not like this"),
        "cancelled": hang(),
    }
    world.roles.planner = in_turn(replies[end])
    trajectory_id = await client.start()
    if end == "cancelled":
        await world.roles.requested.wait()
        await client.http.post(f"/v1/trajectories/{trajectory_id}/cancel")
    first = await client.finished(trajectory_id)
    assert (first["status"], first["answer"]) == (end, None)
    world.roles.planner = in_turn(decide("I know it", "conclusion"))
    second = (await add(client, trajectory_id)).json()
    assert (second["status"], second["answer"], second["error"]) == ("completed", "done", None)
    assert [message["role"] for message in second["messages"]] == ["user", "user", "assistant"]
    history = world.roles.bodies_of("planner")[-1]["history"]
    assert history[-2:] == [{"role": "conclusion", "content": "none"}, {"role": "user", "content": "And now?"}]


async def test_a_further_turn_has_the_clients_tools(client: Client, world: World) -> None:
    first = await client.run(tools=[THERMOMETER])
    world.roles.planner = in_turn(decide("measure", "caller"), decide("I know it", "conclusion"))
    world.roles.caller = in_turn(call("read_thermometer"))
    paused = (await add(client, first["id"])).json()
    assert (paused["status"], paused["answer"], paused["finished_at"]) == ("requires_action", None, None)
    output = {"call_id": paused["steps"][-1]["action"]["call_id"], "content": "21 °C"}
    ended = await client.http.post(f"/v1/trajectories/{first['id']}/tool_outputs", json={"outputs": [output]})
    assert ended.json()["status"] == "completed"
    assert len(ended.json()["messages"]) == 4


async def test_a_stream_of_a_further_turn_begins_with_it(client: Client) -> None:
    first = await client.run()
    events = await client.stream(
        "POST", f"/v1/trajectories/{first['id']}/messages", json={"content": "And now?", "stream": True}
    )
    shown = rows_of(events)
    assert [event.event for event in shown] == ["trajectory.continued", *TURN, "trajectory.finished"]
    message = {"type": "trajectory.continued", "content": "And now?", "limits": None, "options": None}
    assert shown[0].json() == {"trajectory_id": first["id"], **message}
    assert len(shown[-1].json()["messages"]) == 4


async def test_a_stream_of_everything_ends_with_the_newest_turn_only(client: Client) -> None:
    first = await client.run()
    for _ in range(2):
        await add(client, first["id"])
    shown = [event.event for event in await client.events(first["id"])]
    further = ["trajectory.continued", *TURN]
    assert shown == ["trajectory.created", *TURN, *further, *further, "trajectory.finished"]


async def test_resuming_at_every_cut_across_turns_neither_skips_nor_repeats(client: Client) -> None:
    trajectory_id = (await client.run())["id"]
    before = [(event.id, event.event) for event in await client.events(trajectory_id)]
    end_of_first = int(before[-1][0])
    await add(client, trajectory_id)
    complete = [(event.id, event.event) for event in await client.events(trajectory_id)]
    assert complete[: len(before) - 1] == before[:-1]
    for cut in range(int(complete[-1][0]) + 1):
        resumed = [(event.id, event.event) for event in await client.events(trajectory_id, after=cut)]
        assert resumed == [row for row in complete if int(row[0]) > cut]
    # A client that read the first turn and resumes with its last id receives the second.
    assert (await client.events(trajectory_id, after=end_of_first))[0].event == "trajectory.continued"


async def test_following_a_further_turn_while_it_runs(client: Client, world: World) -> None:
    trajectory_id = (await client.run())["id"]
    seen = int((await client.events(trajectory_id))[-1].id)
    world.roles.planner = in_turn(hang())
    world.roles.requested.clear()
    assert (await add(client, trajectory_id, background=True)).status_code == 202
    await world.roles.requested.wait()
    following = asyncio.create_task(client.events(trajectory_id, after=seen))
    run = client.orchestrator.runs.find(trajectory_id, owner="default")
    assert run is not None
    async with asyncio.timeout(10):
        while not run.broadcast.has_listeners:
            await asyncio.sleep(0)
    await client.http.post(f"/v1/trajectories/{trajectory_id}/cancel")
    shown = rows_of(await following)
    assert [event.event for event in shown] == ["trajectory.continued", "trajectory.cancelled", "trajectory.finished"]
    assert shown[-1].json()["status"] == "cancelled"


async def test_a_message_right_after_the_end_of_a_stream(client: Client) -> None:
    """A run that has published its end may still be active for a moment."""
    body = {"instruction": "What?", "stream": True}
    async with aconnect_sse(client.http, "POST", "/v1/trajectories", json=body) as source:
        async for event in source.aiter_sse():
            if event.event == "trajectory.finished":
                second = await add(client, event.json()["id"])
    assert (second.status_code, second.json()["status"]) == (200, "completed")


async def test_a_message_to_a_running_trajectory(client: Client, world: World) -> None:
    world.roles.planner = in_turn(hang())
    trajectory_id = await client.start()
    refused = await add(client, trajectory_id)
    assert (refused.status_code, refused.json()["type"]) == (409, f"{PROBLEM}trajectory-busy")
    assert "running" in refused.json()["detail"]
    assert len((await client.http.get(f"/v1/trajectories/{trajectory_id}")).json()["messages"]) == 1


async def test_a_message_to_a_waiting_trajectory(client: Client, world: World) -> None:
    world.roles.planner = in_turn(decide("measure", "caller"))
    world.roles.caller = in_turn(call("read_thermometer"))
    result = await client.run(tools=[THERMOMETER])
    refused = await add(client, result["id"])
    assert (refused.status_code, refused.json()["type"]) == (409, f"{PROBLEM}trajectory-busy")
    assert "tool_outputs" in refused.json()["detail"]


async def test_of_many_messages_at_once_one_is_taken(client: Client) -> None:
    trajectory_id = (await client.run())["id"]
    responses = await asyncio.gather(*(add(client, trajectory_id, f"m{number}") for number in range(8)))
    statuses = sorted(response.status_code for response in responses)
    taken = statuses.count(200)
    assert statuses == [200] * taken + [409] * (8 - taken)
    result = (await client.http.get(f"/v1/trajectories/{trajectory_id}")).json()
    assert len(result["messages"]) == 2 + 2 * taken
    assert result["status"] == "completed"


async def test_a_message_to_an_unknown_trajectory(client: Client) -> None:
    refused = await add(client, "traj_unknown")
    assert (refused.status_code, refused.json()["type"]) == (404, f"{PROBLEM}trajectory-not-found")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "content"),
        ({"content": ""}, "content"),
        ({"content": " \n"}, "content"),
        ({"content": "x" * 32_001}, "content"),
        ({"content": 5}, "content"),
        ({"content": "a", "stream": "yes"}, "stream"),
        ({"content": "a", "tools": ["look_up"]}, "tools"),
    ],
)
async def test_messages_that_are_none(client: Client, body: dict[str, Any], field: str) -> None:
    response = await client.http.post("/v1/trajectories/traj_x/messages", json=body)
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, field)


async def test_a_conversation_has_an_end(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    trajectory_id = (await client.run())["id"]
    monkeypatch.setattr("orchestrator.runs.messages.MAX_TURNS", 20)
    refused = await add(client, trajectory_id)
    assert (refused.status_code, refused.json()["type"]) == (409, f"{PROBLEM}trajectory-full")
    assert "start a new trajectory" in refused.json()["detail"]


async def test_a_client_that_leaves_ends_the_further_turn(client: Client, world: World) -> None:
    trajectory_id = (await client.run())["id"]
    world.roles.planner = in_turn(hang())
    world.roles.requested.clear()
    request = asyncio.create_task(add(client, trajectory_id))
    await world.roles.requested.wait()
    request.cancel()
    assert (await client.finished(trajectory_id))["status"] == "cancelled"


async def test_lists_show_the_status_of_the_newest_turn(client: Client, world: World) -> None:
    trajectory_id = (await client.run())["id"]
    world.roles.planner = in_turn(hang())
    await add(client, trajectory_id, background=True)
    for status, expected in (("running", [trajectory_id]), ("completed", [])):
        result = (await client.http.get("/v1/trajectories", params={"status": status})).json()["data"]
        assert [item["id"] for item in result] == expected


async def test_a_further_turn_goes_on_after_a_restart(world: World) -> None:
    async with world.orchestrator() as client:
        trajectory_id = (await client.run())["id"]
        world.roles.planner = in_turn(hang())
        world.roles.requested.clear()
        await add(client, trajectory_id, background=True)
        await world.roles.requested.wait()
    world.roles.planner = in_turn(decide("I know it", "conclusion"))
    async with world.orchestrator() as client:
        result = await client.finished(trajectory_id)
        assert (result["status"], len(result["messages"])) == ("completed", 4)
