"""More tools than fit: retrieval for each step; and the tools of a trajectory stay as they were."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from pysqlite3 import dbapi2 as sqlite3
from support.killed_orchestrator import rows_after_a_kill
from support.orchestrator_world import Client, World
from support.scripted_roles import call, decide, in_turn, step_to_answer, step_to_call

from alpha_umi.roles.turns import Tool as RoleTool
from alpha_umi.roles.turns import estimated_tokens

QUESTION = "What is the price of an item?"
THERMOMETER = {"name": "read_thermometer", "description": "Reads a thermometer"}


def sources(world: World, count: int) -> Path:
    """A file with the shop, whose document has `count` tools in all."""
    source = world.shop.source(world.shop_url)
    answers = {"200": {"description": "fine"}}
    for number in range(count - 3):
        operation = {"operationId": f"archive_{number}", "summary": f"Archive number {number}", "responses": answers}
        source["document"]["paths"][f"/archives/{number}"] = {"get": operation}
    file = world.folder / "many.json"
    file.write_text(json.dumps({"sources": [source]}))
    return file


def look_up_once(world: World) -> None:
    world.roles.planner = in_turn(decide("archive number 77", "caller"), decide("known", "conclusion"))
    world.roles.caller = in_turn(call("look_up", item="lamp"))


@pytest.mark.parametrize("strategy", ["chain", "dfsdt"])
async def test_of_many_tools_a_step_is_offered_some(world: World, strategy: str) -> None:
    look_up_once(world)
    async with world.orchestrator(tool_sources=sources(world, 150)) as client:
        result = await client.run(instruction=QUESTION, strategy=strategy)
        events = await client.events(result["id"])
    assert len(result["tools"]) == 150
    first, second = (step["tools_offered"] for step in result["steps"])
    assert world.roles.tools_of("planner") == [first, second]
    assert world.roles.tools_of("caller") == [first]
    assert len(first) == len(second) == 10
    assert "look_up" in first
    assert {"look_up", "archive_77"} <= set(second), "the tool that was used, and what the newest thought is about"
    decided = [event.json()["tools_offered"] for event in events if event.event == "planner.decided"]
    assert decided == [first, second]


async def test_the_single_model_is_offered_some(world: World) -> None:
    world.roles.backbone = in_turn(step_to_call("look", "look_up", item="lamp"), step_to_answer("known", "40"))
    settings = {"tool_sources": sources(world, 150), "backbone_url": world.roles_url}
    async with world.orchestrator(**settings) as client:
        result = await client.run(instruction=QUESTION, strategy="single")
    assert result["answer"] == "40"
    assert world.roles.tools_of("backbone") == [step["tools_offered"] for step in result["steps"]]


async def test_retrieval_can_be_turned_off_and_on(world: World) -> None:
    async with world.orchestrator(tool_sources=sources(world, 101), retrieve_tools=4) as client:
        names = [tool["name"] for tool in (await client.http.get("/v1/tools")).json()["data"]]
        refused = await client.create(retrieve=False)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "tools")
        off = await client.run(retrieve=False, tools=names[:100])
        on = await client.run(retrieve=True, tools=[*names[:20], THERMOMETER])
        by_itself = await client.run(tools=names[:100])
    assert off["steps"][0]["tools_offered"] is None
    assert by_itself["steps"][0]["tools_offered"] is None
    assert len(on["steps"][0]["tools_offered"]) == 5
    assert on["steps"][0]["tools_offered"][-1] == THERMOMETER["name"], "the client's tools are always offered"


async def test_the_largest_step_has_room_for_read_more(world: World) -> None:
    look_up_once(world)
    world.shop.details["lamp"] = {"text": "x" * 20_000}
    async with world.orchestrator(tool_sources=sources(world, 100)) as client:
        result = await client.run(retrieve=False)
    assert result["status"] == "completed"
    first, second = world.roles.tools_of("planner")
    assert second == [*first, "read_more"]
    assert len(second) == 101


@pytest.mark.parametrize(("context", "some"), [(1_000, True), (8_192, False)])
async def test_a_small_context_turns_retrieval_on(world: World, context: int, some: bool) -> None:
    world.roles.context = context
    async with world.orchestrator(tool_sources=sources(world, 60), retrieve_above=0.2) as client:
        result = await client.run(instruction=QUESTION)
    tools = world.roles.bodies_of("planner")[0]["tools"]
    estimate = estimated_tokens(RoleTool(**tool) for tool in tools)
    assert (result["steps"][0]["tools_offered"] is not None) == some
    assert estimate <= context * 0.2
    assert (len(tools) < 10) == some


async def test_client_tools_leave_room(world: World) -> None:
    tools = [{"name": f"mine_{number}"} for number in range(60)]
    async with world.orchestrator(tool_sources=sources(world, 60)) as client:
        names = [tool["name"] for tool in (await client.http.get("/v1/tools")).json()["data"]]
        refused = await client.create(tools=[*tools, *names])
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "tools")
        result = await client.run(tools=[*tools[:50], *names])
    assert len(result["steps"][0]["tools_offered"]) == 60


async def test_the_caller_is_offered_the_same_after_a_kill(world: World) -> None:
    look_up_once(world)
    settings = world.environment() | {"tool_sources": str(sources(world, 150))}
    rows = await rows_after_a_kill(settings, "role.before_send:2", {"instruction": QUESTION})
    assert rows[-1].json()["status"] == "completed"
    (first, _) = (row.json()["tools_offered"] for row in rows if row.event == "planner.decided")
    assert world.roles.tools_of("caller") == [first]
    assert len(first) == 10


async def test_the_tools_of_a_trajectory_outlive_their_source(world: World) -> None:
    """Neither the prompts nor the meaning change; a call of a tool that is gone is an observation."""
    world.roles.planner = in_turn(
        decide("measure", "caller"), decide("look it up", "caller"), decide("no more", "conclusion")
    )
    world.roles.caller = in_turn(call("read_thermometer"), call("look_up", item="lamp"))
    async with world.orchestrator() as client:
        waiting = await client.run(tools=["look_up", THERMOMETER])
        action = waiting["steps"][0]["action"]
    async with world.orchestrator(tool_sources=None) as client:
        output = {"call_id": action["call_id"], "content": "21"}
        path = f"/v1/trajectories/{waiting['id']}/tool_outputs"
        result = (await client.http.post(path, json={"outputs": [output]})).json()
    assert result["status"] == "completed"
    gone = "the tool 'look_up' is gone: its source no longer offers it"
    assert result["steps"][1]["observation"] == {"content": f"No call was made: {gone}"} | {
        "is_error": True,
        "truncated": False,
    }
    prompts = world.roles.bodies_of("planner")
    assert [body["tools"] for body in prompts] == [prompts[0]["tools"]] * 3
    assert world.shop.journal == []


async def test_equal_tools_are_stored_once(client: Client, world: World) -> None:
    for tools in (["look_up"], ["look_up"], ["look_up", "order"], [THERMOMETER]):
        await client.run(tools=tools)
    with closing(sqlite3.connect(f"file:{world.folder}/log.db?mode=ro", uri=True)) as log:
        assert len(log.execute("SELECT digest FROM tool_sets").fetchall()) == 3


async def test_a_tool_set_that_is_missing_leaves_the_trajectory_as_it_is(world: World) -> None:
    world.roles.planner = in_turn(decide("measure", "caller"))
    world.roles.caller = in_turn(call("read_thermometer"))
    async with world.orchestrator() as client:
        waiting = await client.run(tools=["look_up", THERMOMETER])
    with closing(sqlite3.connect(world.folder / "log.db")) as log:
        log.execute("DELETE FROM tool_sets")
        log.commit()
    async with world.orchestrator() as client:
        output = {"call_id": waiting["steps"][0]["action"]["call_id"], "content": "21"}
        path = f"/v1/trajectories/{waiting['id']}/tool_outputs"
        refused = await client.http.post(path, json={"outputs": [output]})
        assert refused.status_code >= 500
        assert (await client.run())["status"] == "exhausted", "others are not affected"


async def test_a_tool_can_always_be_named_with_its_source(client: Client, world: World) -> None:
    world.roles.planner = in_turn(decide("look it up", "caller"), decide("known", "conclusion"))
    world.roles.caller = in_turn(call("shop__look_up", item="lamp"))
    result = await client.run(tools=["shop__look_up", "order"])
    assert result["tools"] == ["shop__look_up", "order"]
    assert result["steps"][0]["observation"]["content"] == '{"item":"lamp","price":40}'
    twice = await client.create(tools=["look_up", "shop__look_up"])
    assert (twice.status_code, twice.json()["errors"][0]["field"]) == (422, "tools.1")


async def test_a_name_that_two_sources_have(client: Client, world: World) -> None:
    other = world.shop.source(world.shop_url) | {"name": "market", "operations": ["look_up"]}
    assert (await client.http.post("/v1/tool-sources", json=other)).status_code == 201
    names = [tool["name"] for tool in (await client.http.get("/v1/tools")).json()["data"]]
    assert names == ["shop__look_up", "reserve", "order", "market__look_up"]
    refused = (await client.create(tools=["look_up"])).json()
    (problem,) = refused["errors"]
    assert problem["field"] == "tools.0"
    assert problem["message"] == "several sources have a tool 'look_up'"
    assert problem["remedy"] == "did you mean 'shop__look_up' or 'market__look_up'?"
    assert (await client.run())["tools"] == names
