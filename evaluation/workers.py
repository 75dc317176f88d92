"""Workers that share what there is to do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")


async def work_through(todo: Iterable[Item], work: Callable[[Item], Awaitable[None]], concurrency: int) -> None:
    """Do the work for every item, so many at a time. The first that cannot go on ends all, with its own error."""
    left = iter(todo)

    async def worker() -> None:
        for item in left:
            await work(item)

    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(concurrency):
                workers.create_task(worker())
    except ExceptionGroup as failed:
        # Whatever kept one from going on: that the others met it as well is no news.
        raise failed.exceptions[0] from None
