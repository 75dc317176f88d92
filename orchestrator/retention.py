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
from typing import BinaryIO, NamedTuple

from alpha_umi import telemetry
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.store import (
    AuditEntry,
    EventStore,
    LogEnd,
    StoreDamaged,
    StoredEvent,
    StoreError,
    TrajectoryNotFound,
    TrajectoryRow,
)
from orchestrator.store.observed_time import ObservedTime

# Of one transaction, so that other writes wait for a few milliseconds.
BATCH = 50
EVERY_S = 60.0
PRUNED_ACT = "trajectories.pruned"
# Logs that cannot be read, in one round: more of them are not a few damaged rows.
MAX_UNREADABLE = 100
# How long a deleted trajectory is answered with 410 instead of 404: at least so long, else for the retention period.
MIN_REMEMBERED = timedelta(hours=1)
OWNER_ONLY = 0o600
# Of an exported log that is in memory at a time, and of a file that is searched for its last complete line at a time.
PAGE_BYTES = 2**20
SEARCHED_BYTES = 64 * 2**10

_log = telemetry.logger(__name__)


class Batch(NamedTuple):
    """Trajectories that were deleted, whether there may be more, and ids of those that cannot be exported."""

    deleted: int
    has_more: bool
    unreadable: Sequence[str]


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
                await self._delete_old(Selection(time.now() - self._after))
                await self._store.delete_unused_conversations(time.now() - self._after)
                await self._store.forget_pruned(time.now() - max(self._after, MIN_REMEMBERED))
            except (StoreError, ExportFailed) as error:
                _log.error("retention.failed", reason=str(error))
            await asyncio.sleep(EVERY_S)

    async def _delete_old(self, selection: Selection) -> None:
        """Delete what is old, and record it as one act. Raises `StoreError` and `ExportFailed`."""
        deleted, unreadable, has_more = 0, list[str](), True
        failure: Exception | None = None
        try:
            while has_more:
                batch = await self.prune(selection, but=unreadable)
                has_more = batch.has_more
                deleted += batch.deleted
                unreadable += batch.unreadable
        except (StoreError, ExportFailed) as error:
            failure = error
        if deleted:
            details = {"deleted": deleted, "ended_before": selection.before.isoformat()}
            await self._store.record_act(AuditEntry(self._now(), "", "", PRUNED_ACT, "trajectories", details))
        if failure is not None:
            raise failure

    async def prune(self, selection: Selection, *, but: Sequence[str] = (), audit: AuditEntry | None = None) -> Batch:
        """Delete a batch of at most `BATCH` trajectories, without those in `but`.

        What cannot be exported stays, and others take its place. Raises `StoreError` and `ExportFailed`.
        """
        unreadable: list[str] = []
        while True:
            ends = await self._store.finished_before(
                selection.before,
                owner=selection.owner,
                statuses=selection.statuses,
                but=[*but, *unreadable],
                limit=BATCH,
            )
            exported = ends if self._export is None else await self._exported(self._export, ends, unreadable)
            has_more = len(ends) == BATCH
            if len(but) + len(unreadable) > MAX_UNREADABLE:
                raise StoreDamaged(f"more than {MAX_UNREADABLE} logs cannot be read: restore a backup")
            if exported or not has_more:
                return Batch(await self.delete(exported, audit=audit) if exported else 0, has_more, unreadable)

    async def delete(
        self, rows: Sequence[TrajectoryRow | LogEnd], *, audit: AuditEntry | None, remembers: bool = True
    ) -> int:
        """Delete trajectories that have ended and have not changed since their rows were read; their number.

        `remembers`: their ids are answered with 410 for a time.
        """
        deleted = await self._store.delete(
            rows, at=self._time.now(), sets_in_use=self._sets_in_use, audit=audit, remembers=remembers
        )
        self._metrics.pruned.inc(len(deleted))
        if deleted:
            _log.info("trajectories.pruned", number=len(deleted))
        return len(deleted)

    async def _exported(self, folder: Path, ends: Sequence[LogEnd], unreadable: list[str]) -> list[LogEnd]:
        """Export trajectories; those that are exported. Adds to `unreadable`. Raises `StoreError`, `ExportFailed`."""
        exported = []
        for end in ends:
            try:
                await self._append_export(folder, await self._store.get_of_any_owner(end.id))
                exported.append(end)
            except StoreDamaged as error:
                _log.error("retention.unreadable", trajectory_id=end.id, reason=str(error))
                unreadable.append(end.id)
            except TrajectoryNotFound:
                # Somebody else has deleted it.
                continue
        return exported

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
