"""A database that fails temporarily: typed errors, no false acknowledgement, and the same store works afterwards."""

# ruff: noqa: ASYNC240 - the event loop has nothing else to do while a test looks at its files

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pysqlite3 import dbapi2 as sqlite3
from sqlalchemy.exc import DBAPIError

from orchestrator.store import SHARED, EventStore, NewEvent, StoreDamaged, StoreUnavailable, open_store

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVENT = NewEvent("planner.decided", {"thought": "I add."})
BIG = NewEvent("tool.observed", {"content": "x" * 200_000})


@pytest.fixture(params=["wal", "delete"])
def journal(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(path: Path, journal: str) -> str:
    return f"sqlite:///{path}?journal_mode={journal}"


@pytest.fixture
async def store(url: str) -> AsyncIterator[EventStore]:
    """A store that does not wait long for a lock, with one trajectory of one event."""
    async with open_store(url, busy_timeout_s=0.05) as store:
        await store.create("tr_1", [EVENT], at=NOON, instruction="Add.", tools=["add"])
        yield store


async def pragma(store: EventStore, text: str) -> int:
    """Set or ask for a pragma on the connection that writes. Returns what SQLite answers, 0 for nothing."""
    with store._writer.connect() as connection:
        result = connection.exec_driver_sql(f"PRAGMA {text}")
        return int(result.scalar_one()) if result.returns_rows else 0


async def works(store: EventStore) -> None:
    end = (await store.get("tr_1", owner="default")).last_seq
    await store.append("tr_1", after=end, events=[EVENT], at=NOON)
    assert [event.seq for event in await store.events("tr_1")] == list(range(1, end + 2))


async def test_a_full_disk_promises_nothing_and_passes(store: EventStore) -> None:
    await pragma(store, f"max_page_count = {await pragma(store, 'page_count')}")
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=r"SQLITE_FULL.*free space on the disk") as caught:
            await store.append("tr_1", after=1, events=[BIG], at=NOON, status="failed")
        assert isinstance(caught.value.__cause__, DBAPIError)
        assert isinstance(caught.value.__cause__.orig, sqlite3.OperationalError)
    assert len(await store.events("tr_1")) == 1
    assert (await store.get("tr_1", owner="default")).status == "running"
    await pragma(store, "max_page_count = 1000000")
    await store.append("tr_1", after=1, events=[BIG], at=NOON)
    await works(store)


async def test_a_full_disk_fails_every_write_of_the_batch(store: EventStore) -> None:
    for index in range(2, 12):
        await store.create(f"tr_{index}", [EVENT], at=NOON, instruction="Add.", tools=["add"])
    await pragma(store, f"max_page_count = {await pragma(store, 'page_count')}")
    appends = [store.append(f"tr_{index}", after=1, events=[BIG], at=NOON) for index in range(1, 12)]
    outcomes = await asyncio.gather(*appends, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}
    await pragma(store, "max_page_count = 1000000")
    for index in range(1, 12):
        assert len(await store.events(f"tr_{index}")) == 1
        await store.append(f"tr_{index}", after=1, events=[BIG], at=NOON)


async def test_a_full_disk_refuses_a_creation_completely(store: EventStore) -> None:
    await pragma(store, f"max_page_count = {await pragma(store, 'page_count')}")
    with pytest.raises(StoreUnavailable):
        await store.create("tr_2", [EVENT, BIG], at=NOON, instruction="Add.", tools=["add"])
    assert [row.id for row in (await store.list(owner="default")).rows] == ["tr_1"]
    assert await store.events("tr_2") == []


async def test_a_lock_of_another_program_passes(store: EventStore, path: Path, journal: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreUnavailable, match=r"SQLITE_BUSY.*close the other program"):
            await store.append("tr_1", after=1, events=[EVENT], at=NOON)
        if journal == "delete":
            with pytest.raises(StoreUnavailable, match="SQLITE_BUSY"):
                await store.events("tr_1")
        else:
            assert len(await store.events("tr_1")) == 1
        with pytest.raises(StoreUnavailable, match="SQLITE_BUSY"):
            await store.put_tool_source(SHARED, "weather", {})
        other.execute("ROLLBACK")
        await works(store)


@pytest.mark.parametrize("journal", ["delete"], indirect=True)
async def test_a_reader_that_holds_up_the_commit_leaves_nothing_half_written(store: EventStore, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM events").fetchall()
        with pytest.raises(StoreUnavailable, match="SQLITE_BUSY"):
            await store.append("tr_1", after=1, events=[EVENT], at=NOON)
        other.execute("ROLLBACK")
        assert len(await store.events("tr_1")) == 1
        await works(store)


@pytest.mark.parametrize("journal", ["wal"], indirect=True)
async def test_a_reader_does_not_hold_up_the_commit(store: EventStore, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM events").fetchall()
        await works(store)


async def test_a_read_only_connection_is_replaced(store: EventStore) -> None:
    await pragma(store, "query_only = ON")
    with pytest.raises(StoreUnavailable, match=r"SQLITE_READONLY.*writable"):
        await store.append("tr_1", after=1, events=[EVENT], at=NOON)
    await works(store)


async def test_a_folder_that_went_away_and_came_back(store: EventStore, path: Path) -> None:
    path.parent.rename(away := path.parent.with_name("away"))
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await store.append("tr_1", after=1, events=[EVENT], at=NOON)
    assert not path.exists()
    away.rename(path.parent)
    await works(store)


async def test_a_file_that_went_away_is_not_replaced_by_an_empty_one(store: EventStore, path: Path) -> None:
    path.rename(away := path.with_name("away.db"))
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await store.append("tr_1", after=1, events=[EVENT], at=NOON)
    assert not path.exists()
    away.rename(path)
    await works(store)


async def test_a_database_replaced_while_open_is_not_written_to(store: EventStore, path: Path) -> None:
    path.rename(away := path.with_name("away.db"))
    path.write_bytes(before := b"another database" * 4096)
    with pytest.raises(StoreUnavailable, match=r"log\.db was moved, removed or replaced"):
        await store.append("tr_1", after=1, events=[EVENT], at=NOON)
    assert path.read_bytes() == before
    away.rename(path)
    await works(store)


@pytest.mark.parametrize("journal", ["delete"], indirect=True)
async def test_a_database_overwritten_while_open_is_damage_and_no_crash(store: EventStore, path: Path) -> None:
    path.write_bytes(b"no database" * 4096)
    with pytest.raises(StoreDamaged, match="restore it from a backup"):
        await store.append("tr_1", after=1, events=[EVENT], at=NOON)


async def test_errors_do_not_repeat_texts_of_users(store: EventStore) -> None:
    await pragma(store, f"max_page_count = {await pragma(store, 'page_count')}")
    secret = NewEvent("tool.observed", {"content": "canary" * 40_000})
    with pytest.raises(StoreUnavailable) as caught:
        await store.append("tr_1", after=1, events=[secret], at=NOON)
    assert "canary" not in f"{caught.value} {caught.value.__cause__}"
