"""In-process broadcast of a running trajectory: events as they are appended, and the roles' text as it is written.

The log is authoritative; this only saves polling it. A listener that is too slow loses items, receives `Overflow`
instead, and reads the log. Text between events is a preview that is not stored.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from alpha_umi.contract.stream_events import RoleOutage, RoleRecovered, TextDelta
from orchestrator.log import LoggedEvent

MAX_QUEUED = 1_000


@dataclass(frozen=True)
class TextPreview:
    """Text that a role just wrote, between row `after` of the log and the next one."""

    delta: TextDelta
    after: int


@dataclass(frozen=True)
class RoleNotice:
    """The trajectory begins or ends to wait for a role, between row `after` of the log and the next one."""

    event: RoleOutage | RoleRecovered
    after: int


@dataclass(frozen=True)
class Overflow:
    """Items were dropped; the log has the events."""


@dataclass(frozen=True)
class Closed:
    """Nothing follows from this process. `stopping`: it is shutting down, and the trajectory continues later."""

    stopping: bool


FeedItem = LoggedEvent | TextPreview | RoleNotice | Overflow | Closed


class Listener:
    """The bounded queue of one follower."""

    def __init__(self) -> None:
        self._queue: deque[FeedItem] = deque()
        self._not_empty = asyncio.Event()

    def put(self, item: FeedItem) -> None:
        """Add an item; a full queue is dropped and `Overflow` takes its place."""
        if len(self._queue) >= MAX_QUEUED:
            self._queue.clear()
            self._queue.append(Overflow())
        self._queue.append(item)
        self._not_empty.set()

    async def get(self) -> FeedItem:
        """The next item, waiting for it."""
        while not self._queue:
            self._not_empty.clear()
            await self._not_empty.wait()
        return self._queue.popleft()


class Broadcast:
    """The items of one trajectory, for any number of listeners."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self._closed: Closed | None = None
        self._notice: RoleNotice | None = None

    @property
    def has_listeners(self) -> bool:
        """Whether text is worth streaming."""
        return bool(self._listeners)

    @contextmanager
    def listen(self) -> Iterator[Listener]:
        """A listener that receives everything from now on, and the newest notice of a role.

        After the end it receives `Closed` at once.
        """
        listener = Listener()
        if self._notice is not None:
            listener.put(self._notice)
        if self._closed is not None:
            listener.put(self._closed)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def publish(self, items: Sequence[FeedItem]) -> None:
        """Send items to every listener."""
        for listener in self._listeners:
            for item in items:
                listener.put(item)

    def publish_notice(self, notice: RoleNotice) -> None:
        """Send the notice to every listener, and to those that come later."""
        self._notice = notice
        self.publish([notice])

    def close(self, *, stopping: bool) -> None:
        """End the broadcast. A second call is ignored."""
        if self._closed is None:
            self._closed = Closed(stopping)
            self.publish([self._closed])
