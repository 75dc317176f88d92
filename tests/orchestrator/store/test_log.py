"""One trajectory's log: events are read back in order, and appended only at the end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pysqlite3 import dbapi2 as sqlite3

from orchestrator.store import (
    EventStore,
    NewEvent,
    NotStorable,
    SequenceConflict,
    StoreDamaged,
    StoredEvent,
    TrajectoryExists,
    TrajectoryNotFound,
    TrajectoryRow,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DECIDED = NewEvent("planner.decided", {"thought": "I add.", "next": "caller"})
CALLED = NewEvent("caller.called", {"arguments": {"a": 2, "b": 2.5, "c": None, "d": [True]}})


async def test_a_created_trajectory_reads_back_complete(store: EventStore) -> None:
    created = await store.create(
        "tr_1",
        [NewEvent("trajectory.created", {"tools": ("add", "sub")}), DECIDED],
        at=NOON,
        instruction="Zähle 2 und 2 zusammen. 🧮\x00",
        tools=["add", "sub"],
        strategy="chain",
        metadata={"user": "ada"},
        background=True,
    )
    assert created == TrajectoryRow(
        id="tr_1",
        created_at=NOON,
        finished_at=None,
        status="running",
        instruction="Zähle 2 und 2 zusammen. 🧮\x00",
        strategy="chain",
        tools=("add", "sub"),
        metadata={"user": "ada"},
        background=True,
        last_seq=2,
    )
    assert await store.get("tr_1", owner="default") == created
    assert await store.events("tr_1") == [
        StoredEvent("tr_1", 1, "trajectory.created", {"tools": ["add", "sub"]}, NOON),
        StoredEvent("tr_1", 2, "planner.decided", DECIDED.payload, NOON),
    ]


async def test_append_numbers_events_and_returns_what_is_read_later(store: EventStore, create: Any) -> None:
    await create("tr_1")
    later = NOON + timedelta(microseconds=1)
    appended = await store.append("tr_1", after=1, events=[DECIDED, CALLED], at=later)
    assert [event.seq for event in appended] == [2, 3]
    assert await store.events("tr_1", after=1) == appended
    assert (await store.get("tr_1", owner="default")).last_seq == 3


async def test_events_are_read_in_parts(store: EventStore, create: Any) -> None:
    await create("tr_1")
    await store.append("tr_1", after=1, events=[DECIDED] * 9, at=NOON)
    assert [event.seq for event in await store.events("tr_1", after=3, limit=4)] == [4, 5, 6, 7]
    assert await store.events("tr_1", after=10) == []
    assert await store.events("unknown") == []


async def test_status_and_end_are_written_with_the_events_and_stay(store: EventStore, create: Any) -> None:
    await create("tr_1")
    end = NOON + timedelta(seconds=3)
    await store.append("tr_1", after=1, events=[DECIDED], at=end, status="completed", finished_at=end)
    await store.append("tr_1", after=2, events=[], at=end)
    row = await store.get("tr_1", owner="default")
    assert (row.status, row.finished_at, row.last_seq) == ("completed", end, 2)


async def test_times_of_any_zone_come_back_in_utc(store: EventStore, create: Any) -> None:
    await create("tr_1")
    tokyo = datetime(2026, 3, 1, 21, 0, 0, 5, tzinfo=timezone(timedelta(hours=9)))
    await store.append("tr_1", after=1, events=[DECIDED], at=tokyo)
    read = (await store.events("tr_1"))[-1].at
    assert read == tokyo
    assert read.tzinfo is UTC


async def test_a_time_without_a_zone_is_refused(store: EventStore, create: Any) -> None:
    await create("tr_1")
    with pytest.raises(ValueError, match="needs a time zone"):
        await store.append("tr_1", after=1, events=[DECIDED], at=datetime(2026, 3, 1))


@pytest.mark.parametrize("after", [0, 2])
async def test_an_append_elsewhere_than_at_the_end_is_a_conflict(store: EventStore, create: Any, after: int) -> None:
    await create("tr_1")
    with pytest.raises(SequenceConflict, match=f"tr_1 ends at 1, not at {after}"):
        await store.append("tr_1", after=after, events=[DECIDED], at=NOON, status="failed")
    assert len(await store.events("tr_1")) == 1
    assert (await store.get("tr_1", owner="default")).status == "running"


async def test_an_id_is_created_once(store: EventStore, create: Any) -> None:
    first = await create("tr_1")
    with pytest.raises(TrajectoryExists, match="tr_1"):
        await create("tr_1", minute=1)
    assert await store.get("tr_1", owner="default") == first


async def test_an_unknown_id_is_named(store: EventStore) -> None:
    with pytest.raises(TrajectoryNotFound, match="tr_9"):
        await store.get("tr_9", owner="default")
    with pytest.raises(TrajectoryNotFound, match="tr_9"):
        await store.append("tr_9", after=0, events=[DECIDED], at=NOON)


async def test_what_models_write_survives(store: EventStore, create: Any) -> None:
    await create("tr_1")
    payload = {"text": "half \ud83d, nul \x00, Next: caller. </s> \u2028", "deep": [[[[]]]], "big": 2**80}
    await store.append("tr_1", after=1, events=[NewEvent("tool.observed", payload)], at=NOON)
    assert (await store.events("tr_1"))[-1].payload == payload


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}, b"bytes"])
async def test_a_payload_without_json_form_is_refused_by_name(store: EventStore, create: Any, value: object) -> None:
    await create("tr_1")
    with pytest.raises(NotStorable, match=r"the payload of tool.observed has no JSON form"):
        await store.append("tr_1", after=1, events=[NewEvent("tool.observed", {"x": value})], at=NOON)
    assert (await store.get("tr_1", owner="default")).last_seq == 1


async def test_a_payload_nested_beyond_reason_is_refused(store: EventStore, create: Any) -> None:
    await create("tr_1")
    nested: dict[str, Any] = {}
    for _ in range(100_000):
        nested = {"in": nested}
    with pytest.raises(NotStorable, match="no JSON form"):
        await store.append("tr_1", after=1, events=[NewEvent("tool.observed", nested)], at=NOON)


async def test_half_a_character_in_an_instruction_or_id_is_named(store: EventStore) -> None:
    for name, values in (("instruction", ("tr_1", "a\ud83d")), ("id", ("tr_\ud83d", "a"))):
        with pytest.raises(NotStorable, match=f"{name} is not valid Unicode"):
            await store.create(values[0], [], at=NOON, instruction=values[1], tools=["add"])
    with pytest.raises(NotStorable, match="not valid Unicode"):
        await store.get("tr_\ud83d", owner="default")


@pytest.mark.parametrize("text", ["{", "[]", '{"x": NaN}', "null", ""])
async def test_a_damaged_payload_is_a_typed_error_that_names_its_place(
    store: EventStore, create: Any, other: sqlite3.Connection, text: str
) -> None:
    await create("tr_1")
    other.execute("UPDATE events SET payload = ?", (text,))
    with pytest.raises(StoreDamaged, match=r"event 1 of trajectory tr_1 cannot be read .* restore"):
        await store.events("tr_1")


@pytest.mark.parametrize(
    ("column", "value"),
    [("created_at", "noon"), ("created_at", "2026-03-01"), ("tools", "[1]"), ("metadata", "[]")],
)
async def test_a_damaged_trajectory_is_a_typed_error_that_names_it(
    store: EventStore, create: Any, other: sqlite3.Connection, column: str, value: str
) -> None:
    await create("tr_1")
    other.execute(f"UPDATE trajectories SET {column} = ?", (value,))  # noqa: S608
    with pytest.raises(StoreDamaged, match="trajectory tr_1 cannot be read"):
        await store.get("tr_1", owner="default")
