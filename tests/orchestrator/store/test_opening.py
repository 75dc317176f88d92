"""Opening a database: tables that are created, files that are refused, and the messages."""

# ruff: noqa: ASYNC240 - the event loop has nothing else to do while a test looks at its files

from __future__ import annotations

import fcntl
import stat
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pysqlite3 import dbapi2 as sqlite3

from orchestrator.store import (
    EventStore,
    NewEvent,
    SchemaUnsupported,
    StoreDamaged,
    StoreInUse,
    StoreMisconfigured,
    StoreUnavailable,
    open_store,
)
from orchestrator.store.migrations import MIGRATIONS

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def opens(url: str) -> None:
    async with open_store(url, busy_timeout_s=0.05):
        pass


def run(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_folder_and_file_are_private(url: str, path: Path) -> None:
    await opens(url)
    assert mode(path.parent) == 0o700
    assert {entry.name: mode(entry) for entry in path.parent.iterdir()} == {"log.db": 0o600}


@pytest.mark.parametrize("journal", ["wal", "delete"])
async def test_the_journal_is_the_configured_one_and_synced(url: str, journal: str) -> None:
    async with open_store(f"{url}?journal_mode={journal}") as store:
        assert store.journal == journal
        with store._writer.connect() as connection:
            result = [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                for name in ("journal_mode", "synchronous", "foreign_keys")
            ]
    assert result == [journal, 3, 1]


async def test_the_journal_is_a_write_ahead_log_that_is_gone_after_closing(url: str, path: Path) -> None:
    async with open_store(url) as store:
        assert store.journal == "wal"
        await store.create("tr_1", [NewEvent("x", {})], at=NOON, instruction="Add.", tools=["add"])
        assert mode(path.with_name("log.db-wal")) == 0o600
    assert not path.with_name("log.db-wal").exists()


@pytest.mark.parametrize(("before", "after"), [("WAL", "delete"), ("DELETE", "wal")])
async def test_a_database_changes_to_the_configured_journal(url: str, path: Path, before: str, after: str) -> None:
    await opens(url)
    run(path, f"PRAGMA journal_mode = {before}")
    async with open_store(f"{url}?journal_mode={after}") as store:
        assert await store.unfinished() == []
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == (after,)


async def test_a_sqlite_with_the_race_of_write_ahead_logging_is_refused(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 2))
    with pytest.raises(StoreMisconfigured, match=r"brings 3\.51\.3 or newer, or add \?journal_mode=delete"):
        await opens(url)
    await opens(f"{url}?journal_mode=delete")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "cannot be read"),
        ("/var/lib/log.db", "cannot be read"),
        ("mysql://user:hunter2@db/log", "no event log on mysql"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:///file:log.db?uri=true", "journal_mode|names no file"),
        ("sqlite:///log.db?mode=ro", "only option"),
        ("sqlite:///log.db?journal_mode=off", "journal_mode, which is delete or wal"),
    ],
)
async def test_an_unusable_url_is_refused_without_its_password(url: str, says: str) -> None:
    with pytest.raises(StoreMisconfigured, match=says) as caught:
        await opens(url)
    assert "hunter2" not in str(caught.value)


async def test_a_path_of_any_characters(tmp_path: Path) -> None:
    path = tmp_path / "a b" / "50% #1 ü.db"
    await opens(f"sqlite:///{path}")
    assert path.stat().st_size > 0


async def test_a_path_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(StoreUnavailable, match=r"taken/log\.db cannot be opened .*make its folder writable"):
        await opens(f"sqlite:///{tmp_path}/taken/log.db")


async def test_a_path_that_is_a_folder_is_named_and_not_held(url: str, path: Path) -> None:
    path.mkdir(parents=True)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=r"log\.db cannot be opened"):
            await opens(url)


async def test_one_process_cannot_open_a_database_twice(store: EventStore, url: str, path: Path) -> None:
    with pytest.raises(StoreInUse, match=r"log\.db is in use by another orchestrator .*stop that one"):
        await opens(url)
    (link := path.with_name("link.db")).symlink_to(path)
    (hard := path.with_name("hard.db")).hardlink_to(path)
    for other in (link, hard):
        with pytest.raises(StoreInUse):
            await opens(f"sqlite:///{other}")


async def test_an_orchestrator_of_an_earlier_version_is_noticed(url: str, path: Path) -> None:
    path.parent.mkdir()
    with path.with_name("log.db.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StoreInUse):
            await opens(url)
    await opens(url)


async def test_a_database_is_free_again_after_a_refusal_and_after_closing(url: str, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(StoreDamaged, match=r"no SQLite database.*move it away"):
        await opens(url)
    path.unlink()
    await opens(url)
    await opens(url)


async def test_a_newer_schema_is_refused_and_left_alone(url: str, path: Path) -> None:
    await opens(url)
    run(path, "INSERT INTO schema_version VALUES (99)")
    before = path.read_bytes()
    with pytest.raises(SchemaUnsupported, match=r"schema version 99, this program knows up to .*newer"):
        await opens(url)
    assert path.read_bytes() == before


async def test_a_database_of_another_program_is_refused_and_left_alone(url: str, path: Path) -> None:
    path.parent.mkdir()
    run(path, "CREATE TABLE recipes (name TEXT)")
    before = path.read_bytes()
    with pytest.raises(SchemaUnsupported, match="tables of another program"):
        await opens(url)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "statement", ["DROP TABLE tool_sources", "ALTER TABLE trajectories RENAME COLUMN metadata TO notes"]
)
async def test_tables_that_lost_something_are_named(url: str, path: Path, statement: str) -> None:
    await opens(url)
    run(path, statement)
    with pytest.raises(StoreDamaged, match=r"lacks .*restore"):
        await opens(url)


async def test_migrations_run_once_and_keep_what_is_there(url: str, path: Path) -> None:
    async with open_store(url) as store:
        await store.create("tr_1", [NewEvent("x", {})], at=NOON, instruction="Add.", tools=["add"])
    async with open_store(url) as store:
        assert await store.unfinished() == ["tr_1"]
    with closing(sqlite3.connect(path)) as connection:
        versions = connection.execute("SELECT version FROM schema_version").fetchall()
    assert versions == [(number,) for number in range(1, len(MIGRATIONS) + 1)]


async def test_a_database_locked_at_the_start_is_reported_and_can_be_opened_later(url: str, path: Path) -> None:
    await opens(url)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreUnavailable, match="SQLITE_BUSY"):
            await opens(url)
    await opens(url)
