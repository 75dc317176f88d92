"""In-process news of running trajectories: rows as they are appended, and the text of the roles as it is written.

The log is the truth and this only saves looking into it again and again: a listener that is too slow loses news, is
told so, and reads the log instead. Text between rows is a preview that nobody keeps.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from orchestrator.store import StoredEvent

MAX_WAITING = 1_000

# Roles whose text is shown while it is written; the caller's is of no use before it is whole.
WritingRole = Literal["planner", "summarizer", "backbone"]


@dataclass(frozen=True)
class TextDelta:
    """A piece of text that a role just wrote, between row `after` and the next one."""

    role: WritingRole
    step: int
    text: str
    after: int


@dataclass(frozen=True)
class Lagged:
    """News were lost; the log has the rows."""


@dataclass(frozen=True)
class Closed:
    """Nothing will follow from this process. `stopping`: it is shutting down and the trajectory goes on later."""

    stopping: bool


News = StoredEvent | TextDelta | Lagged | Closed


class Listener:
    """One follower's share of the news, bounded."""

    def __init__(self) -> None:
        self._waiting: deque[News] = deque()
        self._some = asyncio.Event()

    def put(self, news: News) -> None:
        """Add news; when too many wait, they are dropped and `Lagged` stands for them."""
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.clear()
            self._waiting.append(Lagged())
        self._waiting.append(news)
        self._some.set()

    async def get(self) -> News:
        """The next news, waiting for it."""
        while not self._waiting:
            self._some.clear()
            await self._some.wait()
        return self._waiting.popleft()


class Feed:
    """The news of one trajectory."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self._closed: Closed | None = None

    @property
    def has_listeners(self) -> bool:
        """Whether text is worth streaming."""
        return bool(self._listeners)

    @contextmanager
    def listen(self) -> Iterator[Listener]:
        """A listener that hears everything from now on; after the end it hears that at once."""
        listener = Listener()
        if self._closed is not None:
            listener.put(self._closed)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def publish(self, news: Sequence[News]) -> None:
        """Tell everybody."""
        for listener in self._listeners:
            for item in news:
                listener.put(item)

    def close(self, *, stopping: bool) -> None:
        """Tell everybody that this was all. A second time it is ignored."""
        if self._closed is None:
            self._closed = Closed(stopping)
            self.publish([self._closed])
