"""A bound on work under way; what exceeds it waits in a fair queue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import TracebackType

from orchestrator.admission.departure_rate import DepartureRate, Measured
from orchestrator.admission.fair_queue import FairQueue


class Gate:
    """At most `capacity` holders of a slot at a time; None is no bound. `clock` counts seconds."""

    def __init__(self, capacity: int | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._capacity = capacity
        self._queue: FairQueue[Place] = FairQueue()
        self._in_use = 0
        self._rate = DepartureRate(clock=clock)
        self._queued_since: float | None = None

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

    @property
    def queued_for_s(self) -> float:
        """Seconds since the queue was empty."""
        return 0.0 if self._queued_since is None else self.clock() - self._queued_since

    @property
    def departures_per_s(self) -> float | None:
        """Slots that are left a second while all are held; None where that was not measured."""
        return self._rate.per_s

    @property
    def measured(self) -> Measured:
        """Slots that were left while all were held, and the seconds in which they were."""
        return self._rate.totals

    def expected_wait_s(self, owner: str, *, background: bool) -> float | None:
        """Seconds that a new place would wait, by the measured rate; None where no rate was measured."""
        if not self._is_full():
            return 0.0
        rate = self._rate.per_s
        return None if rate is None else (self._queue.before(owner, background=background) + 1) / rate

    def enter(self, owner: str, *, background: bool, first: bool = False) -> Place:
        """A place, which holds a slot at once or waits for one. `first`: before the owner's other places.

        Every place must be left: by `leave`, or as a context manager.
        """
        place = Place(self)
        if not self._is_full():
            self._give(place)
            return place
        self._queue.push(place, owner=owner, background=background, first=first)
        if self._queued_since is None:
            self._queued_since = self.clock()
        return place

    def leave(self, place: Place) -> None:
        """For `Place.leave`: free its slot, or forget it."""
        if place.holds_slot:
            self._in_use -= 1
            self._rate.count()
        else:
            self._queue.discard(place)
        self._grant()

    def _grant(self) -> None:
        while self._queue and not self._is_full():
            self._give(self._queue.pop())
        self._rate.full(self._is_full())
        if not self._queue:
            self._queued_since = None

    def _give(self, place: Place) -> None:
        self._in_use += 1
        place.grant(self.clock())
        self._rate.full(self._is_full())

    def _is_full(self) -> bool:
        return self._capacity is not None and self._in_use >= self._capacity


class Place:
    """A place in a gate: it waits for a slot, holds it, and was left in the end. No step needs the event loop.

    As a context manager it waits for the slot and holds it in the block.
    """

    __slots__ = ("_gate", "_waiter", "granted_at")

    def __init__(self, gate: Gate) -> None:
        self._gate: Gate | None = gate
        # Most places never wait.
        self._waiter: asyncio.Event | None = None
        # On the gate's clock.
        self.granted_at: float | None = None

    @property
    def holds_slot(self) -> bool:
        """Whether the slot was granted and the place not left."""
        return self._gate is not None and self.granted_at is not None

    async def wait(self) -> None:
        """Return once the slot is granted."""
        if self.granted_at is None:
            self._waiter = self._waiter or asyncio.Event()
            await self._waiter.wait()

    def grant(self, at: float) -> None:
        """The gate gives the slot."""
        self.granted_at = at
        if self._waiter is not None:
            self._waiter.set()

    def leave(self) -> None:
        """Give the slot back, or stop waiting for it. Only the first time counts."""
        if self._gate is not None:
            self._gate.leave(self)
            self._gate = None

    async def __aenter__(self) -> None:
        try:
            await self.wait()
        except BaseException:
            self.leave()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()
