"""The event log of the orchestrator: the events of every trajectory, durable before they are published.

    async with open_store("sqlite:////var/lib/alpha-umi/log.db") as store:
        await store.create("tr_1", [NewEvent("trajectory.created", {...})], at=now, ...)

It knows rows, sequence numbers and commits. `alpha_umi.trajectory` knows what an event means.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from orchestrator.store.base import EventStore
from orchestrator.store.conversations import ConversationRow, Entry, StoredItem, entry_of
from orchestrator.store.errors import (
    IdempotencyKeyExists,
    NotStorable,
    SchemaUnsupported,
    SequenceConflict,
    StoreDamaged,
    StoreError,
    StoreInUse,
    StoreMisconfigured,
    StoreUnavailable,
    TrajectoryExists,
    TrajectoryNotFound,
    TrajectoryPruned,
)
from orchestrator.store.model import (
    SHARED,
    AuditEntry,
    AuditRow,
    IdempotencyRecord,
    LogEnd,
    NewEvent,
    Page,
    RequestKey,
    Snapshot,
    StoredEvent,
    ToolSourceRow,
    TrajectoryRow,
    TurnRecord,
    TurnRow,
    UsedRate,
)
from orchestrator.store.sqlite import SqliteEventStore

__all__ = [
    "SHARED",
    "AuditEntry",
    "AuditRow",
    "ConversationRow",
    "Entry",
    "EventStore",
    "IdempotencyKeyExists",
    "IdempotencyRecord",
    "LogEnd",
    "NewEvent",
    "NotStorable",
    "Page",
    "RequestKey",
    "SchemaUnsupported",
    "SequenceConflict",
    "Snapshot",
    "StoreDamaged",
    "StoreError",
    "StoreInUse",
    "StoreMisconfigured",
    "StoreUnavailable",
    "StoredEvent",
    "StoredItem",
    "ToolSourceRow",
    "TrajectoryExists",
    "TrajectoryNotFound",
    "TrajectoryPruned",
    "TrajectoryRow",
    "TurnRecord",
    "TurnRow",
    "UsedRate",
    "entry_of",
    "open_store",
]

BUSY_TIMEOUT_S = 5.0


@asynccontextmanager
async def open_store(url: str, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> AsyncIterator[EventStore]:
    """The store at the database URL, with its tables up to date; closed at the end of the block.

    It waits up to `busy_timeout_s` seconds for a lock of another program. Raises `StoreMisconfigured`, `StoreInUse`,
    `SchemaUnsupported`, `StoreDamaged` or `StoreUnavailable`, each with the remedy.
    """
    store = _store_of(url, busy_timeout_s)
    try:
        await store.start()
        yield store
    finally:
        await store.close()


def _store_of(url: str, busy_timeout_s: float) -> EventStore:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StoreMisconfigured("the database URL cannot be read: write sqlite:///path/of/the.db") from error
    if parsed.drivername not in ("sqlite", "sqlite+aiosqlite"):
        raise StoreMisconfigured(
            f"no event log on {parsed.drivername}: write sqlite:///path/of/the.db as the database URL"
        )
    return SqliteEventStore(parsed, busy_timeout_s=busy_timeout_s)
