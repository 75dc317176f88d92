"""Conversion between events and rows of the event log, and a writer that retries appends until they succeed.

A full disk never loses an outcome: a failed append is repeated with exponential backoff. Errors that a retry cannot
solve (another writer, a payload without a JSON form) are raised at once.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from alpha_umi import telemetry
from alpha_umi.trajectory import (
    FINAL,
    Event,
    IllegalEvent,
    State,
    Status,
    Transition,
    UnknownEvent,
    advance,
    dump_event,
    parse_event,
)
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.store import (
    AuditEntry,
    EventStore,
    IdempotencyKeyExists,
    NewEvent,
    NotStorable,
    RequestKey,
    SequenceConflict,
    StoreDamaged,
    StoredEvent,
    StoreError,
    TrajectoryNotFound,
)


@dataclass(frozen=True)
class LoggedEvent(Transition):
    """An event in the log, with the states before and after it, its number and its time (UTC)."""

    seq: int
    at: datetime


def new_event(event: Event) -> NewEvent:
    """The event as a row."""
    payload = dump_event(event)
    return NewEvent(payload.pop("type"), payload)


def read_event(row: StoredEvent) -> Event:
    """The event of a row. Raises `StoreDamaged`, which names the row and the remedy."""
    try:
        return parse_event({**row.payload, "type": row.type})
    except UnknownEvent as error:
        raise _damaged(row, error) from error


def read_log(rows: Iterable[StoredEvent], state: State | None = None) -> Iterator[LoggedEvent]:
    """A log, or its rest from `state` on, row by row. Raises `StoreDamaged`, which names the row and the remedy."""
    before = state or State()
    for row in rows:
        event = read_event(row)
        try:
            after = advance(before, event)
        except IllegalEvent as error:
            raise _damaged(row, error) from error
        yield LoggedEvent(before, event, after, row.seq, row.at)
        before = after


def state_of(log: Iterable[LoggedEvent]) -> State:
    """The state after a log."""
    state = State()
    for logged in log:
        state = logged.after
    return state


def _damaged(row: StoredEvent, error: Exception) -> StoreDamaged:
    return StoreDamaged(
        f"row {row.seq} of trajectory {row.trajectory_id} cannot be read: {error}. "
        "Run the version that wrote it, or a newer one, or restore the database from a backup"
    )


FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0

Write = Callable[[], Awaitable[list[StoredEvent]]]

# Repeating the append would not help.
_FINAL = (SequenceConflict, IdempotencyKeyExists, TrajectoryNotFound, NotStorable)

_log = telemetry.logger(__name__)


def utc_now() -> datetime:
    """The wall clock, for the log's times."""
    return datetime.now(UTC)


class LogWriter:
    """Appends events to the log. `pending_appends` is the number of appends that wait for the store."""

    def __init__(
        self, store: EventStore, metrics: OrchestratorMetrics, *, now: Callable[[], datetime] = utc_now
    ) -> None:
        self.now = now
        self.pending_appends = 0
        self._store = store
        self._metrics = metrics

    async def append(
        self,
        trajectory_id: str,
        *,
        after: int,
        events: Sequence[Event],
        status: Status | None = None,
        request: RequestKey | None = None,
        audit: AuditEntry | None = None,
    ) -> list[StoredEvent]:
        """The rows, once they are durable. `status` is the new status of the trajectory; a final one ends it.

        `request` is the idempotency key of the request that caused the events, `audit` the act for the audit log. Waits
        while the store is unavailable.
        Raises `SequenceConflict`, `IdempotencyKeyExists`, `TrajectoryNotFound` or `NotStorable`.
        """
        packed = [new_event(event) for event in events]
        at = self.now()
        write = partial(
            self._store.append,
            trajectory_id,
            after=after,
            events=packed,
            at=at,
            status=status,
            finished_at=at if status in FINAL else None,
            request=request,
            audit=audit,
        )
        try:
            rows = await write()
        except _FINAL:
            raise
        except StoreError as error:
            _log.error("log.append_failed", failures=1, reason=str(error))
            rows = await self._retry_until_written(write, trajectory_id, after, packed)
        self._metrics.commits.labels(outcome="ok").inc()
        return rows

    async def _retry_until_written(
        self, write: Write, trajectory_id: str, after: int, packed: Sequence[NewEvent]
    ) -> list[StoredEvent]:
        """Repeat a write that failed once."""
        self.pending_appends += 1
        try:
            for failures in itertools.count(1):
                self._metrics.commits.labels(outcome="failed").inc()
                await asyncio.sleep(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(failures, 10)))
                try:
                    return await write()
                except SequenceConflict:
                    # After an I/O error the rows may have gone in although the append failed.
                    if ours := await self._already_there(trajectory_id, after, packed):
                        return ours
                    raise
                except _FINAL:
                    raise
                except StoreError as error:
                    _log.error("log.append_failed", failures=failures + 1, reason=str(error))
        finally:
            self.pending_appends -= 1
        raise AssertionError("counting ended")

    async def _already_there(
        self, trajectory_id: str, after: int, packed: Sequence[NewEvent]
    ) -> list[StoredEvent] | None:
        rows = await self._store.events(trajectory_id, after=after)
        same = [(row.type, row.payload) for row in rows] == [(event.type, event.payload) for event in packed]
        return rows if same else None
