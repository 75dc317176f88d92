"""Idempotency keys: committed with the result, unique per API key and route, and expiring."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pysqlite3 import dbapi2 as sqlite3

from orchestrator.store import (
    EventStore,
    IdempotencyKeyExists,
    IdempotencyRecord,
    NewEvent,
    RequestKey,
    SequenceConflict,
    open_store,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = RequestKey("anonymous", "/v1/trajectories", "k-1", "a" * 64)


async def create(store: EventStore, trajectory_id: str, key: RequestKey | None = KEY, at: datetime = NOON) -> None:
    event = NewEvent("trajectory.created", {})
    await store.create(trajectory_id, [event], at=at, instruction="?", tools=["add"], request=key)


async def test_a_key_says_what_its_request_did(store: EventStore) -> None:
    assert await store.find_idempotency_record(KEY) is None
    await create(store, "tr_1")
    assert await store.find_idempotency_record(KEY) == IdempotencyRecord("a" * 64, "tr_1", 1)
    of_append = replace(KEY, route="/v1/trajectories/tr_1/messages")
    await store.append("tr_1", after=1, events=[NewEvent("x", {})] * 2, at=NOON, request=of_append)
    assert await store.find_idempotency_record(of_append) == IdempotencyRecord("a" * 64, "tr_1", 2)


async def test_keys_are_apart_by_owner_route_and_text(store: EventStore) -> None:
    others = [replace(KEY, owner="b"), replace(KEY, route="/other"), replace(KEY, key="k-2")]
    await create(store, "tr_1")
    for other in others:
        assert await store.find_idempotency_record(other) is None
    for number, other in enumerate(others, start=2):
        await create(store, f"tr_{number}", other)
    assert [(await store.find_idempotency_record(other)) for other in others] == [
        IdempotencyRecord("a" * 64, f"tr_{number}", 1) for number in (2, 3, 4)
    ]


async def test_a_key_that_is_taken_refuses_the_write_whatever_its_body(store: EventStore) -> None:
    await create(store, "tr_1")
    for key in (KEY, replace(KEY, digest="b" * 64)):
        with pytest.raises(IdempotencyKeyExists):
            await create(store, "tr_2", key)
    assert [row.id for row in (await store.list(owner="default")).rows] == ["tr_1"]


async def test_of_many_at_once_one_is_written_and_others_are_unaffected(store: EventStore) -> None:
    writes = [create(store, f"tr_{number}", None if number % 2 else KEY) for number in range(20)]
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes[::2]] == [type(None), *[IdempotencyKeyExists] * 9]
    assert outcomes[1::2] == [None] * 10
    assert len((await store.list(owner="default", limit=100)).rows) == 11


async def test_a_write_that_is_refused_keeps_no_key(store: EventStore) -> None:
    await create(store, "tr_1", None)
    with pytest.raises(SequenceConflict):
        await store.append("tr_1", after=5, events=[NewEvent("x", {})], at=NOON, request=KEY)
    assert await store.find_idempotency_record(KEY) is None


async def test_keys_count_for_72_hours_and_are_then_removed(store: EventStore, other: sqlite3.Connection) -> None:
    await create(store, "tr_1")
    hours = 71.9
    store.observed_time.monotonic = lambda: time.monotonic() + hours * 3_600
    assert await store.find_idempotency_record(KEY) is not None
    hours = 72.1
    assert await store.find_idempotency_record(KEY) is None
    await create(store, "tr_2", replace(KEY, key="k-2"))
    assert other.execute("SELECT key FROM idempotency_keys").fetchall() == [("k-2",)]
    await create(store, "tr_3")
    assert (await store.find_idempotency_record(KEY)) == IdempotencyRecord("a" * 64, "tr_3", 1)


@pytest.mark.parametrize("jump", [timedelta(days=30), timedelta(hours=-1)])
async def test_a_jump_of_the_clock_expires_no_key(store: EventStore, jump: timedelta) -> None:
    await create(store, "tr_1")
    await create(store, "tr_2", replace(KEY, key="k-2"), at=NOON + jump)
    assert await store.find_idempotency_record(KEY) is not None
    assert await store.find_idempotency_record(replace(KEY, key="k-2")) is not None


async def test_a_jump_between_two_processes_expires_no_key(url: str, path: Path) -> None:
    async with open_store(url) as store:
        await create(store, "tr_1")
    with closing(sqlite3.connect(path)) as log, log:
        log.execute("UPDATE idempotency_keys SET at = '2020-01-01T00:00:00.000000+00:00'")
    async with open_store(url) as store:
        assert await store.find_idempotency_record(KEY) is not None
        await create(store, "tr_2", replace(KEY, key="k-2"))
        assert await store.find_idempotency_record(KEY) is not None


async def test_looking_up_and_removing_use_indexes(store: EventStore, other: Any) -> None:
    by_place = (
        "SELECT * FROM idempotency_keys WHERE (owner, route, key) IN (VALUES ('a','b','c'), ('d','e','f')) AND at > ''"
    )
    for statement in (by_place, "DELETE FROM idempotency_keys WHERE at < ''"):
        plan = " ".join(row[-1] for row in other.execute(f"EXPLAIN QUERY PLAN {statement}"))
        assert "SEARCH idempotency_keys" in plan
        assert "SCAN idempotency_keys" not in plan
