"""Follow one trajectory: first its log, then the broadcast, without gaps or repetitions."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from typing import assert_never

from sse_starlette import ServerSentEvent

from alpha_umi import telemetry
from alpha_umi.contract.stream_events import Reconnect
from alpha_umi.trajectory import Phase, State
from orchestrator.log import LoggedEvent, read_log
from orchestrator.store import EventStore, StoreDamaged, StoreUnavailable, TrajectoryRow
from orchestrator.stream.broadcast import Broadcast, Closed, FeedItem, Listener, Overflow, RoleNotice, TextPreview
from orchestrator.stream.serialization import serialize, serialize_live, serialize_reconnect

_NO_POSITION = float("inf")
_log = telemetry.logger(__name__)


async def follow(
    store: EventStore, trajectory: TrajectoryRow, broadcast: Broadcast | None, *, after: int = 0
) -> AsyncGenerator[ServerSentEvent, None]:
    """The events after row `after`, up to `trajectory.finished`, or to the end of the log without a broadcast.

    If the stream ends earlier, because the process stops or the log is unavailable, its last event is `reconnect`.
    """
    # The listener comes before the first read of the log, so that no event falls between the two.
    with contextlib.nullcontext() if broadcast is None else broadcast.listen() as listener:
        follower = _Follower(store, trajectory, listener)
        try:
            async for seq, event in follower.events():
                if seq > after:
                    yield event
        except StoreUnavailable as error:
            _log.error("stream.broken", trajectory_id=trajectory.id, reason=str(error))
            yield serialize_reconnect(Reconnect("the event log cannot be read now"))
        except StoreDamaged as error:
            _log.error("log.unreadable", trajectory_id=trajectory.id, reason=str(error))


class _Follower:
    """One stream. `_state` is that after row `_seq`, the last one that was handled."""

    def __init__(self, store: EventStore, trajectory: TrajectoryRow, listener: Listener | None) -> None:
        self._store = store
        self._trajectory = trajectory
        self._listener = listener
        self._seq = 0
        self._state = State()

    async def events(self) -> AsyncIterator[tuple[float, ServerSentEvent]]:
        """Each event with the number of its row; infinity for events that are not in the log."""
        reason = "the trajectory is not being driven now"
        for event in self._serialized(*await self._catch_up()):
            yield event
        while self._listener is not None and not self._ended:
            item = await self._listener.get()
            if isinstance(item, TextPreview | RoleNotice):
                if item.after == self._seq:
                    yield _NO_POSITION, serialize_live(item.delta if isinstance(item, TextPreview) else item.event)
                continue
            for event in self._serialized(*await self._next(item)):
                yield event
            if isinstance(item, Closed):
                reason = "the orchestrator is shutting down" if item.stopping else reason
                break
        if not self._ended:
            yield _NO_POSITION, serialize_reconnect(Reconnect(reason))

    @property
    def _ended(self) -> bool:
        return self._state.phase is Phase.FINISHED

    async def _next(self, item: FeedItem) -> tuple[Iterable[LoggedEvent], int]:
        """The events after row `_seq`, and the last row. A live event has its states, so that nothing is replayed."""
        match item:
            case LoggedEvent():
                if item.seq == self._seq + 1:
                    return [item], item.seq
                return ([], 0) if item.seq <= self._seq else await self._catch_up()
            case Overflow() | Closed():
                return await self._catch_up()
            case TextPreview() | RoleNotice():
                return [], 0
            case _ as never:
                assert_never(never)

    async def _catch_up(self) -> tuple[Iterable[LoggedEvent], int]:
        rows = await self._store.events(self._trajectory.id, after=self._seq)
        return read_log(rows, self._state), rows[-1].seq if rows else 0

    def _serialized(self, log: Iterable[LoggedEvent], last: int) -> Iterator[tuple[float, ServerSentEvent]]:
        for logged in log:
            self._seq, self._state = logged.seq, logged.after
            event = serialize(logged, self._trajectory, last=logged.seq == last)
            if event is not None:
                yield logged.seq, event
