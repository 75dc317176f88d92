"""Shows trajectories: from a run, from the snapshot of one that has ended, or from a replay of the log."""

from __future__ import annotations

import asyncio
import json
from typing import Final, cast

from alpha_umi import telemetry
from alpha_umi.contract.trajectories import MessageModel, TokenUsage, TrajectoryError, TrajectorySummary
from alpha_umi.trajectory import Phase, Status
from orchestrator.log import replay_stored_log
from orchestrator.runs.manager import Run, RunManager
from orchestrator.runs.snapshots import VERSION, TrajectoryText, snapshot_of, text_of
from orchestrator.store import EventStore, Page, Snapshot, StoreDamaged, StoreError, TrajectoryRow

# Of one page of a list; the item that exceeds it is its last one.
MAX_PAGE_BYTES: Final = 4 * 2**20

_log = telemetry.logger(__name__)


class TrajectoryViews:
    """The JSON texts of trajectories, driven here or not."""

    def __init__(self, store: EventStore, runs: RunManager) -> None:
        self._store = store
        self._runs = runs

    async def read(self, row: TrajectoryRow, *, steps: bool = True) -> TrajectoryText:
        """One trajectory; if its log cannot be read, only the fields of the row. Raises `StoreError`."""
        if (run := self._runs.find(row.id, owner=row.owner)) is not None:
            return driven_text(run, steps=steps)
        snapshot = await self._store.snapshot(row.id, owner=row.owner, version=VERSION, steps=steps)
        if snapshot is not None:
            return TrajectoryText(snapshot.summary, snapshot.steps)
        try:
            log = await replay_stored_log(self._store, row)
        except StoreDamaged as error:
            _log.error("log.unreadable", trajectory_id=row.id, reason=str(error))
            summary = _without_log(row, f"the log of this trajectory cannot be read: {error}")
            return TrajectoryText(summary.model_dump_json(), "[]" if steps else None)
        if log.state.phase is not Phase.FINISHED:
            return text_of(row, log.state, finished_at=None, steps=steps)
        made = snapshot_of(row, log.state, seq=log.seq, finished_at=log.ended_at)
        await self._add(made)
        return TrajectoryText(made.summary, made.steps if steps else None)

    async def page(self, page: Page, *, steps: bool) -> str:
        """The JSON text of a page, which ends early when it has 4 MiB. Raises `StoreError`."""
        items: list[str] = []
        size = 0
        for row in page.rows:
            if size > MAX_PAGE_BYTES:
                break
            items.append((await self.read(row, steps=steps)).document())
            size += len(items[-1])
            # Rendering a run's state does not wait for anything.
            await asyncio.sleep(0)
        has_more = json.dumps(page.has_more or len(items) < len(page.rows))
        return f'{{"object":"list","data":[{",".join(items)}],"has_more":{has_more}}}'

    async def _add(self, snapshot: Snapshot) -> None:
        """Store the snapshot for the next reader. It can be made again."""
        try:
            await self._store.put_snapshots([snapshot])
        except StoreError as error:
            _log.warning("snapshot.not_stored", trajectory_id=snapshot.trajectory_id, reason=str(error))


def driven_text(run: Run, *, steps: bool = True) -> TrajectoryText:
    """A trajectory that is driven here, or whose run has just ended."""
    if run.finished and (ended := run.driver.snapshot) is not None:
        return TrajectoryText(ended.summary, ended.steps if steps else None)
    outage = run.driver.outage
    return text_of(
        run.row,
        run.driver.state,
        finished_at=run.driver.ended_at,
        steps=steps,
        waiting_for=None if outage is None else outage.role,
    )


def _without_log(row: TrajectoryRow, reason: str) -> TrajectorySummary:
    return TrajectorySummary(
        id=row.id,
        status=cast(Status, row.status),
        instruction=row.instruction,
        tools=list(row.tools),
        strategy=row.strategy,
        messages=[MessageModel(role="user", content=row.instruction)],
        answer=None,
        error=TrajectoryError(code="log_unreadable", detail=reason),
        usage=TokenUsage(prompt_tokens=0, completion_tokens=0),
        metadata=row.metadata,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
