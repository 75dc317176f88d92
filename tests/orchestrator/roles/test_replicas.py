"""Each trajectory stays with one replica; while it is unavailable, only its own trajectories move, and they return."""

from __future__ import annotations

import asyncio

import pytest
from support.role_replicas import Fleet, planning
from support.scripted_roles import Reply, hang, in_turn, problem
from support.serving_on_loopback import until

from orchestrator.roles.calls import RoleCalls
from orchestrator.roles.errors import CircuitOpen, RoleTooSlow, RoleUnavailable

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
    planner = lone.planners[0]
    planner.roles.planner = in_turn(hang())
    async with lone.calls() as calls:
        breaker = calls.roles["planner"].replicas[0].breaker
        load = [asyncio.create_task(calls.call(planning(name))) for name in TRAJECTORIES]
        await until(lambda: len(planner.roles.requests) == len(TRAJECTORIES))
        await planner.end()
        failed = await asyncio.gather(*load, return_exceptions=True)
        assert breaker.state == "open"
        assert all(isinstance(error, RoleUnavailable) for error in failed)
        with pytest.raises(CircuitOpen, match=r"is not called for the moment \(circuit open\): planner service: "):
            await calls.call(planning("traj_new"))
        assert len(planner.roles.requests) == len(TRAJECTORIES)
        labels = {"role": "planner", "replica": planner.url.removeprefix("http://")}
        assert calls.metrics.registry.get_sample_value("alpha_umi_role_circuit_open", labels) == 1


async def test_one_probe_finds_out_that_a_service_is_back(lone: Fleet) -> None:
    """Without another replica, calls wait for the result of the probe."""
    planner = lone.planners[0]
    planner.roles.planner = in_turn(Reply(b"", 503))
    async with lone.calls() as calls:
        await asyncio.gather(*(calls.call(planning(name)) for name in TRAJECTORIES), return_exceptions=True)
        planner.roles.planner = type(planner.roles)().planner
        planner.roles.requests.clear()
        planner.roles.readiness_checks = 0
        lone.now += 2.0
        answers = await asyncio.gather(*(calls.call(planning(name)) for name in TRAJECTORIES))
    assert [answer.next for answer in answers] == ["conclusion"] * len(TRAJECTORIES)
    assert planner.roles.readiness_checks == 1


async def test_a_probe_that_fails_leaves_the_service_alone_again(lone: Fleet) -> None:
    planner = lone.planners[0]
    planner.roles.planner = in_turn(Reply(b"", 503))
    planner.roles.ready = False
    async with lone.calls() as calls:
        await asyncio.gather(*(calls.call(planning(name)) for name in TRAJECTORIES), return_exceptions=True)
        requests_before = len(planner.roles.requests)
        lone.now += 2.0
        with pytest.raises(CircuitOpen, match="the model is loading"):
            await calls.call(planning("traj_0"))
    assert len(planner.roles.requests) == requests_before


async def test_errors_that_a_living_service_answers_with_open_nothing(lone: Fleet) -> None:
    planner = lone.planners[0]
    replies = [
        problem("context-exceeded", "the tools do not fit"),
        problem("output-unreadable", "no decision", text="?"),
        Reply(b"", 429),
    ]
    async with lone.calls() as calls:
        for reply in replies:
            planner.roles.planner = in_turn(reply)
            await asyncio.gather(*(calls.call(planning(name)) for name in TRAJECTORIES), return_exceptions=True)
        assert calls.roles["planner"].replicas[0].breaker.state == "closed"


async def test_a_service_that_hangs_is_left_alone_after_some_deadlines(lone: Fleet) -> None:
    lone.planners[0].roles.planner = in_turn(hang())
    async with lone.calls(timeout_s=0.2) as calls:
        failed = await asyncio.gather(*(calls.call(planning(name)) for name in TRAJECTORIES), return_exceptions=True)
        assert {type(error) for error in failed} == {RoleTooSlow}
        assert calls.roles["planner"].replicas[0].breaker.state == "open"


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
