"""Follow one trajectory: first its log, then the broadcast, without gaps or repetitions."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import assert_never

from sse_starlette import ServerSentEvent

from alpha_umi import telemetry
from alpha_umi.contract.stream_events import Reconnect
from alpha_umi.trajectory import Phase, State
from orchestrator.log import LoggedEvent, read_stored_log
from orchestrator.store import EventStore, StoreDamaged, StoreUnavailable, TrajectoryNotFound, TrajectoryRow
from orchestrator.stream.broadcast import Broadcast, Closed, Listener, Overflow, Unlogged
from orchestrator.stream.serialization import serialize, serialize_live, serialize_reconnect

_log = telemetry.logger(__name__)


async def follow(
    store: EventStore, trajectory: TrajectoryRow, broadcast: Broadcast | None, *, after: int = 0
) -> AsyncGenerator[ServerSentEvent, None]:
    """The events after row `after`, up to `trajectory.finished`, or to the end of the log without a broadcast.

    If the stream ends earlier, because the process stops or the log is unavailable, its last event is `reconnect`.
    """
    # The listener comes before the first read of the log, so that no event falls between the two.
    with contextlib.nullcontext() if broadcast is None else broadcast.listen() as listener:
        try:
            async for event in _Follower(store, trajectory, listener, after).events():
                yield event
        except StoreUnavailable as error:
            _log.error("stream.broken", trajectory_id=trajectory.id, reason=str(error))
            yield serialize_reconnect(Reconnect("the event log cannot be read now"))
        except TrajectoryNotFound:
            # It was deleted. Whoever connects again is told so.
            yield serialize_reconnect(Reconnect("the trajectory was deleted"))
        except StoreDamaged as error:
            _log.error("log.unreadable", trajectory_id=trajectory.id, reason=str(error))


class _Follower:
    """One stream of the events after row `after`. `_state` is that after row `_seq`, the last one that was handled."""

    def __init__(self, store: EventStore, trajectory: TrajectoryRow, listener: Listener | None, after: int) -> None:
        self._store = store
        self._trajectory = trajectory
        self._listener = listener
        self._after = after
        self._seq = 0
        self._state = State()

    async def events(self) -> AsyncIterator[ServerSentEvent]:
        reason = "the trajectory is not being driven now"
        async for event in self._catch_up():
            yield event
        while self._listener is not None and not self._ended:
            match item := await self._listener.get():
                case Unlogged():
                    if item.after == self._seq:
                        yield serialize_live(item.event)
                case LoggedEvent(seq=seq) if seq <= self._seq:
                    continue
                case LoggedEvent(seq=seq) if seq == self._seq + 1:
                    # A live event has its states, so that nothing is replayed.
                    if (live := self._handle(item, last=seq)) is not None:
                        yield live
                case LoggedEvent() | Overflow() | Closed():
                    async for event in self._catch_up():
                        yield event
                case _ as never:
                    assert_never(never)
            if isinstance(item, Closed):
                reason = "the orchestrator is shutting down" if item.stopping else reason
                break
        if not self._ended:
            yield serialize_reconnect(Reconnect(reason))

    @property
    def _ended(self) -> bool:
        return self._state.phase is Phase.FINISHED

    async def _catch_up(self) -> AsyncIterator[ServerSentEvent]:
        """The events from row `_seq` on to the end that the log has now."""
        now = await self._store.get(self._trajectory.id, owner=self._trajectory.owner)
        async for logged in read_stored_log(self._store, now, self._state, after=self._seq):
            if (event := self._handle(logged, last=now.last_seq)) is not None:
                yield event

    def _handle(self, logged: LoggedEvent, *, last: int) -> ServerSentEvent | None:
        self._seq, self._state = logged.seq, logged.after
        return serialize(logged, self._trajectory, last=logged.seq == last) if logged.seq > self._after else None
