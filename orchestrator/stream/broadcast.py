"""In-process broadcast of a running trajectory: events as they are appended, and the roles' text as it is written.

The log is authoritative; this only saves polling it. A listener that is too slow loses items, receives `Overflow`
instead, and reads the log. Text between events is a preview that is not stored.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from alpha_umi import telemetry
from alpha_umi.contract.stream_events import LiveEvent
from alpha_umi.trajectory import ToolObserved
from orchestrator.log import LoggedEvent

MAX_QUEUED_BYTES: Final = 256 * 1024
# Of an item without its texts.
_ITEM_BYTES: Final = 256

_log = telemetry.logger(__name__)


@dataclass(frozen=True)
class Unlogged:
    """An event between row `after` of the log and the next one.

    `start` is the number of characters that the role had written before a text.
    """

    event: LiveEvent
    after: int
    start: int = 0


@dataclass(frozen=True)
class Overflow:
    """Items were dropped; the log has the events."""


@dataclass(frozen=True)
class Closed:
    """Nothing follows from this process. `stopping`: it is shutting down, and the trajectory continues later."""

    stopping: bool


FeedItem = LoggedEvent | Unlogged | Overflow | Closed


class Listener:
    """The queue of one follower, bounded in bytes."""

    def __init__(self) -> None:
        self._queue: deque[tuple[FeedItem, int]] = deque()
        self._queued_bytes = 0
        self._not_empty = asyncio.Event()

    def put(self, item: FeedItem, size: int) -> None:
        """Add an item of `size` bytes. If it does not fit, the queue is dropped with it, and is `Overflow` instead."""
        if self._queued_bytes + size > MAX_QUEUED_BYTES:
            self._queue.clear()
            self._queued_bytes = 0
            item, size = Overflow(), 0
        self._queue.append((item, size))
        self._queued_bytes += size
        self._not_empty.set()

    async def get(self) -> FeedItem:
        """The next item, waiting for it."""
        while not self._queue:
            self._not_empty.clear()
            await self._not_empty.wait()
        item, size = self._queue.popleft()
        self._queued_bytes -= size
        return item


class Broadcast:
    """The items of one trajectory, for any number of listeners."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self._closed: Closed | None = None
        self._notice: Unlogged | None = None
        self._folds: list[Callable[[LoggedEvent], object]] = []

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
            listener.put(self._notice, _size(self._notice))
        if self._closed is not None:
            listener.put(self._closed, 0)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def fold(self, take: Callable[[LoggedEvent], object]) -> None:
        """Pass every row from now on to a function that takes little time. If it raises, it gets no more."""
        self._folds.append(take)

    def publish(self, items: Sequence[FeedItem]) -> None:
        """Send items to every listener."""
        for take in tuple(self._folds):
            try:
                for item in items:
                    if isinstance(item, LoggedEvent):
                        take(item)
            except Exception as error:
                _log.error("fold.failed", exc_info=error)
                self._folds.remove(take)
        if not self._listeners:
            return
        for item in items:
            streamed = _without_body(item)
            size = _size(streamed)
            for listener in self._listeners:
                listener.put(streamed, size)

    def publish_notice(self, notice: Unlogged) -> None:
        """Send the notice to every listener, and to those that come later."""
        self._notice = notice
        self.publish([notice])

    def close(self, *, stopping: bool) -> None:
        """End the broadcast. A second call is ignored."""
        if self._closed is None:
            self._closed = Closed(stopping)
            self.publish([self._closed])


def _without_body(item: FeedItem) -> FeedItem:
    """The item without the result before it was shortened, which no stream sends."""
    if isinstance(item, LoggedEvent) and isinstance(item.event, ToolObserved) and item.event.body is not None:
        return replace(item, event=replace(item.event, body=""))
    return item


def _size(item: FeedItem) -> int:
    """Bytes of memory of an item: those of its texts, and a flat rate."""
    match item:
        case LoggedEvent() | Unlogged():
            texts = vars(item.event).values()
        case Overflow() | Closed():
            return 0
    return _ITEM_BYTES + sum(sys.getsizeof(text) for text in texts if isinstance(text, str))
