"""Looks up the names of tools' hosts, in threads of its own, so that nothing else waits for a slow name server.

The event loop's own look-ups share four threads in this process, role services included. Leaves out which addresses are
allowed; see `egress`.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult

from alpha_umi.web.keys import CURRENT_OWNER
from orchestrator.tools.call_limits import OWNERS_SHARE

LOOKUP_TIMEOUT_S: Final = 5.0
# So long a name has the addresses that were looked up, or fails at once.
TTL_S: Final = 5.0
MAX_LOOKUPS: Final = 64

_AddressInfos = list[tuple[Any, ...]]
_Name = tuple[str, socket.AddressFamily]


class LookupTimedOut(OSError):
    """The name servers did not answer in time."""


class ThreadedLookups(AbstractResolver):
    """Looks up each name once at a time, and at most `MAX_LOOKUPS` names, of which one owner's calls have a share.

    A thread cannot be stopped: one that waits for a name server goes on after the timeout, but does not outlive the
    process. `getaddrinfo` stands in for the system's function.
    """

    def __init__(
        self,
        *,
        timeout_s: float = LOOKUP_TIMEOUT_S,
        max_lookups: int = MAX_LOOKUPS,
        getaddrinfo: Callable[..., _AddressInfos] = socket.getaddrinfo,
    ) -> None:
        self._timeout_s = timeout_s
        self._getaddrinfo = getaddrinfo
        self._free = asyncio.Semaphore(max_lookups)
        share = math.ceil(max_lookups * OWNERS_SHARE)
        self._free_of: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(share))
        self._running: dict[_Name, asyncio.Future[_AddressInfos]] = {}
        # What came of names, and until when that counts on the monotonic clock.
        self._outcomes: dict[_Name, tuple[_AddressInfos | OSError, float]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of the name. Raises `OSError`, also for a name that failed a moment ago."""
        name = (host, family)
        self._forget_old_outcomes()
        outcome = self._outcomes[name][0] if name in self._outcomes else await self._outcome(name)
        if isinstance(outcome, OSError):
            raise outcome
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=family,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for family, _, protocol, _, address in outcome
        ]

    async def close(self) -> None:
        """Nothing to release: the threads end with their look-ups."""

    async def _outcome(self, name: _Name) -> _AddressInfos | OSError:
        outcome: _AddressInfos | OSError
        try:
            async with asyncio.timeout(self._timeout_s):
                outcome = await asyncio.shield(await self._lookup(name))
        except TimeoutError:
            outcome = LookupTimedOut("no name server answered in time")
            if name not in self._running:
                # It waited for a place: that says nothing to other owners.
                return outcome
        except (OSError, UnicodeError) as error:
            outcome = OSError(str(error))
        self._outcomes[name] = outcome, time.monotonic() + TTL_S
        return outcome

    async def _lookup(self, name: _Name) -> asyncio.Future[_AddressInfos]:
        own = self._free_of[CURRENT_OWNER.get()]
        async with AsyncExitStack() as places:
            if name not in self._running:
                await places.enter_async_context(own)
                await places.enter_async_context(self._free)
            if name in self._running:
                return self._running[name]
            # The places are held until the look-up ends.
            places.pop_all()
        future: asyncio.Future[_AddressInfos] = asyncio.get_running_loop().create_future()
        self._running[name] = future
        future.add_done_callback(lambda done: self._ended(name, own, done))
        threading.Thread(target=self._look_up, args=(name, future), name="tool-name", daemon=True).start()
        return future

    def _look_up(self, name: _Name, future: asyncio.Future[_AddressInfos]) -> None:
        """In the thread."""
        host, family = name
        result: _AddressInfos = []
        error: Exception | None = None
        try:
            result = self._getaddrinfo(host, None, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        except Exception as problem:  # whatever it is, those who wait must hear of it
            error = problem
        # Of a loop that is closed nobody waits.
        with contextlib.suppress(RuntimeError):
            future.get_loop().call_soon_threadsafe(_settle, future, result, error)

    def _ended(self, name: _Name, own: asyncio.Semaphore, future: asyncio.Future[_AddressInfos]) -> None:
        del self._running[name]
        own.release()
        self._free.release()
        # It may have come too late for those who waited.
        if future.exception() is None:
            self._outcomes.pop(name, None)

    def _forget_old_outcomes(self) -> None:
        now = time.monotonic()
        for name in [name for name, (_, until) in self._outcomes.items() if until <= now]:
            del self._outcomes[name]


def _settle(future: asyncio.Future[_AddressInfos], result: _AddressInfos, error: Exception | None) -> None:
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
