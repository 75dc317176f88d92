"""Every row has an owner, whom alone the queries of requests show it to, and every act is recorded with its commit."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from orchestrator.store import (
    SHARED,
    AuditEntry,
    AuditRow,
    EventStore,
    NewEvent,
    RequestKey,
    SequenceConflict,
    StoreDamaged,
    TrajectoryNotFound,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ACT = AuditEntry(NOON, "k1", "ann", "cancel", "tr_ann", {"reason": "late"})


async def create(store: EventStore, owner: str, request: RequestKey | None = None) -> None:
    await store.create(
        f"tr_{owner}", [NewEvent("e", {})], at=NOON, instruction="?", tools=["add"], owner=owner, request=request
    )


async def test_a_trajectory_is_there_for_its_owner_alone(store: EventStore) -> None:
    await create(store, "ann")
    await create(store, "bob")
    assert (await store.get("tr_ann", owner="ann")).owner == "ann"
    assert (await store.get_of_any_owner("tr_ann")).owner == "ann"
    with pytest.raises(TrajectoryNotFound) as foreign:
        await store.get("tr_ann", owner="bob")
    with pytest.raises(TrajectoryNotFound) as unknown:
        await store.get("tr_eve", owner="bob")
    assert str(foreign.value).replace("ann", "eve") == str(unknown.value)


async def test_a_list_and_its_pages_are_an_owners(store: EventStore) -> None:
    for owner in ("ann", "bob"):
        await create(store, owner)
    for status in (None, "running"):
        assert [row.id for row in (await store.list(owner="ann", status=status)).rows] == ["tr_ann"]
    with pytest.raises(TrajectoryNotFound):
        await store.list(owner="ann", after="tr_bob")
    assert (await store.list(owner="ann", after="tr_ann")).rows == []


async def test_pages_of_an_owner_use_an_index(store: EventStore, other: Any) -> None:
    for query in (
        "SELECT * FROM trajectories WHERE owner = 'a' ORDER BY created_at DESC, id DESC LIMIT 20",
        "SELECT * FROM trajectories WHERE owner = 'a' AND status = 's' ORDER BY created_at DESC, id DESC LIMIT 20",
    ):
        plan = " ".join(row[-1] for row in other.execute(f"EXPLAIN QUERY PLAN {query}"))
        assert "SEARCH trajectories" in plan
        assert "TEMP B-TREE" not in plan


async def test_two_owners_may_use_the_same_idempotency_key(store: EventStore) -> None:
    key = RequestKey("ann", "/v1/trajectories", "k", "a" * 64)
    await create(store, "ann", key)
    await create(store, "bob", replace(key, owner="bob"))
    records = [await store.find_idempotency_record(replace(key, owner=owner)) for owner in ("ann", "bob")]
    assert [record and record.trajectory_id for record in records] == ["tr_ann", "tr_bob"]


async def test_two_owners_may_have_sources_of_one_name(store: EventStore) -> None:
    for owner in ("ann", "bob", SHARED):
        await store.put_tool_source(owner, "shop", {"of": owner})
    assert await store.delete_tool_source("ann", "shop") is True
    assert await store.list_tool_sources() == [(SHARED, "shop", {"of": SHARED}), ("bob", "shop", {"of": "bob"})]


async def test_an_act_is_recorded_with_its_commit_or_not_at_all(store: EventStore, other: Any) -> None:
    await create(store, "ann")
    with pytest.raises(SequenceConflict):
        await store.append("tr_ann", after=7, events=[NewEvent("e", {})], at=NOON, audit=ACT)
    assert await store.audit_log(limit=10) == []
    await store.append("tr_ann", after=1, events=[NewEvent("e", {})], at=NOON, audit=ACT)
    removal = replace(ACT, action="delete_source", object="shop", details={})
    registration = replace(removal, action="register_source")
    await store.put_tool_source("ann", "shop", {}, audit=registration)
    await store.delete_tool_source("ann", "shop", audit=removal)
    log = [AuditRow(**vars(act), id=number) for number, act in enumerate([ACT, registration, removal], start=1)]
    assert await store.audit_log(limit=10) == log[::-1]
    assert await store.audit_log(limit=1, after=3) == [log[1]]
    other.execute("UPDATE audit SET details = '?'")
    with pytest.raises(StoreDamaged, match="entry 3 of the audit log"):
        await store.audit_log(limit=10)
