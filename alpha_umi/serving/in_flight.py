"""The requests that a role's model works on, and an end to all of them when the service has to go."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

from alpha_umi.contract.problems import ServiceError


class InFlight:
    """Counts requests, and ends their waits for the model once they are cut off."""

    def __init__(self) -> None:
        self.count = 0
        self._none = asyncio.Event()
        self._none.set()
        self._waits: set[asyncio.Timeout] = set()
        self._cut = False

    @contextlib.contextmanager
    def request(self) -> Iterator[None]:
        """One request, from its start to the end of its answer."""
        self.count += 1
        self._none.clear()
        try:
            yield
        finally:
            self.count -= 1
            if not self.count:
                self._none.set()

    @contextlib.asynccontextmanager
    async def wait(self) -> AsyncIterator[None]:
        """One wait for the model. Raises `ServiceError` as soon as requests are cut off."""
        limit = asyncio.timeout(0 if self._cut else None)
        try:
            async with limit:
                self._waits.add(limit)
                try:
                    yield
                finally:
                    self._waits.discard(limit)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise ServiceError("shutting-down", "the service ended before the answer was complete") from error

    async def ended(self, *, within_s: float) -> bool:
        """Wait until there is no request; False if there still is one after so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._none.wait()
        return not self.count

    def cut_off(self) -> None:
        """End every wait for the model, now and from now on."""
        if self._cut:
            return
        self._cut = True
        for limit in list(self._waits):
            limit.reschedule(asyncio.get_running_loop().time())
