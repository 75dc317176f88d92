"""After a restart the orchestrator serves at once; what is not resumed yet can be read, streamed and cancelled."""

from __future__ import annotations

import asyncio

import pytest
from support.orchestrator_world import World
from support.scripted_roles import ScriptedRoles, hang, in_turn

from orchestrator.runs import manager, recovery
from orchestrator.runs.driver import Driver
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


@pytest.mark.parametrize(("failures", "status"), [(2, "completed"), (3, "running")])
async def test_a_trajectory_whose_driver_fails_is_taken_up_some_times(
    world: World, monkeypatch: pytest.MonkeyPatch, failures: int, status: str
) -> None:
    monkeypatch.setattr(manager, "AGAIN_AFTER_S", (0.01, 0.01))
    drive, attempts = Driver.run, 0

    async def fails(driver: Driver) -> None:
        nonlocal attempts
        attempts += 1
        if attempts <= failures:
            raise RuntimeError("a fault of the driver")
        await drive(driver)

    monkeypatch.setattr(Driver, "run", fails)
    async with world.orchestrator() as client:
        trajectory_id = await client.start()
        runs = client.orchestrator.runs
        while attempts < 3 or runs._taken_up:
            await asyncio.sleep(0.01)
        assert (await client.http.get(f"/v1/trajectories/{trajectory_id}")).json()["status"] == status
        # A client that follows it takes it up in any case.
        assert (await client.finished(trajectory_id))["status"] == "completed"


async def test_a_stop_does_not_wait_for_a_further_attempt(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manager, "AGAIN_AFTER_S", (3_600.0,))

    async def fails(_: Driver) -> None:
        raise RuntimeError("a fault of the driver")

    with monkeypatch.context() as patch:
        patch.setattr(Driver, "run", fails)
        async with world.orchestrator() as client:
            trajectory_id = await client.start()
            runs = client.orchestrator.runs
            while not runs._taken_up:
                await asyncio.sleep(0.01)
    assert not runs._taken_up
    async with world.orchestrator() as client:
        assert (await client.finished(trajectory_id))["status"] == "completed"
