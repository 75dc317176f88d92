"""Fixtures: a store on a real SQLite file, and helpers that write to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pysqlite3 import dbapi2 as sqlite3

from orchestrator.store import EventStore, NewEvent, TrajectoryRow, open_store

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

Create = Callable[..., Awaitable[TrajectoryRow]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "log.db"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


@pytest.fixture
async def store(url: str) -> AsyncIterator[EventStore]:
    async with open_store(url) as store:
        yield store


@pytest.fixture
def create(store: EventStore) -> Create:
    """Creates a trajectory with one event; `minute` places it in time."""

    async def create(trajectory_id: str, *, minute: int = 0, status: str = "running") -> TrajectoryRow:
        return await store.create(
            trajectory_id,
            [NewEvent("trajectory.created", {"instruction": "Add 2 and 2."})],
            at=NOON + timedelta(minutes=minute),
            instruction="Add 2 and 2.",
            tools=["add"],
            status=status,
        )

    return create


@pytest.fixture
def other(store: EventStore, path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of another program to the same file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection
