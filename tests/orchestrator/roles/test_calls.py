"""Retries: only without an accepted answer, within the budget, and not before Retry-After."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from support.role_replicas import AT_ONCE, NEVER_OPENS, Fleet, planning
from support.scripted_roles import Reply, decide, in_turn

from orchestrator.roles.calls import RetryPolicy
from orchestrator.roles.errors import RetriesSpent, RoleUnavailable

CALLS = 200


async def test_an_outage_adds_a_tenth_of_the_load_and_a_few(lone: Fleet) -> None:
    lone.planners[0].roles.planner = in_turn(Reply(b"", 503))
    async with lone.calls(policy=NEVER_OPENS) as calls:
        questions = [planning(f"traj_{number}") for number in range(CALLS)]
        failed = await asyncio.gather(*map(calls.call, questions), return_exceptions=True)
    arrived = len(lone.planners[0].roles.requests)
    assert CALLS < arrived <= 1.1 * CALLS + 10
    spent = [error for error in failed if isinstance(error, RetriesSpent)]
    assert len(spent) >= CALLS - 10 - CALLS // 10
    assert "planner service: status 503; not retried, because the retry budget is exhausted" in map(str, spent)
    assert all(isinstance(error, RoleUnavailable) for error in failed)


async def test_the_breaker_saves_most_of_that(lone: Fleet) -> None:
    lone.planners[0].roles.planner = in_turn(Reply(b"", 503))
    async with lone.calls() as calls:
        for number in range(CALLS):
            with pytest.raises(RoleUnavailable):
                await calls.call(planning(f"traj_{number}"))
    assert len(lone.planners[0].roles.requests) == 5


async def test_a_wish_beyond_the_deadline_fails_at_once(lone: Fleet) -> None:
    later = Reply(b"", 503, headers={"Retry-After": "60"})
    lone.planners[0].roles.planner = in_turn(later, decide("nothing to do", "conclusion"))
    async with lone.calls(timeout_s=30) as calls:
        with pytest.raises(RoleUnavailable, match="status 503"):
            await calls.call(planning("traj_0"))
    assert len(lone.planners[0].roles.requests) == 1


async def test_another_replica_need_not_wait(fleet: Fleet) -> None:
    for planner in fleet.planners:
        busy = Reply(b"", 503, headers={"Retry-After": "60"})
        planner.roles.planner = in_turn(busy, decide("nothing to do", "conclusion"))
    async with fleet.calls(timeout_s=30) as calls:
        for number in range(3):
            fleet.planners[number].roles.requests.clear()
        with pytest.raises(RoleUnavailable, match="status 503"):
            await calls.call(planning("traj_0"))
    assert [len(planner.roles.requests) for planner in fleet.planners] == [1, 1, 1]


@pytest.mark.parametrize("wish", ["seconds", "date", "nothing", "nonsense"])
async def test_the_services_wish_is_read(lone: Fleet, wish: str) -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    value = {"seconds": "90", "date": moment, "nothing": "", "nonsense": "soon GMT"}[wish]
    lone.planners[0].roles.planner = in_turn(Reply(b"", 429, headers={"Retry-After": value}))
    async with lone.calls(retries=RetryPolicy(attempts=1)) as calls:
        with pytest.raises(RoleUnavailable) as caught:
            await calls.call(planning("traj_0"))
    wished = caught.value.retry_after_s
    if wish in ("seconds", "date"):
        assert wished is not None
        assert 85 < wished <= 100
    else:
        assert wished is None


def test_pauses_grow_differ_and_honour_the_wish() -> None:
    retries = RetryPolicy(first_pause_s=0.2)
    plain, wishing = RoleUnavailable("down"), RoleUnavailable("down", retry_after_s=7)
    for attempt, longest in ((1, 0.2), (2, 0.4), (3, 0.8), (10, 5.0)):
        pauses = {retries.pause_s(attempt, plain) for _ in range(20)}
        assert len(pauses) > 1
        assert longest / 2 <= min(pauses) <= max(pauses) <= longest
    assert retries.pause_s(1, wishing) > 7


async def test_a_stream_that_broke_off_goes_on_where_it_was(lone: Fleet) -> None:
    complete = decide("look it up now", "caller")
    broken = Reply(complete.body, deltas=("look it ", "u"), cut=True)
    lone.planners[0].roles.planner = in_turn(broken, complete)
    heard: list[str] = []
    async with lone.calls(retries=AT_ONCE) as calls:
        answer = await calls.call(planning("traj_0", stream=True), heard.append)
    assert answer.thought == "look it up now"
    assert "".join(heard) == "look it up now "
