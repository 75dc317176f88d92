"""Calls wait for their role: nothing fails, few requests are sent meanwhile, and Retry-After is honoured."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from support.role_replicas import AT_ONCE, NEVER_OPENS, Fleet, planning, until_probed
from support.scripted_roles import Reply, ScriptedRoles, decide, in_turn
from support.serving_on_loopback import until

from orchestrator.roles.calls import RetryPolicy
from orchestrator.roles.errors import RoleBusy, RoleUnavailable

CALLS = 200
WAITING = "alpha_umi_trajectories_waiting_for_role"


async def test_an_outage_fails_no_call_and_sends_few_retries(lone: Fleet) -> None:
    lone.planners[0].roles.planner = in_turn(Reply(b"", 503))
    async with lone.calls(policy=NEVER_OPENS, retries=RetryPolicy(first_pause_s=0, longest_pause_s=0.5)) as calls:
        load = [asyncio.create_task(calls.call(planning(f"traj_{number}"))) for number in range(CALLS)]
        await until(lambda: len(lone.planners[0].roles.requests) >= CALLS + 20)
        assert not any(task.done() for task in load)
        lone.planners[0].roles.planner = ScriptedRoles().planner
        assert {answer.next for answer in await asyncio.gather(*load)} == {"conclusion"}
    arrived = len(lone.planners[0].roles.requests)
    assert arrived <= 3 * CALLS, "without tokens a retry waits for the longest pause"


async def test_the_breaker_saves_most_of_that(lone: Fleet) -> None:
    planner = lone.planners[0]
    planner.roles.planner = in_turn(Reply(b"", 503))
    planner.roles.ready = False
    waits: list[str | None] = []
    async with lone.calls() as calls:
        gate = calls.gates["planner"]
        load = [asyncio.create_task(calls.call(planning("traj_0"), on_wait=waits.append)) for _ in range(CALLS)]
        await until(lambda: calls.roles["planner"].outage is not None and gate.in_use == 0)
        sent = len(planner.roles.requests)
        for _ in range(3):
            lone.now += 2
            await until_probed(planner)
        assert len(planner.roles.requests) == sent, "only the probe is sent"
        assert not any(task.done() for task in load)
        assert calls.metrics.registry.get_sample_value(WAITING, {"role": "planner"}) == CALLS
        planner.roles.planner = ScriptedRoles().planner
        planner.roles.ready = True
        lone.now += 2
        await asyncio.gather(*load)
        assert calls.metrics.registry.get_sample_value(WAITING, {"role": "planner"}) == 0
    assert waits[-1] is None
    assert "circuit open" in str([reason for reason in waits if reason][-1])


async def test_no_more_requests_than_the_engine_runs_at_once(lone: Fleet) -> None:
    """What waits for its turn uses none of its time, and the owners have theirs in turn."""
    planner, busy = lone.planners[0], asyncio.Event()
    planner.roles.context, planner.roles.capacity = 4_096, 2
    planner.roles.planner = in_turn(replace(decide("nothing to do", "conclusion"), until=busy))
    async with lone.calls(timeout_s=1) as calls:
        await calls.roles["planner"].replicas[0].read_model()
        load = [asyncio.create_task(calls.call(planning("traj_0"))) for _ in range(6)]
        await until(lambda: len(planner.roles.requests) == 2)
        assert (calls.gates["planner"].in_use, calls.gates["planner"].waiting) == (2, 4)
        load.append(asyncio.create_task(calls.call(replace(planning("traj_1"), owner="other"))))
        await asyncio.sleep(0)
        busy.set()
        await asyncio.gather(*load)
    order = planner.trajectories_served()
    assert order.index("traj_1") < 5
    assert len(order) == 7, "none was sent twice"


async def test_a_busy_service_is_granted_its_wish(lone: Fleet) -> None:
    later = Reply(b"", 429, headers={"Retry-After": "1"})
    lone.planners[0].roles.planner = in_turn(later, decide("nothing to do", "conclusion"))
    async with lone.calls() as calls:
        started = time.monotonic()
        await calls.call(planning("traj_0"))
        assert time.monotonic() - started >= 1
        assert calls.roles["planner"].outage is None


async def test_another_replica_need_not_wait(fleet: Fleet) -> None:
    for planner in fleet.planners:
        busy = Reply(b"", 503, headers={"Retry-After": "60"})
        planner.roles.planner = in_turn(busy, decide("nothing to do", "conclusion"))
    waits: list[str | None] = []
    async with fleet.calls() as calls:
        await calls.call(planning("traj_0"), on_wait=waits.append)
    assert sorted(len(planner.roles.requests) for planner in fleet.planners) == [1, 1, 2]
    assert len(waits) == 2, "one pause after all replicas have failed"


@pytest.mark.parametrize("wish", ["seconds", "date", "nothing", "nonsense"])
async def test_the_services_wish_is_read(lone: Fleet, wish: str) -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    value = {"seconds": "90", "date": moment, "nothing": "", "nonsense": "soon GMT"}[wish]
    lone.planners[0].roles.planner = in_turn(Reply(b"", 429, headers={"Retry-After": value}))
    async with lone.calls() as calls:
        with pytest.raises(RoleBusy) as caught:
            await calls.roles["planner"].replicas[0].call(planning("traj_0"), 30, None)
    wished = caught.value.retry_after_s
    if wish in ("seconds", "date"):
        assert wished is not None
        assert 85 < wished <= 100
    else:
        assert wished is None


def test_pauses_grow_differ_and_honour_the_wish() -> None:
    retries = RetryPolicy(first_pause_s=0.2, longest_pause_s=4)
    plain, busy = RoleUnavailable("down", retry_after_s=60), RoleBusy("busy", retry_after_s=7)
    for failures, longest in ((1, 0.2), (2, 0.4), (3, 0.8), (10, 4.0), (10_000, 4.0)):
        pauses = {retries.pause_s(failures, plain) for _ in range(20)}
        assert len(pauses) > 1
        assert longest / 2 <= min(pauses) <= max(pauses) <= longest
    assert 7 < retries.pause_s(1, busy) < 8
    assert retries.pause_s(1, RoleBusy("busy", retry_after_s=3_600)) < 31
    assert 2 <= retries.pause_s(1, plain, is_prompt=False) <= 4


async def test_a_stream_that_broke_off_goes_on_where_it_was(lone: Fleet) -> None:
    complete = decide("look it up now", "caller")
    broken = Reply(complete.body, deltas=("look it ", "u"), cut=True)
    lone.planners[0].roles.planner = in_turn(broken, complete)
    heard: list[str] = []
    async with lone.calls(retries=AT_ONCE) as calls:
        answer = await calls.call(planning("traj_0", stream=True), heard.append)
    assert answer.thought == "look it up now"
    assert "".join(heard) == "look it up now "
