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
from typing import BinaryIO

from alpha_umi import telemetry
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.store import AuditEntry, EventStore, StoredEvent, StoreError, TrajectoryRow
from orchestrator.store.observed_time import ObservedTime

# Of one transaction, so that other writes wait for a few milliseconds.
BATCH = 50
EVERY_S = 60.0
# How long a deleted trajectory is answered with 410 instead of 404: at least so long, else for the retention period.
MIN_REMEMBERED = timedelta(hours=1)
OWNER_ONLY = 0o600
# Of an exported log that is in memory at a time, and of a file that is searched for its last complete line at a time.
PAGE_BYTES = 2**20
SEARCHED_BYTES = 64 * 2**10

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
    the wall clock. A jump of it deletes nothing: regularly, age is counted from the newest end in the log by the
    monotonic clock, and on request from the start of the process.
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
        self._exporting = asyncio.Lock()
        self._time = ObservedTime()
        self._time.begin(now())

    def ended_before(self, age: timedelta) -> datetime:
        """The time before which trajectories of this age have ended."""
        return min(self._now(), self._time.now()) - age

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
        deleted = await self._store.delete(rows, at=self._time.now(), sets_in_use=self._sets_in_use, audit=audit)
        self._metrics.pruned.inc(len(deleted))
        if deleted:
            _log.info("trajectories.pruned", number=len(deleted))
        return len(deleted)

    async def _append_export(self, folder: Path, row: TrajectoryRow) -> None:
        path = folder / f"trajectories-{self._now():%Y-%m-%d}.jsonl"
        try:
            async with self._exporting:
                with await asyncio.to_thread(_open_lines, path) as file:
                    await self._write_line(file, row)
        except OSError as error:
            raise ExportFailed(f"{path} cannot be written ({error.strerror}); nothing was deleted") from error

    async def _write_line(self, file: BinaryIO, row: TrajectoryRow) -> None:
        """Write a trajectory with its events, page by page, and sync it."""
        head = json.dumps({"trajectory": asdict(row), "events": []}, default=str).removesuffix("]}")
        await asyncio.to_thread(file.write, head.encode())
        seq = 0
        while page := await self._store.events(row.id, after=seq, max_bytes=PAGE_BYTES):
            await asyncio.to_thread(_write_events, file, page, first=not seq)
            seq = page[-1].seq
        await asyncio.to_thread(_end_line, file)


def _open_lines(path: Path) -> BinaryIO:
    """The file at the end of its last complete line. A crash or a full disk may have cut another one."""
    file = open(path, "ab+", opener=_private)  # noqa: SIM115
    end = file.tell()
    while end:
        start = max(0, end - SEARCHED_BYTES)
        file.seek(start)
        if (newline := file.read(end - start).rfind(b"\n")) >= 0:
            end = start + newline + 1
            break
        end = start
    file.truncate(end)
    return file


def _write_events(file: BinaryIO, events: Sequence[StoredEvent], *, first: bool) -> None:
    text = json.dumps([asdict(event) for event in events], default=str)
    file.write(f"{'' if first else ', '}{text[1:-1]}".encode())


def _end_line(file: BinaryIO) -> None:
    file.write(b"]}\n")
    file.flush()
    os.fsync(file.fileno())


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, OWNER_ONLY)
