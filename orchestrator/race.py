"""Run two coroutines; the first to finish cancels the other."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


async def race(
    work: Coroutine[Any, Any, Result], against: Coroutine[Any, Any, Any], *, timeout_s: float | None = None
) -> asyncio.Task[Result]:
    """The task of `work`, finished or cancelled: `cancelled()` if `against` finished first or `timeout_s` passed.

    Nothing is left running, also when the caller is cancelled.
    """
    working, other = asyncio.create_task(work), asyncio.create_task(against)
    try:
        await asyncio.wait({working, other}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        working.cancel()
        other.cancel()
        await asyncio.gather(working, other, return_exceptions=True)
    return working
