"""A bound on work under way; what exceeds it waits in a fair queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from orchestrator.admission.fair_queue import FairQueue


class Gate:
    """At most `capacity` holders of a slot at a time; None is no bound."""

    def __init__(self, capacity: int | None = None) -> None:
        self._capacity = capacity
        self._queue: FairQueue[Place] = FairQueue()
        self._in_use = 0

    @property
    def capacity(self) -> int | None:
        """The bound. A lower one waits for slots to be left; a higher one is filled at once."""
        return self._capacity

    @capacity.setter
    def capacity(self, capacity: int | None) -> None:
        self._capacity = capacity
        self._grant()

    @property
    def in_use(self) -> int:
        """Slots that are held."""
        return self._in_use

    @property
    def waiting(self) -> int:
        """Places that wait for a slot."""
        return len(self._queue)

    def waiting_of(self, owner: str) -> int:
        """Places of an owner that wait for a slot."""
        return self._queue.count(owner)

    def enter(self, owner: str, *, background: bool, first: bool = False) -> Place:
        """A place, which holds a slot at once or waits for one. `first`: before the owner's other places.

        Every place must be left.
        """
        place = Place(self)
        self._queue.push(place, owner=owner, background=background, first=first)
        self._grant()
        return place

    @asynccontextmanager
    async def slot(self, owner: str, *, background: bool) -> AsyncIterator[None]:
        """Wait for a slot and hold it in the block."""
        place = self.enter(owner, background=background)
        try:
            await place.wait()
            yield
        finally:
            place.leave()

    def leave(self, place: Place) -> None:
        """For `Place.leave`: free its slot, or forget it."""
        if place.holds_slot:
            self._in_use -= 1
            self._grant()
        else:
            self._queue.discard(place)

    def _grant(self) -> None:
        while self._queue and (self._capacity is None or self._in_use < self._capacity):
            self._in_use += 1
            self._queue.pop().grant()


class Place:
    """A place in a gate: it waits for a slot, holds it, and was left in the end. No step needs the event loop."""

    def __init__(self, gate: Gate) -> None:
        self._gate: Gate | None = gate
        self._granted = asyncio.Event()

    @property
    def holds_slot(self) -> bool:
        """Whether the slot was granted and the place not left."""
        return self._gate is not None and self._granted.is_set()

    async def wait(self) -> None:
        """Return once the slot is granted."""
        await self._granted.wait()

    def grant(self) -> None:
        """The gate gives the slot."""
        self._granted.set()

    def leave(self) -> None:
        """Give the slot back, or stop waiting for it. Only the first time counts."""
        if self._gate is not None:
            self._gate.leave(self)
            self._gate = None
