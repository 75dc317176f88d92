"""Appends to the event log that do not give up: an outcome that happened is never dropped because the disk is full.

A failed append is repeated with growing pauses until it is in the log. What cannot be repeated away (somebody else
wrote, the payload has no JSON form) is raised at once.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial

from alpha_umi import telemetry
from alpha_umi.trajectory import FINAL, Event, Status, pack
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.store import (
    EventStore,
    IdempotencyKeyExists,
    NewEvent,
    NotStorable,
    RequestKey,
    SequenceConflict,
    StoredEvent,
    StoreError,
    TrajectoryNotFound,
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


class Journal:
    """Writes events of trajectories. `blocked` is how many appends wait for the store to come back."""

    def __init__(
        self, store: EventStore, metrics: OrchestratorMetrics, *, now: Callable[[], datetime] = utc_now
    ) -> None:
        self.now = now
        self.blocked = 0
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
    ) -> list[StoredEvent]:
        """The rows, once they are durable. `status` is what the trajectory has from now on; a final one ends it.

        `request` is the key of the request that brought the events. Raises `SequenceConflict`, `IdempotencyKeyExists`,
        `TrajectoryNotFound` or `NotStorable`. Waits while the store fails in any other way.
        """
        packed = [NewEvent(*pack(event)) for event in events]
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
        )
        try:
            rows = await write()
        except _FINAL:
            raise
        except StoreError as error:
            _log.error("log.append_failed", failures=1, reason=str(error))
            rows = await self._insist(write, trajectory_id, after, packed)
        self._metrics.commits.labels(outcome="ok").inc()
        return rows

    async def _insist(
        self, write: Write, trajectory_id: str, after: int, packed: Sequence[NewEvent]
    ) -> list[StoredEvent]:
        """Repeat a write that failed once."""
        self.blocked += 1
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
            self.blocked -= 1
        raise AssertionError("counting ended")

    async def _already_there(
        self, trajectory_id: str, after: int, packed: Sequence[NewEvent]
    ) -> list[StoredEvent] | None:
        rows = await self._store.events(trajectory_id, after=after)
        same = [(row.type, row.payload) for row in rows] == [(event.type, event.payload) for event in packed]
        return rows if same else None
