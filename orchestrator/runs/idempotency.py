"""Requests with an idempotency key: carried out once, and answered again from the log when they come again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from weakref import WeakValueDictionary

from alpha_umi.contract.problems import ServiceError
from orchestrator.runs.manager import Run, RunManager
from orchestrator.store import EventStore, IdempotencyKeyExists, IdempotencyRecord, RequestKey

HEADER = "Idempotency-Key"


@dataclass(frozen=True)
class Accepted:
    """A request that is in the log: its trajectory, its first row, and the run, if there is one now."""

    trajectory_id: str
    seq: int
    run: Run | None
    replayed: bool = False


Accept = Callable[[], Awaitable[Accepted]]


class IdempotencyStore:
    """Lets of all requests with one key the first be accepted and the others have what it did.

    Only what was accepted is remembered; a request that was refused can be mended and sent again with its key.
    """

    def __init__(self, store: EventStore, runs: RunManager, *, now: Callable[[], datetime]) -> None:
        self._store = store
        self._runs = runs
        self._now = now
        self._locks: WeakValueDictionary[tuple[str, str, str], asyncio.Lock] = WeakValueDictionary()

    async def run_once(self, request: RequestKey | None, accept: Accept) -> Accepted:
        """Accept a request, or find what it did before. Raises what `accept` raises, and `ServiceError`."""
        if request is None:
            return await accept()
        # Of two that come at once, the second waits until it is known what became of the first.
        place = (request.key_id, request.route, request.key)
        async with self._locks.setdefault(place, asyncio.Lock()):
            detached = await self._store.find_idempotency_record(request, now=self._now())
            if detached is None:
                try:
                    return await accept()
                except IdempotencyKeyExists:
                    detached = await self._store.find_idempotency_record(request, now=self._now())
                    if detached is None:
                        raise
            return await self._replay(request, detached)

    async def _replay(self, request: RequestKey, detached: IdempotencyRecord) -> Accepted:
        if detached.digest != request.digest:
            raise ServiceError(
                "idempotency-key-reused",
                f"an earlier request with this {HEADER} asked for something else",
                field=HEADER,
                remedy="send the same body again, or take a new key for a new request",
                extra={"trajectory_id": detached.trajectory_id},
            )
        run = await self._runs.attach(detached.trajectory_id)
        if run is not None:
            run.detached = True
        return Accepted(detached.trajectory_id, detached.seq, run, replayed=True)
