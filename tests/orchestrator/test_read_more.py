"""Trajectories whose tool answers with more than the roles can read."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from support.orchestrator_process import orchestrator_process
from support.orchestrator_world import Client, World
from support.scripted_roles import Reply, call, decide, in_turn, say, step_to_answer, step_to_call

ENTRIES = [{"name": f"entry {number}", "price": number / 2} for number in range(2_000)]


def script(world: World, *calls: Reply) -> None:
    """The calls in order, each after a decision, then the answer."""
    world.shop.details["catalogue"] = {"entries": ENTRIES}
    world.roles.planner = in_turn(*[decide("next", "caller")] * len(calls), decide("done", "conclusion"))
    world.roles.caller = in_turn(*calls)
    world.roles.summarizer = in_turn(say("read"))


def observations(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [step["observation"] for step in result["steps"]]


LOOK_UP = call("look_up", item="catalogue")


async def test_a_shortened_result_is_read_on(client: Client, world: World) -> None:
    script(
        world,
        call("look_up", item="tea"),
        LOOK_UP,
        call("read_more", path="entries", start=1_500, count=1),
        call("read_more", path="entry"),
    )
    result = await client.run()
    small, large, part, wrong, _ = observations(result)
    assert (small["truncated"], large["truncated"], part["truncated"]) == (False, True, False)
    head, _, shown = large["content"].partition("\n")
    assert head.startswith("[Result 2: shortened from ")
    assert len(large["content"].encode()) <= 16 * 1024
    assert json.loads(shown)["entries"][0] == ENTRIES[0]
    assert part["content"] == '[Result 2 at entries: items 1500 to 1500 of 2000]\n[{"name":"entry 1500","price":750.0}]'
    assert wrong == {
        "content": "the object at the top has no 'entry'; it has item, price, entries",
        "is_error": True,
        "truncated": False,
    }
    assert result["status"] == "completed"
    assert len(world.shop.executed("look_up")) == 2
    # Planner and caller have the same tools in a step; `read_more` is the last one, from the third step on.
    for role in ("planner", "caller"):
        assert [names[-1] == "read_more" for names in world.roles.tools_of(role)][:4] == [False, False, True, True]
    assert result["tools"] == ["look_up", "reserve", "order"]


@pytest.mark.parametrize(("context", "max_bytes"), [(None, 16_384), (4_000, 3_000), (100, 1_024)])
async def test_the_length_follows_the_context_of_the_roles(
    client: Client, world: World, context: int | None, max_bytes: int
) -> None:
    script(world, LOOK_UP, call("read_more", path="entries", start=5))
    world.roles.context = context
    for observation in observations(await client.run())[:2]:
        assert max_bytes * 3 // 4 < len(observation["content"].encode()) <= max_bytes


async def test_the_log_alone_has_the_result_before_it_was_shortened(client: Client, world: World) -> None:
    script(world, LOOK_UP)
    result = await client.run()
    events = await client.events(result["id"])
    assert not any("entry 1999" in event.data for event in events)
    (row,) = [row for row in await client.orchestrator.store.events(result["id"]) if row.type == "tool.observed"]
    assert json.loads(row.payload["body"])["entries"] == ENTRIES


async def test_the_log_stores_no_more_than_the_setting(world: World) -> None:
    script(world, LOOK_UP)
    async with world.orchestrator(max_answer_bytes=20_000) as client:
        result = await client.run()
        (row,) = [row for row in await client.orchestrator.store.events(result["id"]) if row.type == "tool.observed"]
    assert 16_384 < len(row.payload["body"]) <= 20_000
    assert json.loads(row.payload["body"])["entries"][-1].startswith("[... items ")


async def test_a_further_turn_can_read_on(client: Client, world: World) -> None:
    script(world, LOOK_UP)
    result = await client.run()
    script(world, call("read_more", path="entries.7.name", result=1))
    answer = await client.http.post(f"/v1/trajectories/{result['id']}/messages", json={"content": "And the eighth?"})
    assert answer.json()["steps"][-2]["observation"]["content"].endswith("\nentry 7")


async def test_a_tool_of_the_user_has_precedence(client: Client, world: World) -> None:
    script(world, LOOK_UP, call("read_more", page=2))
    own = {"name": "read_more", "parameters": {"type": "object", "properties": {"page": {"type": "integer"}}}}
    result = await client.run(tools=["look_up", own])
    assert result["status"] == "requires_action"
    assert world.roles.tools_of("caller")[-1] == ["look_up", "read_more"]
    assert "left out.]" in observations(result)[0]["content"], "nothing is said about the built-in tool"


async def test_the_single_model_reads_on(world: World) -> None:
    script(world)
    world.roles.backbone = in_turn(
        step_to_call("look", "look_up", item="catalogue"),
        step_to_call("more", "read_more", path="entries.3.name"),
        step_to_answer("done", "read"),
    )
    async with world.orchestrator(backbone_url=world.roles_url) as client:
        result = await client.run(strategy="single")
    assert observations(result)[1]["content"].endswith("\nentry 3")


@pytest.mark.parametrize("failpoint", ["tool.before_send:2", "tool.after_send:2", "outcome.after_commit:3"])
async def test_after_a_crash_the_result_is_read_from_the_log(world: World, failpoint: str) -> None:
    script(world)

    def done(body: dict[str, Any]) -> int:
        return sum(turn["role"] == "observation" for turn in body["history"])

    world.roles.planner = lambda body: decide("next", "conclusion" if done(body) == 2 else "caller")
    world.roles.caller = lambda body: call("read_more", path="entries.9.name") if done(body) else LOOK_UP
    settings = world.environment()
    with orchestrator_process(settings | {"failpoint": failpoint}) as first:
        async with httpx.AsyncClient(base_url=first.address) as http:
            created = await http.post("/v1/trajectories", json={"instruction": "Read!", "background": True})
        await asyncio.to_thread(first.process.join, 20)
        assert first.process.exitcode == -9
    with orchestrator_process(settings) as second:
        async with httpx.AsyncClient(base_url=second.address, timeout=20) as http:
            await http.get(f"/v1/trajectories/{created.json()['id']}/events")
            result = (await http.get(f"/v1/trajectories/{created.json()['id']}")).json()
    assert observations(result)[1]["content"].endswith("\nentry 9")
    assert len(world.shop.executed("look_up")) == 1
