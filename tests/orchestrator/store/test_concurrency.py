"""Many trajectories at once on one file."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from pysqlite3 import dbapi2 as sqlite3

from orchestrator.store import SHARED, EventStore, NewEvent, SequenceConflict, StoreUnavailable, open_store

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVENT = NewEvent("planner.decided", {"thought": "I add."})


async def test_200_trajectories_append_at_once_without_a_gap_in_few_commits(store: EventStore, create: Any) -> None:
    ids = [f"tr_{index:03}" for index in range(200)]
    await asyncio.gather(*(create(name) for name in ids))
    before = store.commits

    async def five_appends(name: str) -> None:
        for end in range(1, 6):
            await store.append(name, after=end, events=[EVENT], at=NOON)

    await asyncio.gather(*(five_appends(name) for name in ids))
    assert store.commits - before <= 50  # for 1,000 appends
    for name in ids:
        assert [event.seq for event in await store.events(name)] == [1, 2, 3, 4, 5, 6]
        assert (await store.get(name, owner="default")).last_seq == 6


async def test_of_many_that_append_at_one_place_exactly_one_succeeds(store: EventStore, create: Any) -> None:
    await create("tr_1")
    await create("tr_2")
    racing = [store.append("tr_1", after=1, events=[EVENT], at=NOON) for _ in range(20)]
    outcomes = await asyncio.gather(
        *racing, store.append("tr_2", after=1, events=[EVENT], at=NOON), return_exceptions=True
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, SequenceConflict)]
    assert len(refused) == 19
    assert not isinstance(outcomes[-1], BaseException)
    assert [event.seq for event in await store.events("tr_1")] == [1, 2]


async def test_a_reader_sees_an_append_as_soon_as_it_returned(store: EventStore, create: Any) -> None:
    await create("tr_1")
    for end in range(1, 20):
        await store.append("tr_1", after=end, events=[EVENT], at=NOON)
        reads = await asyncio.gather(*(store.events("tr_1", after=end) for _ in range(6)))
        assert all([event.seq for event in read] == [end + 1] for read in reads)


async def test_cancelled_writers_take_nothing_from_the_others(
    store: EventStore, create: Any, other: sqlite3.Connection
) -> None:
    ids = [f"tr_{index}" for index in range(30)]
    await asyncio.gather(*(create(name) for name in ids))
    other.execute("BEGIN IMMEDIATE")  # so that all of them wait
    tasks = [asyncio.create_task(store.append(name, after=1, events=[EVENT] * 2, at=NOON)) for name in ids]
    await asyncio.sleep(0)
    for task in tasks[::3]:
        task.cancel()
    other.execute("ROLLBACK")
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for index, (name, outcome) in enumerate(zip(ids, outcomes, strict=True)):
        seqs = [event.seq for event in await store.events(name)]
        if index % 3:
            assert not isinstance(outcome, BaseException)
            assert seqs == [1, 2, 3]
        else:
            assert isinstance(outcome, asyncio.CancelledError)
            assert seqs in ([1], [1, 2, 3])


async def test_cancelled_readers_leave_no_lock_behind(store: EventStore, create: Any) -> None:
    await create("tr_1")
    await store.append("tr_1", after=1, events=[EVENT] * 200, at=NOON)
    for passes in range(0, 60, 2):  # so that the readers are cancelled at different places
        reads = [asyncio.create_task(store.events("tr_1")) for _ in range(4)]
        for _ in range(passes):
            await asyncio.sleep(0)
        for read in reads:
            read.cancel()
        await store.append("tr_1", after=201 + passes // 2, events=[EVENT], at=NOON)
        await asyncio.gather(*reads, return_exceptions=True)
    assert len(await store.events("tr_1")) == 231


async def test_closing_lets_waiting_appends_in_and_refuses_later_ones(url: str) -> None:
    async with open_store(url) as store:
        await store.create("tr_1", [EVENT], at=NOON, instruction="Add.", tools=["add"])
        waiting = asyncio.create_task(store.append("tr_1", after=1, events=[EVENT], at=NOON))
        await asyncio.sleep(0)
    assert [event.seq for event in await waiting] == [2]
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.append("tr_1", after=2, events=[EVENT], at=NOON)
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.put_tool_source(SHARED, "weather", {})
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.get("tr_1", owner="default")
