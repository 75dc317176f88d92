"""kill -9 before and after every commit and send: nothing acknowledged is lost, every trajectory ends.

Reads may repeat, keyed writes repeat with their key, unkeyed writes are sent once at most and otherwise reported as
UNKNOWN. `ALPHA_UMI_EVERY_FAILPOINT=1` sweeps all points instead of a selection.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx_sse import aconnect_sse
from pysqlite3 import dbapi2 as sqlite3
from support.killed_orchestrator import rows_after_a_kill
from support.openapi_documents import OK, openapi_document
from support.orchestrator_process import orchestrator_process
from support.orchestrator_world import World
from support.scripted_roles import Reply, call, decide, say

# A trajectory that reads, reserves, orders and concludes: this many passes of each point.
PASSES = {"create": 1, "intent": 11, "outcome": 11, "role": 8, "tool": 3}
MOMENTS = {
    "create": ("before_commit", "after_commit"),
    "intent": ("before_commit", "after_commit"),
    "outcome": ("before_commit", "after_commit"),
    "role": ("before_send", "after_send"),
    "tool": ("before_send", "after_send"),
}
EVERY = [
    f"{name}.{moment}:{ordinal}"
    for name, count in PASSES.items()
    for moment in MOMENTS[name]
    for ordinal in range(1, count + 1)
]
# The third of each triple of intents and outcomes is a tool's: read, keyed write, unkeyed write.
SELECTED = [
    "create.before_commit:1", "create.after_commit:1", "intent.before_commit:1", "intent.after_commit:9",
    "tool.before_send:3", "tool.after_send:1", "tool.after_send:2", "tool.after_send:3",
    "outcome.after_commit:8", "outcome.before_commit:9", "intent.before_commit:10", "outcome.after_commit:9",
    "role.after_send:2", "outcome.after_commit:11",
]  # fmt: skip
POINTS = EVERY if os.environ.get("ALPHA_UMI_EVERY_FAILPOINT") else SELECTED
CALLS = ("look_up", "reserve", "order")


def observed(body: dict[str, Any]) -> int:
    return sum(turn["role"] == "observation" for turn in body["history"])


def planner(body: dict[str, Any]) -> Reply:
    done = observed(body)
    return decide("all is done", "conclusion") if done == len(CALLS) else decide(f"call {CALLS[done]}", "caller")


def caller(body: dict[str, Any]) -> Reply:
    return call(CALLS[observed(body)], item="lamp")


@pytest.mark.parametrize("failpoint", POINTS)
async def test_kill_at(world: World, failpoint: str) -> None:
    world.roles.planner, world.roles.caller = planner, caller
    world.roles.summarizer = lambda _: say("ordered")
    settings = world.environment()
    acknowledged = None
    with orchestrator_process(settings | {"failpoint": failpoint}) as first:
        async with httpx.AsyncClient(base_url=first.address) as http:
            with contextlib.suppress(httpx.HTTPError):
                response = await http.post("/v1/trajectories", json={"instruction": "Order!", "background": True})
                assert response.status_code == 202
                acknowledged = response.json()["id"]
        await asyncio.to_thread(first.process.join, 20)
        assert first.process.exitcode == -9
    seen_before = len(world.roles.requests)
    with orchestrator_process(settings) as second:
        async with httpx.AsyncClient(base_url=second.address) as http:
            listed = (await http.get("/v1/trajectories")).json()["data"]
            ends = [await followed(http, result["id"]) for result in listed]
    assert acknowledged is None or [end["id"] for end in ends] == [acknowledged]
    assert len(ends) == (0 if failpoint == "create.before_commit:1" else 1)
    for end in ends:
        assert (end["status"], end["answer"]) == ("completed", "ordered")
        check_effects(world, end, failpoint)
    assert len(world.roles.requests) - seen_before <= 9


async def followed(http: httpx.AsyncClient, trajectory_id: str) -> dict[str, Any]:
    """The end of a trajectory, by its stream, which has each row once and in order."""
    async with asyncio.timeout(20), aconnect_sse(http, "GET", f"/v1/trajectories/{trajectory_id}/events") as source:
        rows = [event async for event in source.aiter_sse() if not event.event.endswith(".delta")]
    ids = [int(row.id) for row in rows]
    assert ids == sorted(set(ids))
    assert Counter(row.event for row in rows)["tool.observed"] == 3
    result: dict[str, Any] = rows[-1].json()
    return result


def check_effects(world: World, end: dict[str, Any], failpoint: str) -> None:
    read, reserved, ordered = (world.shop.executed(name) for name in CALLS)
    first, second, third = (step["observation"] for step in end["steps"][:3])
    assert 1 <= len(read) <= 2
    assert not first["is_error"]
    assert len({key for _, key in reserved}) == 1
    assert all(key for _, key in reserved)
    assert not second["is_error"]
    # Only a call in flight at the crash may be UNKNOWN. The order's outcome goes into the
    # log together with the intent that follows it.
    sent_and_lost = failpoint in ("tool.after_send:3", "outcome.before_commit:9", "intent.before_commit:10")
    lost = sent_and_lost or failpoint in ("intent.after_commit:9", "tool.before_send:3")
    assert third["content"].startswith("UNKNOWN") == lost
    assert len(ordered) == (1 if sent_and_lost or not lost else 0)


def settings_of_a_bank(world: World) -> dict[str, Any]:
    """Settings with one tool, `pay`, whose argument is a number in a path."""
    pay = {
        "operationId": "pay",
        "parameters": [{"name": "item", "in": "path", "required": True, "schema": {"type": "number"}}],
        "responses": OK,
    }
    document = openapi_document({"/orders/{item}": {"post": pay}})
    source = {"name": "bank", "document": document, "base_url": world.shop_url, "effect": "keyed_write"}
    settings = world.environment()
    Path(settings["tool_sources"]).write_text(json.dumps({"sources": [source]}), encoding="utf-8")
    return settings


async def test_a_call_that_is_sent_again_has_the_digits_that_the_caller_wrote(world: World) -> None:
    written = call("pay", item=1.1)
    world.roles.planner = lambda body: decide("paid", "conclusion") if observed(body) else decide("pay", "caller")
    world.roles.caller = lambda _: replace(written, body=written.body.replace(rb": 1.1\n", rb": 1.10\n"))
    rows = await rows_after_a_kill(settings_of_a_bank(world), "tool.after_send:1", {"instruction": "Pay!"})
    assert world.shop.executed("order") == [("1.10", ""), ("1.10", "")]
    assert rows[-1].json()["steps"][0]["action"]["arguments"] == {"item": 1.1}


def settings_with_another_effect(world: World, path: str, method: str, effect: str) -> dict[str, Any]:
    """Settings with the shop, one of whose tools states another effect class."""
    settings = world.environment()
    source = world.shop.source(world.shop_url)
    source["document"]["paths"][path][method]["x-effect"] = effect
    Path(settings["tool_sources"]).write_text(json.dumps({"sources": [source]}), encoding="utf-8")
    return settings


@pytest.mark.parametrize(
    ("tool", "recorded", "operation"),
    [
        # A write that was under way is not sent again, whatever its source says of it afterwards.
        ("order", "unkeyed_write", ("/orders/{item}", "post", "read")),
        # A read could be sent again, but its tool is another one now. That it was not called would not be true.
        ("look_up", "read", ("/items/{item}", "get", "keyed_write")),
    ],
)
async def test_recovery_decides_by_what_was_recorded(
    world: World, tool: str, recorded: str, operation: tuple[str, str, str]
) -> None:
    world.roles.planner = lambda body: decide("done", "conclusion") if observed(body) else decide("call", "caller")
    world.roles.caller = lambda _: call(tool, item="lamp")
    settings = world.environment()
    body = {"instruction": "Order!", "background": True}
    with orchestrator_process(settings | {"failpoint": "tool.after_send:1"}) as first:
        async with httpx.AsyncClient(base_url=first.address) as http:
            trajectory_id = (await http.post("/v1/trajectories", json=body)).json()["id"]
        await asyncio.to_thread(first.process.join, 20)
    with closing(sqlite3.connect(f"file:{world.folder}/log.db?mode=ro", uri=True)) as log:
        payloads = log.execute("SELECT payload FROM events WHERE type = 'effect.intended' ORDER BY seq").fetchall()
    assert [json.loads(payload)["effect_class"] for (payload,) in payloads] == [None, None, recorded]
    with orchestrator_process(settings_with_another_effect(world, *operation)) as second:
        async with httpx.AsyncClient(base_url=second.address) as http:
            path = f"/v1/trajectories/{trajectory_id}/events"
            async with asyncio.timeout(20), aconnect_sse(http, "GET", path) as events:
                rows = [event async for event in events.aiter_sse() if not event.event.endswith(".delta")]
    assert rows[-1].json()["steps"][0]["observation"]["content"].startswith("UNKNOWN")
    assert len(world.shop.executed(tool)) == 1
