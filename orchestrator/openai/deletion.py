"""Deletion of responses: on request, and of those with `store: false` once they have ended.

A trajectory goes with its last response. Those that nobody stores are searched in the database, so that a crash leaves
none behind.
"""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

from alpha_umi import telemetry
from alpha_umi.contract.problems import ServiceError
from orchestrator.retention import Retention
from orchestrator.runs.manager import RunManager
from orchestrator.store import AuditEntry, EventStore, StoreError, TrajectoryNotFound, TrajectoryPruned, TurnRow

EVERY_S = 5.0
# A trajectory that goes on while it is being deleted is cancelled again.
_ATTEMPTS = 5

_log = telemetry.logger(__name__)


class ResponseDeletion:
    """Deletes responses of all owners."""

    def __init__(self, store: EventStore, runs: RunManager, retention: Retention) -> None:
        self._store = store
        self._runs = runs
        self._retention = retention
        self._held: WeakKeyDictionary[object, str] = WeakKeyDictionary()

    def hold(self, trajectory_id: str, holder: object) -> None:
        """Delete a trajectory that is not stored no earlier than `holder` is gone, which answers its request."""
        self._held[holder] = trajectory_id

    async def run(self) -> None:
        """Delete what is not stored and has ended, for ever."""
        while True:
            try:
                await self.delete_unstored()
            except (StoreError, ServiceError) as error:
                _log.error("responses.not_deleted", reason=str(error))
            await asyncio.sleep(EVERY_S)

    async def delete_unstored(self) -> None:
        """Delete the trajectories of ended responses with `store: false`. Raises `StoreError` and `ServiceError`."""
        unstored = await self._store.unstored(but=set(self._held.values()))
        # One that was begun while they were read is held by now.
        held = set(self._held.values())
        rows = [row for row in unstored if row.id not in held]
        ended = [row for row in rows if row.finished_at is not None]
        if ended:
            # Nothing stays of them, not even that they were deleted.
            await self._retention.delete(ended, audit=None, remembers=False)
        for row in rows:
            if row.finished_at is None:
                # It waits for a client that has had its answer. The next round deletes it.
                await self._cancel(row.id, row.owner, "the response was not stored")

    async def delete(self, turn: TurnRow, *, audit: AuditEntry) -> None:
        """Delete a response, which is cancelled if it runs. Raises `ServiceError` and `StoreError`."""
        turns = await self._store.turns(turn.trajectory_id, owner=turn.owner)
        if turns and turns[-1].seq != turn.seq:
            await self._delete_record(turn, audit)
            return
        for _ in range(_ATTEMPTS):
            try:
                await self._cancel(turn.trajectory_id, turn.owner, "the response was deleted")
                row = await self._store.get(turn.trajectory_id, owner=turn.owner)
            except (TrajectoryNotFound, TrajectoryPruned):
                return
            if len(turns) > 1:
                await self._delete_record(turn, audit)
                return
            if await self._retention.delete([row], audit=audit):
                return
        raise ServiceError("trajectory-busy", "the response was continued while it was being deleted")

    async def _delete_record(self, turn: TurnRow, audit: AuditEntry) -> None:
        if await self._store.delete_turn(turn.trajectory_id, turn.seq, owner=turn.owner):
            await self._store.record_act(audit)

    async def _cancel(self, trajectory_id: str, owner: str, reason: str) -> None:
        run = await self._runs.attach(trajectory_id, owner=owner)
        if run is not None:
            run.driver.cancel(reason)
            await run.ended()
