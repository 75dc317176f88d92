"""One trajectory for every way through the machine, and its stream with ids, times and addresses normalised."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from httpx_sse import ServerSentEvent

from support.orchestrator_world import Client, World
from support.scripted_courses import Courses
from support.scripted_roles import (
    call,
    decide,
    hang,
    in_turn,
    problem,
    say,
    step_to_answer,
    step_to_call,
    step_to_give_up,
    step_to_no_call,
)

PARAMETERS = {"type": "object", "properties": {"room": {"type": "string"}}, "required": ["room"]}
THERMOMETER = {"name": "read_thermometer", "description": "Temperature of a room", "parameters": PARAMETERS}
USAGE = {"prompt_tokens": 7, "completion_tokens": 3}
UNREADABLE = problem("output-unreadable", "neither call nor conclusion", text=" hm, well \n", usage=USAGE)
SINGLE = {"strategy": "single"}
SEARCH = {"strategy": "dfsdt"}

# Prepares the scripts, and drives one trajectory to its end; the id.
Course = Callable[[Client, World], Awaitable[str]]
# Settings of the orchestrator for a course, where they are not the usual ones.
SETTINGS: dict[str, dict[str, Any]] = {
    "chain unreadable to caller": {"on_parse_failure": "caller"},
    "single unreadable to caller": {"on_parse_failure": "caller", "max_steps": 2},
    "single unreadable to give up": {"on_parse_failure": "give up"},
    "chain deadline": {"trajectory_timeout_s": 1},
    "single deadline": {"trajectory_timeout_s": 1},
    "client tool expired": {"client_tool_timeout_s": 1},
}


def scripted(name: str, **body: Any) -> Course:
    """A course of `support.scripted_courses`."""

    async def drive(client: Client, world: World) -> str:
        instruction = Courses(world.roles, world.shop).instruction(name)
        return str((await client.run(instruction=instruction, **body))["id"])

    return drive


def roles(*, body: dict[str, Any] | None = None, **scripts: Any) -> Course:
    """Roles that reply in turn."""

    async def drive(client: Client, world: World) -> str:
        for role, replies in scripts.items():
            setattr(world.roles, role, in_turn(*replies))
        return str((await client.run(**(body or {})))["id"])

    return drive


async def cancelled(client: Client, world: World) -> str:
    """The client cancels while the planner writes."""
    world.roles.planner = in_turn(hang())
    world.roles.requested.clear()
    trajectory_id = await client.start()
    await asyncio.wait_for(world.roles.requested.wait(), 10)
    response = await client.http.post(f"/v1/trajectories/{trajectory_id}/cancel")
    assert response.status_code == 200, response.text
    return trajectory_id


async def cancelled_in_a_call(client: Client, world: World) -> str:
    """The client cancels while a tool runs."""
    world.roles.planner = in_turn(decide("order it", "caller"))
    world.roles.caller = in_turn(call("order", item="lamp"))
    world.shop.hang = True
    world.shop.entered.clear()
    trajectory_id = await client.start()
    await asyncio.wait_for(world.shop.entered.wait(), 10)
    response = await client.http.post(f"/v1/trajectories/{trajectory_id}/cancel")
    assert response.status_code == 200, response.text
    world.shop.hang = False
    return trajectory_id


async def client_tool(client: Client, world: World) -> str:
    """The client executes two calls."""
    world.roles.planner = in_turn(decide("measure", "caller"), decide("again", "caller"), decide("done", "conclusion"))
    world.roles.caller = in_turn(call("read_thermometer", room="hall"))
    world.roles.summarizer = in_turn(say("It is warm."))
    trajectory = await client.run(tools=[THERMOMETER, "look_up"])
    for content in ("21 °C", "22 °C"):
        output = {"call_id": trajectory["steps"][-1]["action"]["call_id"], "content": content}
        path = f"/v1/trajectories/{trajectory['id']}/tool_outputs"
        trajectory = (await client.http.post(path, json={"outputs": [output]})).json()
    return str(trajectory["id"])


async def client_tool_expired(client: Client, world: World) -> str:
    """The client executes nothing in time."""
    world.roles.planner = in_turn(decide("measure", "caller"), decide("no use", "give up"))
    world.roles.caller = in_turn(call("read_thermometer", room="hall"))
    trajectory_id = await client.start(tools=[THERMOMETER])
    await client.events(trajectory_id)
    return trajectory_id


def continued(first: Course) -> Course:
    """A further turn after another course."""

    async def drive(client: Client, world: World) -> str:
        trajectory_id = await first(client, world)
        world.roles.planner = in_turn(decide("I know it", "conclusion"))
        world.roles.summarizer = in_turn(say("It is still 40."))
        response = await client.http.post(f"/v1/trajectories/{trajectory_id}/messages", json={"content": "And now?"})
        assert response.status_code == 200, response.text
        return trajectory_id

    return drive


def planner_that_searches(body: dict[str, Any]) -> Any:
    """Orders a chair, gives up, looks the price up where it was before, and concludes."""
    newest = [turn["content"] for turn in body["history"] if turn["role"] == "observation"]
    if body["history"][-1]["content"].startswith("This is not the first time"):
        return decide("look up instead", "caller")
    if not newest:
        return decide("order it", "caller")
    return decide("wrong way", "give up") if "chair" in newest[-1] else decide("I know it", "conclusion")


async def search(client: Client, world: World) -> str:
    """A search that goes back once."""
    world.roles.planner = planner_that_searches
    world.roles.caller = lambda body: (
        call("order", item="chair") if "order it" in body["history"][-1]["content"] else call("look_up", item="lamp")
    )
    world.roles.summarizer = in_turn(say("It costs 40."))
    return str((await client.run(**SEARCH))["id"])


LOOK_UP = call("look_up", item="lamp")
AGAIN = decide("One more call.", "caller")
DONE = decide("All is known.", "conclusion")
INVALID = problem("call-invalid", "no item", text="Action: look_up", usage=USAGE)

COURSES: dict[str, Course] = {
    "chain answers": scripted("answers"),
    "chain looks up": scripted("looks up"),
    "chain does everything": scripted("does everything"),
    "chain gives up": scripted("gives up"),
    "chain unreadable": roles(planner=[UNREADABLE], summarizer=[say("done")]),
    "chain unreadable to caller": roles(planner=[UNREADABLE, DONE], caller=[LOOK_UP], summarizer=[say("done")]),
    "chain call invalid": roles(planner=[AGAIN, AGAIN, DONE], caller=[INVALID, LOOK_UP], summarizer=[say("done")]),
    "chain repeats itself": scripted("repeats itself"),
    "chain max steps": roles(
        body={"max_steps": 1}, planner=[AGAIN], caller=[LOOK_UP], summarizer=[say("as far as I know")]
    ),
    "chain max tokens": roles(
        body={"max_tokens": 20}, planner=[AGAIN], caller=[LOOK_UP], summarizer=[say("as far as I know")]
    ),
    "chain exhausted, summarizer failed": roles(
        body={"max_steps": 1}, planner=[AGAIN], caller=[LOOK_UP], summarizer=[problem("context-exceeded", "too long")]
    ),
    "chain deadline": roles(planner=[hang()], summarizer=[say("as far as I know")]),
    "chain planner failed": roles(planner=[problem("context-exceeded", "too long")]),
    "chain caller failed": roles(planner=[AGAIN], caller=[problem("context-exceeded", "too long")]),
    "chain summarizer failed": roles(planner=[DONE], summarizer=[problem("context-exceeded", "too long")]),
    "chain cancelled": cancelled,
    "chain cancelled in a call": cancelled_in_a_call,
    "chain continued": continued(scripted("looks up")),
    "chain continued after failure": continued(roles(planner=[problem("context-exceeded", "too long")])),
    "client tool": client_tool,
    "client tool expired": client_tool_expired,
    "single answers": roles(
        body=SINGLE, backbone=[step_to_call("look", "look_up", item="lamp"), step_to_answer("I know it", "40")]
    ),
    "single no call": roles(
        body=SINGLE,
        backbone=[step_to_no_call("look", "Action: none", "there is no such tool"), step_to_answer("well", "unknown")],
    ),
    "single tool not offered": roles(
        body=SINGLE | {"tools": ["look_up"]},
        backbone=[step_to_call("order", "order", item="lamp"), step_to_answer("well", "unknown")],
    ),
    "single gives up": roles(body=SINGLE, backbone=[step_to_give_up("no use")]),
    "single unreadable": roles(body=SINGLE, backbone=[UNREADABLE]),
    "single unreadable to caller": roles(body=SINGLE, backbone=[UNREADABLE, UNREADABLE, step_to_answer("", "40")]),
    "single unreadable to give up": roles(body=SINGLE, backbone=[UNREADABLE]),
    "single exhausted": roles(
        body=SINGLE | {"max_steps": 1},
        backbone=[step_to_call("look", "look_up", item="lamp"), step_to_answer("", "as far as I know")],
    ),
    "single exhausted, unreadable": roles(
        body=SINGLE | {"max_steps": 1}, backbone=[step_to_call("look", "look_up", item="lamp"), UNREADABLE]
    ),
    "single deadline": roles(body=SINGLE, backbone=[hang(), step_to_answer("", "as far as I know")]),
    "single failed": roles(body=SINGLE, backbone=[problem("context-exceeded", "too long")]),
    "search": search,
    "search exhausted": roles(
        body=SEARCH | {"max_steps": 5}, planner=[AGAIN], caller=[LOOK_UP], summarizer=[say("as far as I know")]
    ),
    "search gives up": roles(body=SEARCH, planner=[decide("no use", "give up")]),
    "search max depth": roles(
        body=SEARCH | {"max_depth": 1, "max_repeats": 9},
        planner=[AGAIN, DONE], caller=[LOOK_UP], summarizer=[say("It costs 40.")],
    ),
}  # fmt: skip


async def stream_of(name: str, world: World) -> tuple[str, list[ServerSentEvent]]:
    """Drive a course; the trajectory's id and its stream from the log."""
    async with world.orchestrator(backbone_url=world.roles_url, **SETTINGS.get(name, {})) as client:
        trajectory_id = await COURSES[name](client, world)
        return trajectory_id, await client.events(trajectory_id)


def normalised(event: ServerSentEvent, trajectory_id: str) -> dict[str, Any]:
    """Id, name and data of an event without what differs from one run to another."""
    text = event.data.replace(trajectory_id, "traj")
    text = re.sub(r"call_[0-9a-f]{32}", "call", text)
    text = re.sub(r'"\d{4}-\d\d-\d\dT[^"]*"', '"TIME"', text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.+]*\d", "TIME", text)
    text = re.sub(r"127\.0\.0\.1:\d+", "HOST", text)
    return {"id": int(event.id), "event": event.event, "data": _without_latency(json.loads(text))}


def _without_latency(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: 0 if key == "latency_ms" and isinstance(item, int) else _without_latency(_zeroed(key, item))
            for key, item in value.items()
        }
    return [_without_latency(item) for item in value] if isinstance(value, list) else value


def _zeroed(key: str, item: Any) -> Any:
    return dict.fromkeys(item, 0) if key == "latency_ms" else item
