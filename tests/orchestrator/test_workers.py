"""Jobs in processes of their own, with their answers, errors and limits; long work in threads of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator
from typing import Any

import pytest
from support.limited_jobs import adding, allocating, failing, killed, spinning, stopping
from support.orchestrator_world import Client

from alpha_umi.web.keys import CURRENT_OWNER
from orchestrator.tools.errors import DocumentError
from orchestrator.workers import AT_ONCE, LimitExceeded, Limits, run_limited, run_long


async def test_a_job_yields_items_and_asks() -> None:
    async def answer(number: int) -> int:
        return 10 * number

    assert await run_limited(adding, 1, 2, answer=answer) == [11, 22]


async def test_what_a_job_raises_is_raised() -> None:
    error = DocumentError("bad", field="#/paths", remedy="correct it")
    with pytest.raises(DocumentError) as caught:
        await run_limited(failing, error)
    assert (str(caught.value), caught.value.remedy) == (str(error), "correct it")


@pytest.mark.parametrize(
    ("job", "args", "limits"),
    [
        (allocating, (2**32,), Limits()),
        (spinning, (), Limits(cpu_s=1)),
        (stopping, (), Limits(deadline_s=1)),
        (killed, (), Limits()),
    ],
)
async def test_a_job_beyond_its_limits_ends_alone(
    job: Callable[..., Generator[int, None, None]], args: tuple[Any, ...], limits: Limits
) -> None:
    beyond = asyncio.create_task(run_limited(job, *args, limits=limits))
    assert await run_limited(allocating, 2**20) == [2**20]
    with pytest.raises(LimitExceeded, match="of processor time"):
        await beyond


async def test_a_cancelled_job_ends() -> None:
    for _ in range(3):
        task = asyncio.create_task(run_limited(stopping))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await run_limited(allocating, 1) == [1]


async def test_an_owner_with_many_jobs_delays_no_other_owner() -> None:
    def start(owner: str, job: Callable[..., Generator[int, None, None]], *args: Any) -> asyncio.Task[list[int]]:
        token = CURRENT_OWNER.set(owner)
        task = asyncio.create_task(run_limited(job, *args))
        CURRENT_OWNER.reset(token)
        return task

    hostile = [start("ann", stopping) for _ in range(4)]
    try:
        assert await start("bob", allocating, 1) == [1]
        assert not any(task.done() for task in hostile)
    finally:
        for task in hostile:
            task.cancel()
        await asyncio.gather(*hostile, return_exceptions=True)


def begin(owner: str, event: threading.Event) -> asyncio.Task[bool]:
    """Long work for an owner, which goes on until the event."""
    token = CURRENT_OWNER.set(owner)
    task = asyncio.create_task(run_long(event.wait, 60))
    CURRENT_OWNER.reset(token)
    return task


async def test_trajectories_begin_while_all_long_work_is_blocked(client: Client) -> None:
    done = threading.Event()
    # More than the event loop has threads for short work.
    working = [begin(owner, done) for owner in ("ann", "bob", "default") for _ in range(20)]
    compacting = asyncio.create_task(
        client.http.post("/v1/responses/compact", json={"model": "alpha-umi", "input": "Hello"})
    )
    try:
        assert (await client.run())["status"] == "completed"
        assert not compacting.done()
        assert not any(task.done() for task in working)
    finally:
        done.set()
    assert all(await asyncio.gather(*working))
    assert (await compacting).status_code == 200


async def test_an_owner_with_much_long_work_delays_no_other_owner() -> None:
    done, other = threading.Event(), threading.Event()
    other.set()
    working = [begin("ann", done) for _ in range(AT_ONCE + 1)]
    try:
        assert await begin("bob", other)
        assert not any(task.done() for task in working)
    finally:
        done.set()
        await asyncio.gather(*working)


async def test_long_work_raises_its_error_and_leaves_its_turn() -> None:
    for _ in range(AT_ONCE + 1):
        with pytest.raises(ValueError, match="invalid literal"):
            await run_long(int, "x")


async def test_cancelled_long_work_delays_its_owner_alone() -> None:
    done, other = threading.Event(), threading.Event()
    other.set()
    try:
        for _ in range(AT_ONCE):
            working = begin("ann", done)
            await asyncio.sleep(0.1)
            working.cancel()
            with pytest.raises(asyncio.CancelledError):
                await working
        assert await begin("bob", other), "the threads are not all ann's"
        waiting = begin("ann", other)
        await asyncio.sleep(0.1)
        assert not waiting.done()
    finally:
        done.set()
    assert await waiting
