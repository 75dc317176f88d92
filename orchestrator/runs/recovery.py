"""Resumes the unfinished trajectories of an earlier process, in the background.

The process serves meanwhile: what is not resumed yet can be read, and a request for it resumes it at once.
"""

from __future__ import annotations

import asyncio

from alpha_umi import telemetry
from alpha_umi.contract.problems import ServiceError
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.runs.manager import Run, RunManager
from orchestrator.store import EventStore, StoreError, StoreUnavailable

# Resumed trajectories in memory at a time, without those that wait for their client, and logs that are read at a time.
RESUMED_AT_ONCE = 256
READ_AT_ONCE = 2
PAUSE_S = 1.0

_log = telemetry.logger(__name__)


class Recovery:
    """The task that resumes trajectories, of all owners in turn."""

    def __init__(self, store: EventStore, runs: RunManager, metrics: OrchestratorMetrics) -> None:
        self._store = store
        self._runs = runs
        self._left = metrics.unrecovered
        self._room = asyncio.Semaphore(RESUMED_AT_ONCE)
        self._reading = asyncio.Semaphore(READ_AT_ONCE)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; returns at once."""
        self._task = asyncio.create_task(self._resume_all(), name="recovery")

    async def aclose(self) -> None:
        """Stop resuming."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _resume_all(self) -> None:
        unfinished = await self._read_unfinished()
        self._left.set(len(unfinished))
        async with asyncio.TaskGroup() as group:
            for trajectory_id in unfinished:
                await self._room.acquire()
                group.create_task(self._hold_room(trajectory_id))

    async def _read_unfinished(self) -> list[str]:
        while True:
            try:
                return await self._store.unfinished()
            except StoreUnavailable as error:
                _log.error("recovery.delayed", reason=str(error))
                await asyncio.sleep(PAUSE_S)

    async def _hold_room(self, trajectory_id: str) -> None:
        try:
            run = await self._resume(trajectory_id)
            self._left.dec()
            if run is not None:
                await run.settled()
        finally:
            self._room.release()

    async def _resume(self, trajectory_id: str) -> Run | None:
        while True:
            try:
                async with self._reading:
                    run = await self._runs.attach_of_any_owner(trajectory_id)
            except StoreUnavailable as error:
                _log.error("recovery.delayed", trajectory_id=trajectory_id, reason=str(error))
                await asyncio.sleep(PAUSE_S)
                continue
            except ServiceError:
                # The process stops; the next one resumes it.
                return None
            except StoreError as error:
                _log.error("trajectory.not_recovered", trajectory_id=trajectory_id, reason=str(error))
                return None
            if run is not None:
                phase = run.driver.state.phase
                _log.info("trajectory.recovered", trajectory_id=trajectory_id, seq=run.row.last_seq, phase=phase)
            return run
