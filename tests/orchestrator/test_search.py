"""The strategy `dfsdt` over REST: all branches are returned, and everything that a chain supports works."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.exposition import scrape
from support.killed_orchestrator import rows_after_a_kill
from support.orchestrator_world import Client, World
from support.scripted_roles import Reply, call, decide, hang, in_turn, problem, say
from support.serving_on_loopback import until

QUESTION = {"instruction": "Reserve a lamp!", "strategy": "dfsdt"}
TRIED = "This is not the first time you try this task"
# One branch orders a chair and gives up, the next looks the price up and concludes.
EVENTS = [
    "trajectory.created", "planner.decided", "caller.called", "tool.observed", "planner.decided", "search.backtracked",
    "planner.decided", "caller.called", "tool.observed", "planner.decided", "summarizer.answered",
    "trajectory.finished",
]  # fmt: skip


def tried_before(body: dict[str, Any]) -> bool:
    return str(body["history"][-1]["content"]).startswith(TRIED)


def observations(body: dict[str, Any]) -> list[str]:
    return [turn["content"] for turn in body["history"] if turn["role"] == "observation"]


def planner(body: dict[str, Any]) -> Reply:
    """Stateless: the decision depends only on the prompt."""
    if tried_before(body):
        return decide("look up instead", "caller")
    if not observations(body):
        return decide("order it", "caller")
    return decide("wrong way", "give up") if "chair" in observations(body)[-1] else decide("I know it", "conclusion")


def caller(body: dict[str, Any]) -> Reply:
    orders = "order it" in body["history"][-1]["content"]
    return call("order", item="chair") if orders else call("look_up", item="lamp")


@pytest.fixture
def searching(world: World) -> World:
    """Roles whose first branch is a dead end."""
    world.roles.planner, world.roles.caller, world.roles.summarizer = planner, caller, lambda _: say("It costs 40.")
    return world


async def test_every_branch_is_in_the_answer_and_counts(searching: World, client: Client) -> None:
    result = await client.run(**QUESTION)
    assert (result["status"], result["strategy"], result["answer"]) == ("completed", "dfsdt", "It costs 40.")
    assert [(step["next"], step["parent"], step["abandoned"]) for step in result["steps"]] == [
        ("caller", None, True), ("give up", 0, True), ("caller", None, False), ("conclusion", 2, False),
    ]  # fmt: skip
    # Four decisions, two calls and an answer.
    assert result["usage"] == {"prompt_tokens": 70, "completion_tokens": 35}
    # Writes of the abandoned branch were executed, and their observations stay.
    assert "chair" in result["steps"][0]["observation"]["content"]
    assert len(searching.shop.executed("order")) == 1
    metrics = await scrape(client.http)
    assert metrics.value("alpha_umi_search_dead_ends_total", reason="gave_up") == 1
    assert metrics.value("alpha_umi_trajectory_steps_sum", strategy="dfsdt") == 4


async def test_each_role_is_shown_its_own_branch_only(searching: World, client: Client) -> None:
    await client.run(**QUESTION)
    first, second, third, fourth = searching.roles.bodies_of("planner")
    assert [tried_before(body) for body in (first, second, third, fourth)] == [False, False, True, False]
    assert [turn["role"] for turn in third["history"]] == ["user", "user"]
    assert '"name": "order"' in third["history"][-1]["content"]
    assert [turn["role"] for turn in fourth["history"]] == ["user", "planner", "caller", "observation"]
    for body in (searching.roles.bodies_of("caller")[1], searching.roles.bodies_of("summarizer")[0]):
        assert not any(turn["content"].startswith(TRIED) or "order it" in turn["content"] for turn in body["history"])


async def test_the_stream_tells_every_branch_and_resumes_anywhere(searching: World, client: Client) -> None:
    events = await client.stream("POST", "/v1/trajectories", json=QUESTION | {"stream": True, "max_tokens": 9_000})
    rows = [event for event in events if not event.event.endswith(".delta")]
    assert [event.event for event in rows] == EVENTS
    created, back, finished = rows[0].json(), rows[5].json(), rows[-1].json()
    assert {name: created[name] for name in ("max_steps", "max_tokens", "max_repeats", "max_depth", "max_width")} == {
        "max_steps": 30, "max_tokens": 9_000, "max_repeats": 3, "max_depth": 4, "max_width": 2,
    }  # fmt: skip
    assert {name: back[name] for name in ("step", "to", "reason", "abandoned")} == {
        "step": 1, "to": None, "reason": "gave_up", "abandoned": [0, 1],
    }  # fmt: skip
    assert [row.json()["parent"] for row in rows if row.event == "planner.decided"] == [None, 0, None, 2]
    for cut in range(int(rows[-1].id) + 1):
        resumed = [event.id for event in await client.events(finished["id"], after=cut)]
        assert resumed == [event.id for event in rows if int(event.id) > cut]


async def test_a_search_without_an_answer_has_given_up(world: World, client: Client) -> None:
    world.roles.planner = in_turn(decide("no tool helps", "give up"))
    result = await client.run(**QUESTION)
    assert (result["status"], result["answer"], result["error"]["code"]) == ("gave_up", None, "gave_up")
    assert world.roles.bodies_of("summarizer") == []


async def test_a_tree_that_is_too_shallow_ends_with_what_is_known(world: World, client: Client) -> None:
    world.roles.planner = in_turn(decide("one more", "caller"))
    world.roles.caller = in_turn(call("look_up", item="lamp"))
    world.roles.summarizer = in_turn(say("It costs 40, perhaps."))
    result = await client.run(**QUESTION, max_depth=1)
    assert (result["status"], result["error"]["code"]) == ("exhausted", "search_exhausted")
    assert (result["answer"], len(result["steps"])) == ("It costs 40, perhaps.", 2)


@pytest.mark.parametrize(("limit", "code"), [({"max_steps": 5}, "max_steps"), ({"max_tokens": 100}, "max_tokens")])
async def test_a_search_that_never_ends_is_ended_by_its_budget(
    world: World, client: Client, limit: dict[str, int], code: str
) -> None:
    world.roles.planner = in_turn(decide("one more", "caller"))
    world.roles.caller = lambda body: call("look_up", item=f"lamp {len(world.roles.requests)}")
    world.roles.summarizer = in_turn(say("as far as I know, 40"))
    result = await client.run(**QUESTION, max_depth=64, **limit)
    assert (result["status"], result["error"]["code"]) == ("exhausted", code)
    assert result["answer"] == "as far as I know, 40"
    assert len(world.roles.bodies_of("summarizer")) == 1
    # Two role calls of 15 tokens a step: the fourth one passes 100.
    assert len(result["steps"]) == (5 if code == "max_steps" else 4)


async def test_the_budget_of_tokens_is_for_chains_too(world: World, client: Client) -> None:
    world.roles.planner = in_turn(decide("one more", "caller"))
    world.roles.caller = lambda body: call("look_up", item=f"lamp {len(world.roles.requests)}")
    result = await client.run(instruction="What does it cost?", max_tokens=40)
    assert (result["status"], result["error"]["code"], len(result["steps"])) == ("exhausted", "max_tokens", 2)
    assert [(step["parent"], step["abandoned"]) for step in result["steps"]] == [(None, False), (0, False)]


@pytest.mark.parametrize("policy", ["conclusion", "give up"])
async def test_an_unreadable_decision_is_decided_by_policy(world: World, policy: str) -> None:
    world.roles.planner = in_turn(problem("output-unreadable", "no decision", text="hm"))
    async with world.orchestrator(on_parse_failure=policy) as client:
        result = await client.run(**QUESTION)
    assert result["status"] == ("completed" if policy == "conclusion" else "gave_up")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"strategy": "bfs"}, "strategy"),
        ({"strategy": "dfsdt", "max_steps": 65}, "max_steps"),
        ({"strategy": "dfsdt", "max_steps": 0}, "max_steps"),
        ({"strategy": "dfsdt", "max_tokens": 0}, "max_tokens"),
        ({"strategy": "dfsdt", "max_tokens": 10_000_001}, "max_tokens"),
        ({"strategy": "dfsdt", "max_tokens": "many"}, "max_tokens"),
        ({"strategy": "dfsdt", "max_depth": 0}, "max_depth"),
        ({"strategy": "dfsdt", "max_width": 3}, "max_width"),
        ({"strategy": "chain", "max_depth": 4}, "max_depth"),
    ],
)
async def test_what_cannot_be_searched_is_refused_by_name(client: Client, wrong: dict[str, Any], field: str) -> None:
    response = await client.create(**wrong)
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["field"] == field
    assert (await client.http.get("/v1/trajectories")).json()["data"] == []


async def test_a_tool_of_the_client_on_two_branches(world: World, client: Client) -> None:
    world.roles.planner = lambda body: (
        decide("again", "caller")
        if tried_before(body) or not observations(body)
        else decide("no", "give up" if "silence" in observations(body)[-1] else "conclusion")
    )
    world.roles.caller = lambda body: call("doorbell", times=len(world.roles.requests))
    own = {"name": "doorbell", "description": "Ring", "parameters": {"type": "object"}}
    waiting = await client.run(**QUESTION, tools=[own])
    for content in ("silence", "steps"):
        assert waiting["status"] == "requires_action"
        output = {"call_id": waiting["steps"][-1]["action"]["call_id"], "content": content}
        path = f"/v1/trajectories/{waiting['id']}/tool_outputs"
        waiting = (await client.http.post(path, json={"outputs": [output]})).json()
    assert waiting["status"] == "completed"
    assert [step["abandoned"] for step in waiting["steps"]] == [True, True, False, False]


async def test_a_further_turn_goes_on_from_the_branch_that_won(searching: World, client: Client) -> None:
    result = await client.run(**QUESTION)
    searching.roles.planner = in_turn(decide("as before", "conclusion"))
    response = await client.http.post(f"/v1/trajectories/{result['id']}/messages", json={"content": "And now?"})
    assert (response.json()["status"], len(response.json()["steps"])) == ("completed", 5)
    history = searching.roles.bodies_of("planner")[-1]["history"]
    assert [turn["role"] for turn in history] == [
        "user", "planner", "caller", "observation", "planner", "conclusion", "user",
    ]  # fmt: skip


async def test_cancelled_on_its_second_branch(searching: World, client: Client) -> None:
    searching.roles.planner = lambda body: hang() if tried_before(body) else planner(body)
    trajectory_id = await client.start(**QUESTION)
    await until(lambda: len(searching.roles.bodies_of("planner")) == 3)
    result = (await client.http.post(f"/v1/trajectories/{trajectory_id}/cancel")).json()
    assert (result["status"], [step["abandoned"] for step in result["steps"]]) == ("cancelled", [True, True])


async def test_the_deadline_on_its_second_branch(searching: World) -> None:
    searching.roles.planner = lambda body: hang() if tried_before(body) else planner(body)
    async with searching.orchestrator(trajectory_timeout_s=1) as client:
        result = await client.run(**QUESTION)
    assert (result["status"], result["error"]["code"], result["answer"]) == ("exhausted", "deadline", "It costs 40.")


@pytest.mark.parametrize("how", ["cancel", "deadline"])
async def test_stopped_in_a_call_that_is_a_dead_end(searching: World, how: str) -> None:
    """The call's outcome is UNKNOWN, whether or not the search would have backtracked."""
    searching.roles.planner = in_turn(decide("order it", "caller"))
    searching.shop.gates["chair"] = asyncio.Event()
    async with searching.orchestrator(trajectory_timeout_s=1 if how == "deadline" else 60) as client:
        trajectory_id = await client.start(**QUESTION, max_depth=1)
        await until(lambda: bool(searching.shop.journal))
        if how == "cancel":
            await client.http.post(f"/v1/trajectories/{trajectory_id}/cancel")
        result = await client.finished(trajectory_id)
    assert result["status"] == ("cancelled" if how == "cancel" else "exhausted")
    assert result["steps"][0]["observation"]["content"].startswith("UNKNOWN")


@pytest.mark.parametrize(
    "failpoint",
    [
        "outcome.before_commit:4", "outcome.after_commit:4", "role.after_send:4", "role.before_send:5",
        "outcome.after_commit:6", "tool.after_send:2",
    ],
)  # fmt: skip
async def test_kill_at(searching: World, failpoint: str) -> None:
    """A crash around the dead end or on the next branch does not change the final stream."""
    rows = await rows_after_a_kill(searching.environment(), failpoint, QUESTION)
    assert [row.event for row in rows] == EVENTS
    end = rows[-1].json()
    assert [step["abandoned"] for step in end["steps"]] == [True, True, False, False]
    assert len(searching.shop.executed("order")) == 1
