"""Deletion of old trajectories: regularly after a retention period, or by a request of the operator or the owner.

A trajectory is exported before it is deleted, if there is a folder for it. A crash between the two exports it again.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

from alpha_umi import telemetry
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.store import AuditEntry, EventStore, StoreError, TrajectoryRow
from orchestrator.store.observed_time import ObservedTime

# Of one transaction, so that other writes wait for a few milliseconds.
BATCH = 50
EVERY_S = 60.0
# How long a deleted trajectory is answered with 410 instead of 404: at least so long, else for the retention period.
MIN_REMEMBERED = timedelta(hours=1)
OWNER_ONLY = 0o600

_log = telemetry.logger(__name__)


class ExportFailed(Exception):
    """A trajectory could not be exported, and was not deleted. The message names the file."""


@dataclass(frozen=True)
class Selection:
    """Trajectories that ended before a time; of one owner, or of all (None); with one of these statuses, or any."""

    before: datetime
    owner: str | None = None
    statuses: Collection[str] = ()


class Retention:
    """Deletes trajectories `after` they have ended, every minute; None: only on request.

    `sets_in_use` are the digests of the tool sets that are in memory. `export` is the folder of exports. `now` is
    the wall clock. A jump of it deletes nothing: age is counted from the newest end in the log by the monotonic clock.
    """

    def __init__(
        self,
        store: EventStore,
        *,
        after: timedelta | None,
        export: Path | None,
        sets_in_use: Callable[[], Collection[str]],
        now: Callable[[], datetime],
        metrics: OrchestratorMetrics,
    ) -> None:
        self._store = store
        self._after = after
        self._export = export
        self._sets_in_use = sets_in_use
        self._now = now
        self._metrics = metrics

    async def run(self) -> None:
        """Delete what is old, for ever. Does nothing without a retention period."""
        time = ObservedTime()
        begun = False
        while self._after is not None:
            try:
                if not begun:
                    time.begin(min(self._now(), await self._store.newest_end() or self._now()))
                    begun = True
                while await self.prune(Selection(time.now() - self._after)):
                    pass
                await self._store.forget_pruned(time.now() - max(self._after, MIN_REMEMBERED))
            except (StoreError, ExportFailed) as error:
                _log.error("retention.failed", reason=str(error))
            await asyncio.sleep(EVERY_S)

    async def prune(self, selection: Selection, *, audit: AuditEntry | None = None, limit: int = BATCH) -> int:
        """Delete a batch of at most `limit` trajectories; their number. Raises `StoreError` and `ExportFailed`."""
        rows = await self._store.finished_before(
            selection.before, owner=selection.owner, statuses=selection.statuses, limit=limit
        )
        return await self.delete(rows, audit=audit, exports=True) if rows else 0

    async def delete(self, rows: Sequence[TrajectoryRow], *, audit: AuditEntry | None, exports: bool = False) -> int:
        """Delete trajectories that have ended and have not changed since their rows were read; their number."""
        if exports and self._export is not None:
            for row in rows:
                await self._append_export(self._export, row)
        deleted = await self._store.delete(rows, at=self._now(), sets_in_use=self._sets_in_use, audit=audit)
        self._metrics.pruned.inc(len(deleted))
        if deleted:
            _log.info("trajectories.pruned", number=len(deleted))
        return len(deleted)

    async def _append_export(self, folder: Path, row: TrajectoryRow) -> None:
        events = await self._store.events(row.id)
        path = folder / f"trajectories-{self._now():%Y-%m-%d}.jsonl"

        def append() -> None:
            line = json.dumps({"trajectory": asdict(row), "events": [asdict(event) for event in events]}, default=str)
            with open(path, "a", encoding="utf-8", opener=_private) as file:
                file.write(line + "\n")
                file.flush()
                os.fsync(file.fileno())

        try:
            await asyncio.to_thread(append)
        except OSError as error:
            raise ExportFailed(f"{path} cannot be written ({error.strerror}); nothing was deleted") from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, OWNER_ONLY)
