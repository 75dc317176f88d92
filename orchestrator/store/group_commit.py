"""Group commit: the jobs that arrive while one batch is being written form the next batch.

A durable commit costs the same for one row and for a hundred, so that under load the rate of writes is not bound by
the rate of commits. No job waits for others: a job that arrives alone is committed alone and at once.

Each submitter gets its own outcome. A submitter that is cancelled while it waits does not affect the others; its job is
dropped if its batch has not begun, and is committed otherwise.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from orchestrator.store.errors import StoreError, StoreUnavailable

Job = TypeVar("Job")
Outcome = TypeVar("Outcome")

MAX_BATCH = 256
CLOSED = "the event log is closed: the process is shutting down"


class GroupCommit(Generic[Job, Outcome]):
    """Hands batches of jobs, one batch at a time, to `commit`.

    `commit` returns one outcome or one error per job, in their order, after they are durable. When it raises, every job
    of the batch fails with that error. `observe` is called after each commit with its number of jobs and its seconds.
    """

    def __init__(self, commit: Callable[[Sequence[Job]], Awaitable[Sequence[Outcome | StoreError]]]) -> None:
        self._commit = commit
        self.observe: Callable[[int, float], None] = lambda _jobs, _seconds: None
        self._waiting: deque[tuple[Job, asyncio.Future[Outcome]]] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._closed = False

    async def submit(self, job: Job) -> Outcome:
        """Wait until the job is committed. Raises its own error, its batch's, or `StoreUnavailable` when closed."""
        if self._closed:
            raise StoreUnavailable(CLOSED)
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((job, future))
        if self._worker is None:
            # In a new context: its log lines must not carry the ids of the first submitter.
            self._worker = asyncio.create_task(self._drain(), name="group commit", context=contextvars.Context())
        return await future

    async def close(self) -> None:
        """Refuse new jobs and wait for those that were submitted."""
        self._closed = True
        if self._worker is not None:
            await asyncio.wait([self._worker])

    async def _drain(self) -> None:
        try:
            while batch := self._next_batch():
                await self._settle(batch)
        finally:
            self._worker = None

    def _next_batch(self) -> list[tuple[Job, asyncio.Future[Outcome]]]:
        batch: list[tuple[Job, asyncio.Future[Outcome]]] = []
        while self._waiting and len(batch) < MAX_BATCH:
            job, future = self._waiting.popleft()
            if not future.cancelled():
                batch.append((job, future))
        return batch

    async def _settle(self, batch: list[tuple[Job, asyncio.Future[Outcome]]]) -> None:
        started = time.perf_counter()
        try:
            outcomes = await self._commit([job for job, _ in batch])
            self.observe(len(batch), time.perf_counter() - started)
        except Exception as error:
            outcomes = [_own(error) for _ in batch]
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            if future.cancelled():
                continue
            if isinstance(outcome, StoreError):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)


def _own(error: Exception) -> StoreError:
    """A copy of the error for one waiter: a raised exception collects stack frames, so it must not be shared."""
    if isinstance(error, StoreError):
        mine = type(error)(str(error))
        mine.__cause__ = error.__cause__
    else:
        mine = StoreError(f"a write failed in an unexpected way: {error!r}")
        mine.__cause__ = error
    return mine
