"""Each trajectory stays with one replica; while it is unavailable, only its own trajectories move, and they return."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from support.role_replicas import Fleet, planning, until_probed
from support.scripted_roles import Reply, decide, hang, in_turn, problem
from support.serving_on_loopback import until

from orchestrator.roles import replicas
from orchestrator.roles.calls import RoleCalls

TRAJECTORIES = [f"traj_{number}" for number in range(90)]


async def ask_for_all(calls: RoleCalls) -> None:
    for trajectory_id in TRAJECTORIES:
        await calls.call(planning(trajectory_id))


async def test_a_trajectory_stays_with_its_replica(fleet: Fleet) -> None:
    async with fleet.calls() as calls:
        await ask_for_all(calls)
        first = fleet.served()
        await ask_for_all(calls)
        assert fleet.served() == first
    async with fleet.calls() as calls:
        await ask_for_all(calls)
    assert fleet.served() == first
    assert set(first.values()) == {0, 1, 2}


async def test_only_the_trajectories_of_an_ended_replica_move_and_they_come_back(fleet: Fleet) -> None:
    async with fleet.calls() as calls:
        await ask_for_all(calls)
        home = fleet.served()
        await fleet.planners[1].end()
        await ask_for_all(calls)
        moved = fleet.served()
        assert {name for name in home if moved[name] != home[name]} == {name for name in home if home[name] == 1}
        assert 1 not in moved.values()
        assert {moved[name] for name in home if home[name] == 1} == {0, 2}

        await fleet.planners[1].start()
        await ask_for_all(calls)
        assert fleet.served() == moved, "the circuit is open still"
        fleet.now += 2.0
        # The first call that prefers this replica starts its probe and does not wait for it.
        await ask_for_all(calls)
        await until(lambda: calls.roles["planner"].replicas[1].breaker.state == "closed")
        fleet.served()
        await ask_for_all(calls)
        assert fleet.served() == home


async def test_moving_costs_no_retries(fleet: Fleet) -> None:
    """Requests that were never sent cost no retry: all trajectories survive the end of a replica."""
    await fleet.planners[0].end()
    async with fleet.calls() as calls:
        while calls.budget.take():
            pass
        await asyncio.gather(*(calls.call(planning(trajectory_id)) for trajectory_id in TRAJECTORIES))
    assert set(fleet.served()) == set(TRAJECTORIES)


async def test_calls_in_flight_move_when_their_replica_ends(fleet: Fleet) -> None:
    for planner in fleet.planners:
        planner.roles.planner = in_turn(hang())
    async with fleet.calls() as calls:
        answer = asyncio.create_task(calls.call(planning("traj_0")))
        await until(lambda: any(planner.roles.requests for planner in fleet.planners))
        home = fleet.served()["traj_0"]
        for number, planner in enumerate(fleet.planners):
            if number != home:
                planner.roles.planner = type(planner.roles)().planner
        await fleet.planners[home].end()
        assert (await answer).next == "conclusion"
    assert fleet.served()["traj_0"] != home


async def test_a_service_that_dies_under_load_is_left_alone_at_once(lone: Fleet) -> None:
    """No call fails; when it is back, one probe finds out, and every call is answered."""
    planner = lone.planners[0]
    planner.roles.planner = in_turn(hang())
    waits: list[str | None] = []
    async with lone.calls() as calls:
        breaker = calls.roles["planner"].replicas[0].breaker
        load = [asyncio.create_task(calls.call(planning(name), on_wait=waits.append)) for name in TRAJECTORIES]
        await until(lambda: len(planner.roles.requests) == len(TRAJECTORIES))
        await planner.end()
        await until(lambda: breaker.state == "open")
        load.append(asyncio.create_task(calls.call(planning("traj_new"), on_wait=waits.append)))
        await until(lambda: len([reason for reason in waits if reason]) > len(TRAJECTORIES))
        assert "planner service is not called for the moment (circuit open): planner service: " in str(waits[-1])
        assert len(planner.roles.requests) == len(TRAJECTORIES)
        labels = {"role": "planner", "replica": planner.url.removeprefix("http://")}
        assert calls.metrics.registry.get_sample_value("alpha_umi_role_circuit_open", labels) == 1

        planner.roles.planner = type(planner.roles)().planner
        planner.roles.readiness_checks = 0
        await planner.start()
        lone.now += 2.0
        answers = await asyncio.gather(*load)
    assert [answer.next for answer in answers] == ["conclusion"] * len(load)
    assert planner.roles.readiness_checks == 1


async def test_a_service_that_is_not_there_yet_is_waited_for(lone: Fleet) -> None:
    planner = lone.planners[0]
    await planner.end()
    async with lone.calls() as calls:
        load = [asyncio.create_task(calls.call(planning(name))) for name in TRAJECTORIES]
        await until(lambda: calls.roles["planner"].outage is not None)
        planner.roles.ready = False
        await planner.start()
        lone.now += 2.0
        await until_probed(planner)
        await asyncio.sleep(0.1)
        assert not planner.roles.requests, "the model is loading"
        planner.roles.ready = True
        lone.now += 2.0
        await asyncio.gather(*load)


async def test_a_frozen_service_fails_nothing(lone: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its calls are abandoned when a probe is not answered, and sent again when it answers. Nothing ends by itself."""
    monkeypatch.setattr(replicas, "WATCH_EVERY_S", 0.05)
    monkeypatch.setattr(replicas, "SILENT_S", 0.3)
    planner = lone.planners[0]
    planner.roles.planner = in_turn(hang())
    async with lone.calls() as calls:
        load = [asyncio.create_task(calls.call(planning(name))) for name in TRAJECTORIES]
        await until(lambda: len(planner.roles.requests) == len(TRAJECTORIES))
        planner.roles.thawed.clear()
        await until(lambda: calls.roles["planner"].outage is not None and calls.gates["planner"].in_use == 0)
        assert "it does not answer any more" in str(calls.roles["planner"].outage)
        planner.roles.planner = type(planner.roles)().planner
        planner.roles.thawed.set()
        await lone.answers(load)


