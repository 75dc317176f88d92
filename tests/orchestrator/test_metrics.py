"""The orchestrator's metrics as Prometheus reads them; no label has a value that users choose."""

from __future__ import annotations

import asyncio

import httpx
from httpx_sse import aconnect_sse
from support.exposition import scrape
from support.orchestrator_world import Client, World
from support.scripted_roles import call, decide, hang, in_turn, problem, say

CHOSEN = "chosen-by-a-user"


def one_call(world: World, item: str) -> None:
    world.roles.planner = in_turn(decide("look it up", "caller"), decide("I know it", "conclusion"))
    world.roles.caller = in_turn(call("look_up", item=item))
    world.roles.summarizer = in_turn(say("It costs 40."))


async def test_a_complete_trajectory(client: Client, world: World) -> None:
    one_call(world, "lamp")
    await client.run()
    metrics = await scrape(client.http)
    ended = {"strategy": "chain"}
    assert metrics.value("alpha_umi_trajectories_started_total", **ended) == 1
    assert metrics.value("alpha_umi_trajectories_total", status="completed", **ended) == 1
    assert metrics.value("alpha_umi_trajectory_steps_sum", **ended) == 2
    assert metrics.value("alpha_umi_trajectory_duration_seconds_count", **ended) == 1
    assert metrics.value("alpha_umi_tool_calls_total", outcome="ok") == 1
    assert metrics.value("alpha_umi_tool_call_duration_seconds_count") == 1
    for role, calls in (("planner", 2), ("caller", 1), ("summarizer", 1)):
        assert metrics.value("alpha_umi_role_call_duration_seconds_count", role=role, outcome="ok") == calls
        assert metrics.value("alpha_umi_tokens_total", role=role, kind="completion") == 5 * calls
    writes = metrics.value("alpha_umi_log_commit_writes_sum")
    assert writes == metrics.value("alpha_umi_log_appends_total", outcome="ok") + 1, "the creation is no append"
    assert metrics.value("alpha_umi_log_commit_duration_seconds_count") == metrics.value(
        "alpha_umi_log_commit_writes_count"
    )
    assert metrics.value("alpha_umi_tool_sources", status="ready") == 1


async def test_failures_by_outcome(client: Client, world: World) -> None:
    one_call(world, "broken")
    await client.run()
    world.roles.planner = in_turn(problem("output-unreadable", "no decision", text="?"))
    await client.run()
    world.roles.planner = in_turn(problem("context-exceeded", "too long"))
    await client.run()
    metrics = await scrape(client.http)
    assert metrics.value("alpha_umi_tool_calls_total", outcome="error") == 1
    assert metrics.value("alpha_umi_role_call_duration_seconds_count", role="planner", outcome="unreadable") == 1
    assert metrics.value("alpha_umi_role_call_duration_seconds_count", role="planner", outcome="failed") == 1
    assert metrics.value("alpha_umi_decisions_total", readable="no", next="conclusion") == 1
    assert metrics.value("alpha_umi_trajectories_total", status="failed") == 1


async def test_what_is_under_way(client: Client, world: World) -> None:
    world.roles.planner = in_turn(hang())
    trajectory_id = await client.start()
    path = f"/v1/trajectories/{trajectory_id}/events"
    async with aconnect_sse(client.http, "GET", path) as source:
        stream = source.aiter_sse()  # which would close the connection if it were dropped
        assert (await anext(stream)).event == "trajectory.created"
        during = await scrape(client.http)
    async with asyncio.timeout(10):
        while (await scrape(client.http)).value("alpha_umi_streams_open"):
            await asyncio.sleep(0.01)
    await client.http.post(f"/v1/trajectories/{trajectory_id}/cancel")
    after = await scrape(client.http)
    assert during.value("alpha_umi_trajectories_running") == 1
    assert during.value("alpha_umi_streams_open") == 1
    assert after.value("alpha_umi_trajectories_running") == after.value("alpha_umi_streams_open") == 0
    assert after.value("alpha_umi_trajectories_total", status="cancelled") == 1
    assert after.value("alpha_umi_stopping") == after.value("alpha_umi_log_appends_blocked") == 0


async def test_nothing_that_users_choose_becomes_a_label(client: Client, world: World) -> None:
    document = world.shop.application().openapi()
    for path in document["paths"].values():
        for operation in path.values():
            operation["operationId"] = f"{CHOSEN}-{operation['operationId']}"
    source = {"name": f"{CHOSEN}-source", "document": document, "base_url": world.shop_url, "effect": "read"}
    (await client.http.post("/v1/tool-sources", json=source)).raise_for_status()
    world.roles.planner = in_turn(decide("look it up", "caller"), decide("I know it", "conclusion"))
    world.roles.caller = in_turn(call(f"{CHOSEN}-look_up", item=CHOSEN))
    headers = {"X-Request-Id": f"{CHOSEN}-request", "X-Trajectory-Id": CHOSEN, "User-Agent": CHOSEN}
    body = {"instruction": CHOSEN, "metadata": {CHOSEN: CHOSEN}, "tools": [f"{CHOSEN}-look_up"]}
    response = await client.http.post("/v1/trajectories", json=body, headers=headers)
    result = response.json()
    assert (result["status"], len(world.shop.executed("look_up"))) == ("completed", 1)
    await asyncio.gather(*(_call(client.http, method, path) for method, path in _paths(result["id"])))
    metrics = await scrape(client.http)
    values = metrics.label_values()
    assert {"/v1/trajectories/{trajectory_id}", "/v1/trajectories/{trajectory_id}/events"} <= values
    for chosen in (CHOSEN, result["id"], "traj_", "call_"):
        assert not [value for value in values if chosen.lower() in value.lower()]


def _paths(trajectory_id: str) -> list[tuple[str, str]]:
    return [
        ("GET", f"/v1/trajectories/{trajectory_id}"),
        ("GET", f"/v1/trajectories/{CHOSEN}"),
        ("GET", f"/v1/trajectories/{trajectory_id}/events"),
        ("POST", f"/v1/trajectories/{trajectory_id}/cancel"),
        ("DELETE", f"/v1/tool-sources/{CHOSEN}"),
        ("GET", f"/{CHOSEN}?{CHOSEN}={CHOSEN}"),
        (CHOSEN.upper(), "/v1/tools"),
    ]


async def _call(http: httpx.AsyncClient, method: str, path: str) -> None:
    await http.request(method, path)
