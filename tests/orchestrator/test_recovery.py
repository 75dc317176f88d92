"""After a restart the orchestrator serves at once; what is not resumed yet can be read, streamed and cancelled."""

from __future__ import annotations

import asyncio

import pytest
from support.orchestrator_world import World
from support.scripted_roles import ScriptedRoles, hang, in_turn

from orchestrator.runs import recovery
from orchestrator.store import EventStore, StoreUnavailable

COUNT = 12


async def unfinished(world: World) -> list[str]:
    """Trajectories that an orchestrator leaves unfinished when it stops."""
    world.roles.planner = in_turn(hang())
    async with world.orchestrator() as client:
        ids = [await client.start() for _ in range(COUNT)]
    world.roles.requests.clear()
    return ids


async def test_what_is_not_resumed_yet_can_be_used(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "RESUMED_AT_ONCE", 2)
    ids = await unfinished(world)
    async with world.orchestrator() as client:
        while len(world.roles.requests) < 2:
            await asyncio.sleep(0.01)
        left = client.orchestrator.metrics.registry.get_sample_value("alpha_umi_trajectories_unrecovered")
        assert left == COUNT - 2
        read = (await client.http.get(f"/v1/trajectories/{ids[-1]}")).json()
        assert read["status"] == "running"
        cancelled = (await client.http.post(f"/v1/trajectories/{ids[-1]}/cancel")).json()
        assert cancelled["status"] == "cancelled"
        stream = asyncio.create_task(client.events(ids[-2]))
        while len(world.roles.requests) < 3:
            await asyncio.sleep(0.01)
        assert world.roles.requests[-1][2]["x-trajectory-id"] == ids[-2]
        await client.http.post(f"/v1/trajectories/{ids[-2]}/cancel")
        assert (await stream)[-1].json()["status"] == "cancelled"
        # The others follow as the first ones end.
        world.roles.planner = ScriptedRoles().planner
        for trajectory_id in ids[:2]:
            await client.http.post(f"/v1/trajectories/{trajectory_id}/cancel")
        ends = [await client.finished(trajectory_id) for trajectory_id in ids[2:-2]]
        assert {end["status"] for end in ends} == {"completed"}


async def test_many_requests_for_one_resume_it_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "RESUMED_AT_ONCE", 1)
    ids = await unfinished(world)
    async with world.orchestrator() as client:
        runs = client.orchestrator.runs
        attached = await asyncio.gather(*(runs.attach(ids[-1], owner="default") for _ in range(20)))
        assert len({id(run) for run in attached}) == 1


async def test_a_log_that_is_not_available_delays_the_recovery(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = await unfinished(world)
    world.roles.planner = ScriptedRoles().planner
    monkeypatch.setattr(recovery, "PAUSE_S", 0.01)
    read, failures = EventStore.unfinished, iter([StoreUnavailable("locked")])

    async def fails_once(store: EventStore) -> list[str]:
        for error in failures:
            raise error
        return await read(store)

    monkeypatch.setattr(EventStore, "unfinished", fails_once)
    async with world.orchestrator() as client:
        ends = [await client.finished(trajectory_id) for trajectory_id in ids]
    assert {end["status"] for end in ends} == {"completed"}
