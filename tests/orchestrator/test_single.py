"""The strategy `single`: one model that plans, calls and answers, over real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.killed_orchestrator import rows_after_a_kill
from support.orchestrator_world import Client, World
from support.scripted_roles import (
    Reply,
    hang,
    in_turn,
    problem,
    step_to_answer,
    step_to_call,
    step_to_give_up,
    step_to_no_call,
)
from support.serving_on_loopback import until

USAGE = {"prompt_tokens": 7, "completion_tokens": 3}
QUESTION = {"instruction": "What does the lamp cost?", "strategy": "single"}


@pytest.fixture
async def single(world: World) -> AsyncIterator[Client]:
    """An orchestrator with a single model."""
    async with world.orchestrator(backbone_url=world.roles_url) as running:
        yield running


def script_one_call(world: World) -> None:
    world.roles.backbone = in_turn(
        step_to_call("look up the price", "look_up", item="lamp"), step_to_answer("I know it", "It costs 40.")
    )


async def test_completed(single: Client, world: World) -> None:
    script_one_call(world)
    result = await single.run(**QUESTION)
    assert (result["status"], result["strategy"], result["answer"]) == ("completed", "single", "It costs 40.")
    first, second = result["steps"]
    assert (first["thought"], first["next"], first["action"]["name"]) == ("look up the price", "caller", "look_up")
    assert first["action"]["arguments"] == {"item": "lamp"}
    assert '"price":40' in first["observation"]["content"].replace(" ", "")
    assert (second["thought"], second["next"], second["action"]) == ("I know it", "conclusion", None)
    assert first["latency_ms"]["backbone"] > 0
    assert first["latency_ms"]["planner"] == first["latency_ms"]["caller"] == 0
    assert result["usage"] == {"prompt_tokens": 20, "completion_tokens": 10}
    assert {role for role, _, _ in world.roles.requests} == {"backbone"}
    second_request = world.roles.bodies_of("backbone")[1]
    assert [turn["role"] for turn in second_request["history"]] == ["user", "planner", "caller", "observation"]
    assert not second_request["conclude"]
    metrics = (await single.http.get("/metrics")).text
    for line in (
        'alpha_umi_trajectories_total{status="completed",strategy="single"} 1.0',
        'alpha_umi_decisions_total{next="caller",readable="yes"} 1.0',
        'alpha_umi_tokens_total{kind="prompt",role="backbone"} 20.0',
    ):
        assert line in metrics


async def test_refused_where_there_is_no_single_model(client: Client, world: World) -> None:
    response = await client.create(strategy="single")
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["field"] == "strategy"
    assert "ALPHA_UMI_BACKBONE_URL" in error["remedy"]
    assert (await client.http.get("/v1/trajectories")).json()["data"] == []


async def test_readiness_asks_it_too(single: Client) -> None:
    assert (await single.http.get("/readyz")).json()["roles"]["backbone"] == "ready"


async def test_gave_up(single: Client, world: World) -> None:
    world.roles.backbone = in_turn(step_to_give_up("no tool helps"))
    result = await single.run(**QUESTION)
    assert (result["status"], result["answer"], len(result["steps"])) == ("gave_up", None, 1)


async def test_a_limit_asks_for_nothing_but_an_answer(single: Client, world: World) -> None:
    def reply(body: dict[str, Any]) -> Reply:
        if body["conclude"]:
            return step_to_answer("", "As far as I know, 40.")
        return step_to_call("look again", "look_up", item="x" * len(body["history"]))

    world.roles.backbone = reply
    result = await single.run(**QUESTION, max_steps=2)
    assert (result["status"], result["error"]["code"]) == ("exhausted", "max_steps")
    assert (result["answer"], len(result["steps"])) == ("As far as I know, 40.", 2)
    assert [body["conclude"] for body in world.roles.bodies_of("backbone")] == [False, False, True]


async def test_the_loop_guard(single: Client, world: World) -> None:
    world.roles.backbone = lambda body: (
        step_to_answer("", "40?") if body["conclude"] else step_to_call("again", "look_up", item="lamp")
    )
    result = await single.run(**QUESTION)
    assert (result["status"], result["error"]["code"], result["answer"]) == ("exhausted", "repeated_call", "40?")


async def test_the_deadline(world: World) -> None:
    world.roles.backbone = lambda body: step_to_answer("", "too late") if body["conclude"] else hang()
    async with world.orchestrator(backbone_url=world.roles_url, trajectory_timeout_s=0.3) as client:
        result = await client.run(**QUESTION)
    assert (result["status"], result["error"]["code"], result["answer"]) == ("exhausted", "deadline", "too late")
    assert world.roles.left == ["backbone"]


@pytest.mark.parametrize(
    ("policy", "status", "answer"), [("conclusion", "completed", "hm, well"), ("give up", "gave_up", None)]
)
async def test_an_unreadable_step_is_decided_by_policy(world: World, policy: str, status: str, answer: Any) -> None:
    world.roles.backbone = in_turn(problem("output-unreadable", "neither", text="hm, well", usage=USAGE))
    async with world.orchestrator(backbone_url=world.roles_url, on_parse_failure=policy) as client:
        result = await client.run(**QUESTION)
        events = await client.events(result["id"])
    assert (result["status"], result["answer"], result["usage"]) == (status, answer, USAGE)
    message = next(event.json() for event in events if event.event == "backbone.stepped")
    assert (message["unreadable"], message["reason"], message["next"]) == (True, "neither", policy)


async def test_a_call_that_cannot_be_made_is_an_observation(single: Client, world: World) -> None:
    world.roles.backbone = in_turn(
        step_to_no_call("look it up", "Action: lok_up", "there is no tool 'lok_up'"),
        step_to_answer("never mind", "no idea"),
    )
    result = await single.run(**QUESTION)
    assert result["status"] == "completed"
    assert result["steps"][0]["observation"]["content"] == "No call was made: there is no tool 'lok_up'"
    assert world.shop.journal == []


async def test_a_call_of_a_tool_that_was_not_offered_is_an_observation(single: Client, world: World) -> None:
    world.roles.backbone = in_turn(
        step_to_call("order it", "order", item="lamp"), step_to_answer("never mind", "no idea")
    )
    result = await single.run(**QUESTION, tools=["look_up"])
    assert "there is no tool 'order'; offered are look_up" in result["steps"][0]["observation"]["content"]
    assert world.shop.journal == []


async def test_a_step_without_its_call_is_no_answer(single: Client, world: World) -> None:
    complete = step_to_answer("", "x").body.replace(b'"conclusion"', b'"caller"')
    world.roles.backbone = in_turn(Reply(complete))
    result = await single.run(**QUESTION)
    assert (result["status"], result["error"]["code"]) == ("failed", "backbone_failed")
    assert "an `action` or a `reason`" in result["error"]["detail"]


async def test_the_stream_tells_each_step_in_one_event(single: Client, world: World) -> None:
    script_one_call(world)
    events = await single.stream("POST", "/v1/trajectories", json=QUESTION | {"stream": True})
    rows = [event for event in events if not event.event.endswith(".delta")]
    assert [event.event for event in rows] == [
        "trajectory.created", "backbone.stepped", "tool.observed", "backbone.stepped", "trajectory.finished",
    ]  # fmt: skip
    _, called, observed, answered, finished = (event.json() for event in rows)
    assert (called["step"], called["thought"], called["next"]) == (0, "look up the price", "caller")
    assert (called["name"], called["arguments"], called["answer"]) == ("look_up", {"item": "lamp"}, None)
    assert observed["call_id"] == called["call_id"]
    assert (answered["step"], answered["answer"], answered["call_id"]) == (1, "It costs 40.", None)
    assert finished["status"] == "completed"
    live = [event.json() for event in events if event.event == "backbone.delta"]
    assert "".join(piece["text"] for piece in live if piece["step"] == 1) == "I know it It costs 40. "
    last = int(rows[-1].id)
    for cut in range(last + 1):
        resumed = [event.id for event in await single.events(finished["id"], after=cut)]
        assert resumed == [event.id for event in rows if int(event.id) > cut]


async def test_a_tool_of_the_client(single: Client, world: World) -> None:
    world.roles.backbone = in_turn(step_to_call("ask", "doorbell", times=2), step_to_answer("I know", "Twice."))
    own = {"name": "doorbell", "description": "Ring", "parameters": {"type": "object"}}
    waiting = await single.run(**QUESTION, tools=[own])
    assert waiting["status"] == "requires_action"
    output = {"call_id": waiting["steps"][0]["action"]["call_id"], "content": "rang"}
    response = await single.http.post(f"/v1/trajectories/{waiting['id']}/tool_outputs", json={"outputs": [output]})
    assert (response.json()["status"], response.json()["answer"]) == ("completed", "Twice.")


async def test_a_further_turn(single: Client, world: World) -> None:
    result = await single.run(**QUESTION)
    world.roles.backbone = in_turn(step_to_answer("as before", "Still 40."))
    response = await single.http.post(f"/v1/trajectories/{result['id']}/messages", json={"content": "And now?"})
    assert (response.json()["status"], response.json()["answer"]) == ("completed", "Still 40.")
    history = world.roles.bodies_of("backbone")[-1]["history"]
    assert [turn["role"] for turn in history] == ["user", "planner", "conclusion", "user"]


async def test_cancelled(single: Client, world: World) -> None:
    world.roles.backbone = in_turn(hang())
    trajectory_id = await single.start(**QUESTION)
    await until(lambda: bool(world.roles.requests))
    result = (await single.http.post(f"/v1/trajectories/{trajectory_id}/cancel")).json()
    assert result["status"] == "cancelled"
    await until(lambda: world.roles.left == ["backbone"])


async def test_an_orchestrator_that_lost_the_single_model_says_so(world: World) -> None:
    world.roles.backbone = in_turn(hang())
    async with world.orchestrator(backbone_url=world.roles_url) as client:
        trajectory_id = await client.start(**QUESTION)
        await until(lambda: bool(world.roles.requests))
    async with world.orchestrator() as client:
        result = await client.finished(trajectory_id)
    assert (result["status"], result["error"]["code"]) == ("failed", "backbone_failed")
    assert "set ALPHA_UMI_BACKBONE_URL" in result["error"]["detail"]


@pytest.mark.parametrize(
    "failpoint",
    ["intent.after_commit:1", "role.after_send:1", "outcome.after_commit:1", "tool.after_send:1", "role.before_send:2"],
)
async def test_kill_at(world: World, failpoint: str) -> None:
    world.roles.backbone = lambda body: (
        step_to_answer("I know it", "40")
        if any(turn["role"] == "observation" for turn in body["history"])
        else step_to_call("look", "look_up", item="lamp")
    )
    rows = await rows_after_a_kill(world.environment() | {"backbone_url": world.roles_url}, failpoint, QUESTION)
    assert [row.event for row in rows] == [
        "trajectory.created", "backbone.stepped", "tool.observed", "backbone.stepped", "trajectory.finished",
    ]  # fmt: skip
    assert (rows[-1].json()["status"], rows[-1].json()["answer"]) == ("completed", "40")
