"""The bodies of requests: each has a limit, and all together take a bounded part of the memory.

A client can send half of a large body and wait. So the bytes of bodies that have not been answered yet are counted, for
each owner and in all; the next bytes are read when there is room, or the request is refused after a while.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope

# Memory of one owner's bodies; there is twice as much in all.
SHARE_BYTES = 32 * 2**20
# Of each body, this much is not counted until it is complete, and then.
FREE_BYTES = 64 * 2**10
FREE_COMPLETE_BYTES = 2**20
WAIT_S = 10.0
# Bodies of one owner that wait for room: up to two reads of each are in memory meanwhile.
MAX_WAITING = 64


class BodyMemory:
    """The bytes of bodies, by owner."""

    def __init__(self, max_body_bytes: int) -> None:
        self.max_body_bytes = max_body_bytes
        self._share = max(SHARE_BYTES, max_body_bytes)
        self._taken: Counter[str] = Counter()
        self._waiting: Counter[str] = Counter()
        self._released = asyncio.Event()

    async def take(self, owner: str, count: int, *, patience_s: float) -> float:
        """Count bytes when there is room; what is left of the patience.

        Raises `HTTPException` 503 when there is no room in this time, or too many of the owner's wait for it.
        """
        started = time.monotonic()
        if self._waiting[owner] < MAX_WAITING and not self._has_room(owner, count):
            self._waiting[owner] += 1
            try:
                async with asyncio.timeout(patience_s):
                    while not self._has_room(owner, count):
                        await self._released.wait()
            except TimeoutError:
                pass
            finally:
                self._waiting[owner] -= 1
                self._waiting += Counter()
        if not self._has_room(owner, count):
            raise HTTPException(503, "the bodies of other requests take the memory that is meant for them")
        self._taken[owner] += count
        return patience_s - (time.monotonic() - started)

    def release(self, owner: str, count: int) -> None:
        """These bytes are not needed any more."""
        if count:
            self._taken[owner] -= count
            self._taken += Counter()  # drops the owners without any
            self._released.set()
            self._released = asyncio.Event()

    def _has_room(self, owner: str, count: int) -> bool:
        return self._taken[owner] + count <= self._share and self._taken.total() + count <= 2 * self._share


class Body:
    """The body of one request. `release` it when the answer begins, or the request ends."""

    def __init__(self, memory: BodyMemory, scope: Scope, receive: Receive) -> None:
        self._memory = memory
        self._scope = scope
        self._receive = receive
        self._owner = ""
        self._received = self._counted = 0
        # Not all at once: many refusals in one turn of the event loop would delay everybody.
        self._patience_s = WAIT_S * random.uniform(0.5, 1)  # noqa: S311

    async def receive(self) -> Message:
        """The next message. Raises `HTTPException`, as FastAPI propagates no other exception while it reads a body."""
        message = await self._receive()
        self._received += len(message.get("body", b""))
        if self._received > self._memory.max_body_bytes:
            raise HTTPException(413, f"a body may have {self._memory.max_body_bytes} bytes at most")
        if message.get("more_body"):
            await self._count(self._received - FREE_BYTES)
        elif self._counted:
            await self._count(self._received - FREE_COMPLETE_BYTES)
        return message

    def release(self) -> None:
        """Forget the bytes."""
        self._memory.release(self._owner, self._counted)
        self._counted = 0

    async def _count(self, count: int) -> None:
        more = max(0, count) - self._counted
        if more > 0:
            # The guard, which is called after this middleware, knows the owner.
            principal = self._scope["state"].get("principal")
            self._owner = principal.owner if principal is not None else ""
            self._patience_s = await self._memory.take(self._owner, more, patience_s=self._patience_s)
        else:
            self._memory.release(self._owner, -more)
        self._counted += more
