"""Follow one trajectory: first its log, then live, without a gap and without repeating anything."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from typing import assert_never

from sse_starlette import ServerSentEvent

from alpha_umi import telemetry
from alpha_umi.trajectory import IllegalEvent, UnknownEvent
from orchestrator.live import Closed, Feed, Lagged, Listener, News, TextDelta
from orchestrator.narration import Narrator, tell_delta, tell_reconnect
from orchestrator.store import EventStore, StoreDamaged, StoredEvent, StoreUnavailable, TrajectoryRow

_log = telemetry.logger(__name__)


async def follow(
    store: EventStore, trajectory: TrajectoryRow, feed: Feed | None, *, after: int = 0
) -> AsyncGenerator[ServerSentEvent, None]:
    """The events after row `after`, up to `trajectory.finished`, or as far as they go when there is no feed.

    A stream that ends before the trajectory does, because the process stops or the log cannot be read, ends with
    `reconnect`.
    """
    # The listener comes before the first look into the log, so that nothing falls between the two.
    with contextlib.nullcontext() if feed is None else feed.listen() as listener:
        follower = _Follower(store, Narrator(trajectory), listener, trajectory.id)
        try:
            async for seq, event in follower.events():
                if seq > after:
                    yield event
        except StoreUnavailable as error:
            _log.error("stream.broken", trajectory_id=trajectory.id, reason=str(error))
            yield tell_reconnect("the event log cannot be read now")
        except (StoreDamaged, UnknownEvent, IllegalEvent) as error:
            _log.error("log.unreadable", trajectory_id=trajectory.id, reason=str(error))


class _Follower:
    def __init__(self, store: EventStore, narrator: Narrator, listener: Listener | None, trajectory_id: str) -> None:
        self._store = store
        self._narrator = narrator
        self._listener = listener
        self._id = trajectory_id

    async def events(self) -> AsyncIterator[tuple[float, ServerSentEvent]]:
        """Each event with its place in the log; what has no place comes after everything."""
        reason = "the trajectory is not being driven now"
        for told in self._tell(await self._unread()):
            yield told
        while self._listener is not None and not self._narrator.ended:
            news = await self._listener.get()
            if isinstance(news, TextDelta):
                if news.after == self._narrator.seq:
                    yield float("inf"), tell_delta(news)
                continue
            for told in self._tell(await self._rows(news)):
                yield told
            if isinstance(news, Closed):
                reason = "the orchestrator is shutting down" if news.stopping else reason
                break
        if not self._narrator.ended:
            yield float("inf"), tell_reconnect(reason)

    async def _rows(self, news: News) -> Sequence[StoredEvent]:
        match news:
            case StoredEvent():
                if news.seq == self._narrator.seq + 1:
                    return [news]
                return [] if news.seq <= self._narrator.seq else await self._unread()
            case Lagged() | Closed():
                return await self._unread()
            case TextDelta():
                return []
            case _ as never:
                assert_never(never)

    async def _unread(self) -> Sequence[StoredEvent]:
        return await self._store.events(self._id, after=self._narrator.seq)

    def _tell(self, rows: Sequence[StoredEvent]) -> Iterator[tuple[float, ServerSentEvent]]:
        for row in rows:
            event = self._narrator.tell(row, last=row is rows[-1])
            if event is not None:
                yield row.seq, event
