"""Rates that survive a restart: they are stored every few seconds, never on the way of a request."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta

from alpha_umi import telemetry
from orchestrator.admission.rates import LONGEST_DEBT_S, WINDOW_S, Rates
from orchestrator.store import EventStore, StoreError, UsedRate

# A killed process forgets at most what was used in this time.
STORE_EVERY_S = 5.0

_log = telemetry.logger(__name__)


@contextlib.asynccontextmanager
async def stored_rates(
    rates: Rates, store: EventStore, now: Callable[[], datetime], *, every_s: float = STORE_EVERY_S
) -> AsyncIterator[None]:
    """Restore the rates, and store them while the block runs and at its end. Raises `StoreError` at the start.

    Only the time between two processes is taken from the wall clock. A jump of it cannot make an owner wait longer than
    the rates allow.
    """
    if not rates:
        yield
        return
    for used in await store.used_rates():
        for kind, rate in rates.items():
            if kind == used.kind:
                # Tokens are counted afterwards, everything else only while there are units left.
                longest_s = LONGEST_DEBT_S if kind == "tokens" else WINDOW_S
                rate.restore(used.owner, min(longest_s, (used.until - now()).total_seconds()))
    storing = asyncio.create_task(_store_regularly(rates, store, now, every_s))
    try:
        yield
    finally:
        storing.cancel()
        await asyncio.gather(storing, return_exceptions=True)
        await _store(rates, store, now)


async def _store_regularly(rates: Rates, store: EventStore, now: Callable[[], datetime], every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        if any(rate.in_use() for rate in rates.values()):
            await _store(rates, store, now)


async def _store(rates: Rates, store: EventStore, now: Callable[[], datetime]) -> None:
    at = now()
    used = [
        UsedRate(owner, kind, at + timedelta(seconds=seconds))
        for kind, rate in rates.items()
        for owner, seconds in rate.in_use().items()
    ]
    try:
        await store.put_used_rates(used)
    except StoreError as error:
        _log.warning("rates.not_stored", reason=str(error))