async def test_a_loaded_service_is_not_away(lone: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicas, "WATCH_EVERY_S", 0.02)
    planner, done = lone.planners[0], asyncio.Event()
    planner.roles.planner = in_turn(replace(decide("nothing to do", "conclusion"), until=done))
    async with lone.calls() as calls:
        load = [asyncio.create_task(calls.call(planning(name))) for name in TRAJECTORIES]
        for _ in range(3):
            await until_probed(planner)
        done.set()
        await asyncio.gather(*load)
    assert len(planner.roles.requests) == len(TRAJECTORIES)


async def test_errors_that_a_living_service_answers_with_open_nothing(lone: Fleet) -> None:
    planner = lone.planners[0]
    replies = [
        problem("context-exceeded", "the tools do not fit"),
        problem("output-unreadable", "no decision", text="?"),
        Reply(b"", 429),
    ]
    async with lone.calls() as calls:
        (replica,) = calls.roles["planner"].replicas
        for reply in replies:
            planner.roles.planner = in_turn(reply)
            sent = [replica.call(planning(name), 30, None) for name in TRAJECTORIES]
            await asyncio.gather(*sent, return_exceptions=True)
        assert replica.breaker.state == "closed"


async def test_a_service_that_answers_too_slowly_is_called_again(lone: Fleet) -> None:
    planner = lone.planners[0]
    planner.roles.planner = in_turn(hang())
    async with lone.calls(timeout_s=0.2) as calls:
        load = [asyncio.create_task(calls.call(planning(name))) for name in TRAJECTORIES]
        await until(lambda: calls.roles["planner"].outage is not None)
        assert "no answer within 0.2 s" in str(calls.roles["planner"].outage)
        planner.roles.planner = type(planner.roles)().planner
        await lone.answers(load)


async def test_a_cancelled_call_says_nothing_about_the_service(lone: Fleet) -> None:
    lone.planners[0].roles.planner = in_turn(hang())
    async with lone.calls() as calls:
        load = [asyncio.create_task(calls.call(planning(name))) for name in TRAJECTORIES]
        await until(lambda: len(lone.planners[0].roles.requests) == len(TRAJECTORIES))
        for task in load:
            task.cancel()
        await asyncio.gather(*load, return_exceptions=True)
        assert calls.roles["planner"].replicas[0].breaker.state == "closed"


async def test_a_storm_of_readiness_checks_asks_each_replica_once(fleet: Fleet) -> None:
    async with fleet.calls() as calls:
        checks = [calls.roles["planner"].check() for _ in range(50)]
        for states in await asyncio.gather(*checks):
            assert [state.is_ready for state in states] == [True] * 3
        assert [planner.roles.readiness_checks for planner in fleet.planners] == [1, 1, 1]
        fleet.planners[2].roles.ready = False
        fleet.now += 1.0
        states = await calls.roles["planner"].check()
    assert [state.is_ready for state in states] == [True, True, False]
    assert [planner.roles.readiness_checks for planner in fleet.planners] == [2, 2, 2]
