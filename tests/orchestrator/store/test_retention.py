"""Deletion: what ended goes, with what only it used; what runs or was continued stays; the file shrinks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pysqlite3 import dbapi2 as sqlite3

from orchestrator.store import (
    AuditEntry,
    EventStore,
    NewEvent,
    RequestKey,
    TrajectoryNotFound,
    TrajectoryPruned,
    TrajectoryRow,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = RequestKey("ann", "/v1/trajectories", "k", "d")
LATER = NOON + timedelta(days=30)


async def ended(
    store: EventStore,
    trajectory_id: str,
    *,
    minute: int = 0,
    owner: str = "ann",
    tool_set: str | None = None,
    size: int = 10,
) -> TrajectoryRow:
    at = NOON + timedelta(minutes=minute)
    made = [NewEvent("e", {"text": "x" * size})]
    request = KEY if trajectory_id == "keyed" else None
    await store.create(
        trajectory_id, made, at=at, instruction="?", tools=[], owner=owner, tool_set=tool_set, request=request
    )
    await store.append(trajectory_id, after=1, events=made, at=at, status="completed", finished_at=at)
    return await store.get(trajectory_id, owner=owner)


async def test_the_oldest_ends_are_selected(store: EventStore) -> None:
    for minute, owner in ((2, "ann"), (1, "bob"), (3, "ann")):
        await ended(store, f"t{minute}", minute=minute, owner=owner)
    await store.create("running", [NewEvent("e", {})], at=NOON, instruction="?", tools=[])

    async def ids(**selection: object) -> list[str]:
        return [row.id for row in await store.finished_before(NOON + timedelta(minutes=3), **selection)]  # type: ignore[arg-type]

    assert await ids() == ["t1", "t2"]
    assert await ids(owner="ann") == ["t2"]
    assert await ids(statuses=["failed"]) == []
    assert await ids(limit=1) == ["t1"]


async def test_a_deleted_trajectory_is_gone_for_its_owner_and_unknown_to_others(store: EventStore) -> None:
    row = await ended(store, "keyed")
    act = AuditEntry(LATER, "key", "ann", "trajectory.deleted", "keyed")
    assert await store.delete([row], at=LATER, sets_in_use=set, audit=act) == ["keyed"]
    assert await store.events("keyed") == []
    with pytest.raises(TrajectoryPruned, match="was deleted"):
        await store.get("keyed", owner="ann")
    with pytest.raises(TrajectoryNotFound) as foreign:
        await store.get("keyed", owner="bob")
    assert not isinstance(foreign.value, TrajectoryPruned)
    record = await store.find_idempotency_record(KEY)
    assert record is not None
    assert record.trajectory_id == "keyed", "a repetition is no second execution"
    assert [entry.action for entry in await store.audit_log(limit=9)] == ["trajectory.deleted"]
    await store.forget_pruned(LATER + timedelta(seconds=1))
    with pytest.raises(TrajectoryNotFound) as later:
        await store.get("keyed", owner="ann")
    assert not isinstance(later.value, TrajectoryPruned)


async def test_what_runs_or_changed_since_stays(store: EventStore) -> None:
    running = await store.create("running", [NewEvent("e", {})], at=NOON, instruction="?", tools=[])
    continued = await ended(store, "continued")
    await store.append("continued", after=2, events=[NewEvent("e", {})], at=NOON, status="running")
    again = await ended(store, "again")
    await store.append("again", after=2, events=[NewEvent("e", {})], at=NOON, status="running")
    await store.append("again", after=3, events=[NewEvent("e", {})], at=NOON, status="failed", finished_at=NOON)
    act = AuditEntry(LATER, "key", "ann", "trajectory.deleted", "running")
    assert await store.delete([running, continued, again], at=LATER, sets_in_use=set, audit=act) == []
    assert len(await store.events("again")) == 4
    assert await store.audit_log(limit=9) == []


async def test_a_tool_set_goes_with_its_last_trajectory(store: EventStore) -> None:
    for digest in ("shared", "alone", "in memory"):
        await store.put_tool_set(digest, "{}")
    rows = [await ended(store, f"t{digest}", tool_set=digest) for digest in ("shared", "alone", "in memory")]
    await ended(store, "other", tool_set="shared")
    await store.delete(rows, at=LATER, sets_in_use=lambda: {"in memory"})
    left = [digest for digest in ("shared", "alone", "in memory") if await _is_stored(store, digest)]
    assert left == ["shared", "in memory"]


async def _is_stored(store: EventStore, digest: str) -> bool:
    try:
        return await store.tool_set(digest) == "{}"
    except Exception:
        return False


def size_of(path: Path) -> int:
    return path.stat().st_size


async def test_the_file_shrinks(store: EventStore, path: Path) -> None:
    rows = [await ended(store, f"t{number}", size=200_000) for number in range(20)]
    other = sqlite3.connect(path)
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    full = size_of(path)
    await store.delete(rows, at=LATER, sets_in_use=set)
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert size_of(path) < full / 10
    other.close()
