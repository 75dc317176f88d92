"""Requests with an idempotency key: performed once; a repetition is answered from the log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal
from weakref import WeakValueDictionary

from alpha_umi.contract.problems import ServiceError
from orchestrator.admission.admission import Admission
from orchestrator.runs.manager import Run, RunManager
from orchestrator.store import EventStore, IdempotencyKeyExists, IdempotencyRecord, RequestKey, TurnRow

HEADER = "Idempotency-Key"


@dataclass(frozen=True)
class AcceptedRequest:
    """A committed request: its trajectory, its first row, and the run if it is active.

    `turn` is its record, if it has one and has begun a turn just now.
    """

    trajectory_id: str
    seq: int
    run: Run | None
    replayed: bool = False
    turn: TurnRow | None = None


AfterOutage = Literal["resume", "replay"]
Accept = Callable[[], Awaitable[AcceptedRequest]]


class IdempotencyStore:
    """Accepts the first request with a key; later ones get the result of the first.

    Only accepted requests are recorded: a refused request can be corrected and sent again with its key.
    """

    def __init__(
        self, store: EventStore, runs: RunManager, admission: Admission, *, after_outage: AfterOutage = "resume"
    ) -> None:
        """`after_outage`: whether a repeated request resumes a turn that an outage of a role has ended."""
        self._store = store
        self._runs = runs
        self._admission = admission
        self._after_outage = after_outage
        self._locks: WeakValueDictionary[tuple[str, str, str], asyncio.Lock] = WeakValueDictionary()

    async def run_once(self, request: RequestKey | None, accept: Accept) -> AcceptedRequest:
        """Accept a request, or return its earlier result. Raises what `accept` raises, and `ServiceError`."""
        if request is None:
            return await accept()
        # Of two concurrent requests the second waits until the first is accepted or refused.
        identity = (request.owner, request.route, request.key)
        async with self._locks.setdefault(identity, asyncio.Lock()):
            record = await self._store.find_idempotency_record(request)
            if record is None:
                try:
                    return await accept()
                except IdempotencyKeyExists:
                    record = await self._store.find_idempotency_record(request)
                    if record is None:
                        raise
            return await self._replay(request, record)

    async def _replay(self, request: RequestKey, record: IdempotencyRecord) -> AcceptedRequest:
        if record.digest != request.digest:
            raise key_reused(trajectory_id=record.trajectory_id)
        run = await self._runs.attach(record.trajectory_id, owner=request.owner)
        if run is None and self._after_outage == "resume":
            run = await self._runs.resume(
                record.trajectory_id, owner=request.owner, seq=record.seq, admission=self._admission
            )
        if run is not None:
            run.detached = True
        return AcceptedRequest(record.trajectory_id, record.seq, run, replayed=True)


def key_reused(**extra: str) -> ServiceError:
    """The refusal of a request whose key an earlier one had with another body."""
    return ServiceError(
        "idempotency-key-reused",
        f"an earlier request with this {HEADER} had another body",
        field=HEADER,
        remedy="send the same body again, or use a new key for a new request",
        extra=extra,
    )
