"""Conversion between events and rows of the event log, and a writer that retries appends until they succeed.

A full disk never loses an outcome: a failed append is repeated with exponential backoff. Errors that a retry cannot
solve (another writer, a payload without a JSON form) are raised at once.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from weakref import WeakKeyDictionary, WeakValueDictionary

from alpha_umi import telemetry
from alpha_umi.trajectory import (
    FINAL,
    Event,
    IllegalEvent,
    MessageAdded,
    State,
    Status,
    ToolObserved,
    TrajectoryCreated,
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
    Snapshot,
    StoreDamaged,
    StoredEvent,
    StoreError,
    TrajectoryNotFound,
    TrajectoryRow,
    TurnRecord,
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


def read_log(
    rows: Iterable[StoredEvent], state: State | None = None, *, shared: Callable[[int, State], State] | None = None
) -> Iterator[LoggedEvent]:
    """A log, or its rest from `state` on, row by row. Raises `StoreDamaged`, which names the row and the remedy.

    `shared` returns the state after a row that is in memory already, or the given one.
    """
    before = state or State()
    for row in rows:
        event = read_event(row)
        try:
            after = advance(before, event)
        except IllegalEvent as error:
            raise _damaged(row, error) from error
        after = after if shared is None else shared(row.seq, after)
        yield LoggedEvent(before, event, after, row.seq, row.at)
        before = after


async def stored_body(store: EventStore, trajectory_id: str, call_id: str) -> str:
    """The result of a call before it was shortened. Raises `StoreDamaged` and `StoreUnavailable`."""
    for row in await store.observations(trajectory_id, call_id):
        event = read_event(row)
        if isinstance(event, ToolObserved) and event.body is not None:
            return event.body
    raise StoreDamaged(f"trajectory {trajectory_id} lacks the result of call {call_id}: restore a backup")


# The states that somebody holds, by trajectory and row: those who read one log at a time hold its texts once.
_States = WeakValueDictionary[tuple[str, int], State]
_STATES: WeakKeyDictionary[EventStore, _States] = WeakKeyDictionary()

# Replaying this much takes a few milliseconds; then other requests get their turn.
PAGE_BYTES = 32 * 1024


async def read_stored_log(
    store: EventStore, trajectory: TrajectoryRow, state: State | None = None, *, after: int = 0
) -> AsyncIterator[LoggedEvent]:
    """The log up to the row's `last_seq`, or its rest from `state` after row `after` on, read page by page.

    Bodies of shortened results are left out. Raises `StoreDamaged` and `StoreUnavailable`.
    """
    states = _STATES.setdefault(store, WeakValueDictionary())
    events: deque[LoggedEvent] = deque()

    def shared(seq: int, state: State) -> State:
        return states.setdefault((trajectory.id, seq), state)

    while after < trajectory.last_seq:
        # All at once would hold the event loop for as many pages as there are readers.
        async with store.replays:
            page = await store.events(trajectory.id, after=after, max_bytes=PAGE_BYTES, bodies=False)
            damage = None if page else StoreDamaged(f"trajectory {trajectory.id} lacks the rows after {after}")
            try:
                events.extend(read_log(page, state, shared=shared))
            except StoreDamaged as error:
                damage = error
        del page
        while events:
            logged = events.popleft()
            if logged.seq > trajectory.last_seq:
                return
            yield logged
            after, state = logged.seq, logged.after
        if damage is not None:
            raise damage


@dataclass(frozen=True)
class ReplayedLog:
    """The state after a log, and number and time of its last row and of the first row of its newest turn."""

    state: State
    seq: int
    ended_at: datetime
    turn_seq: int
    turn_at: datetime


async def replay_stored_log(store: EventStore, trajectory: TrajectoryRow) -> ReplayedLog:
    """Replay a log. Raises `StoreDamaged` and `StoreUnavailable`."""
    state, seq, turn_seq = State(), 0, 0
    turn_at = ended_at = trajectory.created_at
    async for logged in read_stored_log(store, trajectory):
        state, seq, ended_at = logged.after, logged.seq, logged.at
        if isinstance(logged.event, TrajectoryCreated | MessageAdded):
            turn_seq, turn_at = logged.seq, logged.at
    return ReplayedLog(state, seq, ended_at, turn_seq, turn_at)


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
        self._newest_end = now()
        self._store = store
        self._metrics = metrics
        self._committed = metrics.commits.labels(outcome="ok")

    async def append(
        self,
        trajectory_id: str,
        *,
        after: int,
        events: Sequence[Event],
        status: Status | None = None,
        request: RequestKey | None = None,
        audit: AuditEntry | None = None,
        snapshot: Callable[[datetime], Snapshot | None] | None = None,
        turn: TurnRecord | None = None,
    ) -> list[StoredEvent]:
        """The rows, once they are durable. `status` is the new status of the trajectory; a final one ends it.

        `request` and `turn` are key and record of the request that caused the events, `audit` is the act for the audit
        log. `snapshot` makes that of a trajectory that ends, from the time of the rows. Waits while the store is
        unavailable. Raises `SequenceConflict`, `IdempotencyKeyExists`, `TrajectoryNotFound` or `NotStorable`.
        """
        packed = [new_event(event) for event in events]
        at = self.now()
        if status in FINAL:
            # Retention counts from here, so a clock that is set back must not make a new end look old.
            self._newest_end = max(at, self._newest_end)
        write = partial(
            self._store.append,
            trajectory_id,
            after=after,
            events=packed,
            at=at,
            status=status,
            finished_at=self._newest_end if status in FINAL else None,
            request=request,
            audit=audit,
            snapshot=None if snapshot is None else snapshot(at),
            turn=turn,
        )
        try:
            rows = await write()
        except _FINAL:
            raise
        except StoreError as error:
            _log.error("log.append_failed", failures=1, reason=str(error))
            rows = await self._retry_until_written(write, trajectory_id, after, packed)
        self._committed.inc()
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
