"""Waiting writers share a commit and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from orchestrator.store import SequenceConflict, StoreError, StoreUnavailable
from orchestrator.store.group_commit import MAX_BATCH, GroupCommit


class Gate:
    """A commit that waits for its release, and records the batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.entered = asyncio.Event()
        self.open = asyncio.Event()
        self.fails: Exception | None = None

    async def __call__(self, jobs: Sequence[int]) -> Sequence[int | StoreError]:
        self.batches.append(list(jobs))
        self.entered.set()
        await self.open.wait()
        if self.fails is not None:
            raise self.fails
        return [SequenceConflict(f"job {job}") if job < 0 else job * 10 for job in jobs]


def submit(group: GroupCommit[int, int], *jobs: int) -> list[asyncio.Task[int]]:
    return [asyncio.create_task(group.submit(job)) for job in jobs]


async def test_jobs_that_come_during_a_commit_share_the_next_one() -> None:
    gate = Gate()
    group = GroupCommit(gate)
    first = submit(group, 1)
    await gate.entered.wait()
    others = submit(group, 2, 3, 4)
    await asyncio.sleep(0)  # they are queued now
    gate.open.set()
    assert await asyncio.gather(*first, *others) == [10, 20, 30, 40]
    assert gate.batches == [[1], [2, 3, 4]]


async def test_an_error_of_one_job_is_its_own() -> None:
    gate = Gate()
    gate.open.set()
    group = GroupCommit(gate)
    outcomes = await asyncio.gather(*submit(group, 1, -2, 3), return_exceptions=True)
    assert outcomes[0] == 10
    assert isinstance(outcomes[1], SequenceConflict)
    assert outcomes[2] == 30


async def test_an_error_of_the_batch_is_everybodys_each_with_the_cause() -> None:
    gate = Gate()
    gate.open.set()
    gate.fails = StoreUnavailable("disk full")
    gate.fails.__cause__ = OSError("no space")
    group = GroupCommit(gate)
    outcomes = await asyncio.gather(*submit(group, 1, 2), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable, StoreUnavailable]
    assert outcomes[0] is not outcomes[1]
    assert all(isinstance(outcome.__cause__, OSError) for outcome in outcomes if isinstance(outcome, StoreError))
    gate.fails = None
    assert await group.submit(3) == 30


async def test_a_mistake_in_the_commit_reaches_the_waiters_as_a_store_error() -> None:
    gate = Gate()
    gate.open.set()
    gate.fails = KeyError("seq")
    with pytest.raises(StoreError, match=r"unexpected way.*seq") as caught:
        await GroupCommit(gate).submit(1)
    assert caught.value.__cause__ is gate.fails


async def test_a_job_cancelled_in_the_queue_is_dropped_and_the_others_go_in() -> None:
    gate = Gate()
    group = GroupCommit(gate)
    first = submit(group, 1)
    await gate.entered.wait()
    recorded, dropped, last = submit(group, 2, 3, 4)
    await asyncio.sleep(0)  # they are queued now
    dropped.cancel()
    gate.open.set()
    assert await asyncio.gather(*first, recorded, last) == [10, 20, 40]
    assert gate.batches == [[1], [2, 4]]
    assert dropped.cancelled()


async def test_a_job_cancelled_during_its_commit_leaves_the_commit_alone() -> None:
    gate = Gate()
    group = GroupCommit(gate)
    gone, stays = submit(group, 1, 2)
    await gate.entered.wait()
    gone.cancel()
    gate.open.set()
    assert await stays == 20
    assert gate.batches == [[1, 2]]
    assert await group.submit(3) == 30


async def test_a_batch_has_a_bound() -> None:
    gate = Gate()
    gate.open.set()
    group = GroupCommit(gate)
    await asyncio.gather(*submit(group, *range(MAX_BATCH + 1)))
    assert [len(batch) for batch in gate.batches] == [MAX_BATCH, 1]


async def test_close_waits_for_what_was_submitted_and_refuses_the_rest() -> None:
    gate = Gate()
    group = GroupCommit(gate)
    waiting = submit(group, 1)
    await gate.entered.wait()
    closing = asyncio.create_task(group.close())
    await asyncio.sleep(0)  # it has begun now
    with pytest.raises(StoreUnavailable, match="closed"):
        await group.submit(2)
    assert not closing.done()
    gate.open.set()
    await closing
    assert await waiting[0] == 10
