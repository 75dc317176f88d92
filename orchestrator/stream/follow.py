"""Follow one trajectory: first its log, then the broadcast, without gaps or repetitions."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from typing import assert_never

from alpha_umi import telemetry
from alpha_umi.contract.stream_events import Reconnect
from alpha_umi.trajectory import Phase, State, TrajectoryFinished
from orchestrator.log import LoggedEvent, read_stored_log
from orchestrator.store import EventStore, StoreDamaged, StoreUnavailable, TrajectoryNotFound, TrajectoryRow
from orchestrator.stream.broadcast import Broadcast, Closed, Listener, Overflow, Unlogged

_log = telemetry.logger(__name__)

Followed = LoggedEvent | Unlogged | Reconnect


async def follow(
    store: EventStore,
    trajectory: TrajectoryRow,
    broadcast: Broadcast | None,
    *,
    after: int = 0,
    until: int | None = None,
) -> AsyncGenerator[Followed, None]:
    """The events after row `after`, up to `trajectory.finished`, or to the end of the log without a broadcast.

    With `until` it ends with that row. An end that another turn follows is left out. If it ends earlier, because the
    process stops or the log is unavailable, the last item is a `Reconnect`.
    """
    # The listener comes before the first read of the log, so that no event falls between the two.
    with contextlib.nullcontext() if broadcast is None else broadcast.listen() as listener:
        try:
            async for item in _Follower(store, trajectory, listener, after, until).items():
                yield item
        except StoreUnavailable as error:
            _log.error("stream.broken", trajectory_id=trajectory.id, reason=str(error))
            yield Reconnect("the event log cannot be read now")
        except TrajectoryNotFound:
            # It was deleted. Whoever connects again is told so.
            yield Reconnect("the trajectory was deleted")
        except StoreDamaged as error:
            _log.error("log.unreadable", trajectory_id=trajectory.id, reason=str(error))


class _Follower:
    """One reader of the rows after `after`. `_state` is that after row `_seq`, the last one that was handled."""

    def __init__(
        self,
        store: EventStore,
        trajectory: TrajectoryRow,
        listener: Listener | None,
        after: int,
        until: int | None,
    ) -> None:
        self._store = store
        self._trajectory = trajectory
        self._listener = listener
        self._after = after
        self._until = until
        self._seq = 0
        self._state = State()

    async def items(self) -> AsyncIterator[Followed]:
        reason = "the trajectory is not being driven now"
        async for logged in self._catch_up():
            yield logged
        while self._listener is not None and not self._ended:
            match item := await self._listener.get():
                case Unlogged():
                    if item.after == self._seq:
                        yield item
                case LoggedEvent(seq=seq) if seq <= self._seq:
                    continue
                case LoggedEvent(seq=seq) if seq == self._seq + 1:
                    # A live event has its states, so that nothing is replayed.
                    if self._handle(item, last=seq):
                        yield item
                case LoggedEvent() | Overflow() | Closed():
                    async for logged in self._catch_up():
                        yield logged
                case _ as never:
                    assert_never(never)
            if isinstance(item, Closed):
                reason = "the orchestrator is shutting down" if item.stopping else reason
                break
        if not self._ended:
            yield Reconnect(reason)

    @property
    def _ended(self) -> bool:
        return self._state.phase is Phase.FINISHED if self._until is None else self._seq >= self._until

    async def _catch_up(self) -> AsyncIterator[LoggedEvent]:
        """The events from row `_seq` on to the end that the log has now."""
        now = await self._store.get(self._trajectory.id, owner=self._trajectory.owner)
        last = now.last_seq if self._until is None else min(now.last_seq, self._until)
        async for logged in read_stored_log(self._store, replace(now, last_seq=last), self._state, after=self._seq):
            if self._handle(logged, last=last):
                yield logged

    def _handle(self, logged: LoggedEvent, *, last: int) -> bool:
        """Whether the event is one for the reader."""
        self._seq, self._state = logged.seq, logged.after
        is_end_between = isinstance(logged.event, TrajectoryFinished) and logged.seq != last
        return logged.seq > self._after and not is_end_between
