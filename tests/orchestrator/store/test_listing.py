"""Lists of trajectories: newest first, page by page, and the unfinished ones for a restart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.store import EventStore, NewEvent, TrajectoryNotFound

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def pages(store: EventStore, *, limit: int, status: str | None = None) -> list[list[str]]:
    result: list[list[str]] = []
    after, more = None, True
    while more:
        rows, more = await store.list(owner="default", status=status, limit=limit, after=after)
        result.append([row.id for row in rows])
        after = rows[-1].id if rows else None
    return result


async def test_newest_come_first_whatever_the_order_of_writing(store: EventStore, create: Any) -> None:
    for minute in (2, 0, 3, 1):
        await create(f"tr_{minute}", minute=minute)
    assert await pages(store, limit=10) == [["tr_3", "tr_2", "tr_1", "tr_0"]]


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6])
async def test_pages_hold_each_trajectory_once_also_of_one_instant(store: EventStore, create: Any, limit: int) -> None:
    for name in "abcde":
        await create(f"tr_{name}")
    result = await pages(store, limit=limit)
    assert [row for page in result for row in page] == ["tr_e", "tr_d", "tr_c", "tr_b", "tr_a"]
    assert all(len(page) == limit for page in result[:-1])


async def test_a_new_trajectory_between_two_pages_moves_nothing(store: EventStore, create: Any) -> None:
    for minute in range(4):
        await create(f"tr_{minute}", minute=minute)
    first = await store.list(owner="default", limit=2)
    await create("tr_9", minute=9)
    second = await store.list(owner="default", limit=2, after=first.rows[-1].id)
    assert [row.id for row in first.rows + second.rows] == ["tr_3", "tr_2", "tr_1", "tr_0"]
    assert (first.has_more, second.has_more) == (True, False)


async def test_a_list_can_be_of_one_status(store: EventStore, create: Any) -> None:
    for minute in range(6):
        await create(f"tr_{minute}", minute=minute, status="failed" if minute % 2 else "running")
    assert await pages(store, limit=2, status="failed") == [["tr_5", "tr_3"], ["tr_1"]]
    assert await pages(store, limit=2, status="cancelled") == [[]]


async def test_an_unknown_place_is_named(store: EventStore) -> None:
    with pytest.raises(TrajectoryNotFound, match="tr_9"):
        await store.list(owner="default", after="tr_9")


async def test_unfinished_are_those_without_an_end_oldest_first(store: EventStore, create: Any) -> None:
    for minute in (2, 0, 1):
        await create(f"tr_{minute}", minute=minute)
    await store.append("tr_1", after=1, events=[], at=NOON, status="completed", finished_at=NOON)
    assert await store.unfinished() == ["tr_0", "tr_2"]


async def test_unfinished_ones_of_all_owners_take_turns(store: EventStore) -> None:
    for minute, owner in enumerate(["ann", "ann", "ann", "bob", "bob"]):
        at = NOON + timedelta(minutes=minute)
        await store.create(f"{owner}_{minute}", [NewEvent("e", {})], at=at, instruction="?", tools=[], owner=owner)
    assert await store.unfinished() == ["ann_0", "bob_3", "ann_1", "bob_4", "ann_2"]


async def test_a_reopened_trajectory_is_unfinished_and_listed_under_its_new_status(
    store: EventStore, create: Any
) -> None:
    await create("tr_1")
    await store.append("tr_1", after=1, events=[], at=NOON, status="completed", finished_at=NOON)
    assert (await store.get("tr_1", owner="default")).finished_at == NOON
    await store.append("tr_1", after=1, events=[], at=NOON, status="running")
    row = await store.get("tr_1", owner="default")
    assert (row.status, row.finished_at) == ("running", None)
    await store.append("tr_1", after=1, events=[], at=NOON, status="requires_action")
    await store.append("tr_1", after=1, events=[], at=NOON)
    assert await store.unfinished() == ["tr_1"]
    assert await pages(store, limit=2, status="requires_action") == [["tr_1"]]
    assert await pages(store, limit=2, status="completed") == [[]]
