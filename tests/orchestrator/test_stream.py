"""Following a log and its broadcast, with items that are late, repeated, missing, or too many."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sse_starlette import ServerSentEvent

from alpha_umi.contract.stream_events import TextDelta, WritingRole
from alpha_umi.trajectory import (
    AnswerWritten,
    CallMade,
    EffectIntended,
    Event,
    Limits,
    PlannerDecided,
    State,
    ToolObserved,
    TrajectoryCreated,
    TrajectoryFinished,
)
from orchestrator.log import LoggedEvent, new_event, read_log
from orchestrator.store import EventStore, TrajectoryRow, open_store
from orchestrator.stream.broadcast import MAX_QUEUED_BYTES, Broadcast, Closed, Overflow, Unlogged
from orchestrator.stream.follow import follow
from orchestrator.stream.serialization import serialized

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
REST: Sequence[Event] = (
    EffectIntended("planner:0"),
    PlannerDecided("I know it", "conclusion", "I know it Next: conclusion."),
    EffectIntended("summarizer:1"),
    AnswerWritten("42"),
    TrajectoryFinished(),
)


def _events(
    store: EventStore, row: TrajectoryRow, broadcast: Broadcast | None, *, after: int = 0
) -> AsyncIterator[ServerSentEvent]:
    return serialized(follow(store, row, broadcast, after=after), row)


class Collected:
    """The events of a follower so far."""

    def __init__(self, events: AsyncIterator[ServerSentEvent]) -> None:
        self.events: list[tuple[str | None, str | None]] = []
        self.data: list[str] = []
        self._task = asyncio.create_task(self._collect(events))

    async def _collect(self, events: AsyncIterator[ServerSentEvent]) -> None:
        async for event in events:
            self.events.append((event.id, event.event))
            self.data.append(str(event.data))

    async def reached(self, count: int) -> None:
        """Wait for a number of events."""
        async with asyncio.timeout(5):
            while len(self.events) < count:
                await asyncio.sleep(0)

    async def ended(self) -> list[tuple[str | None, str | None]]:
        """All events, once the stream is over."""
        async with asyncio.timeout(5):
            await self._task
        return self.events


COMPLETE = [
    ("1", "trajectory.created"),
    ("3", "planner.decided"),
    ("5", "summarizer.answered"),
    ("6", "trajectory.finished"),
]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[EventStore]:
    """A log with one instruction."""
    async with open_store(f"sqlite:///{tmp_path}/log.db") as store:
        question = TrajectoryCreated("What?", ("look_up",))
        await store.create("t", [new_event(question)], at=NOW, instruction="What?", tools=["look_up"])
        yield store


async def append(store: EventStore, *events: Event) -> list[LoggedEvent]:
    """Append events. Returns the items that a driver would publish."""
    end = (await store.get("t", owner="default")).last_seq
    await store.append("t", after=end, events=[new_event(event) for event in events], at=NOW)
    return list(read_log(await store.events("t")))[end:]


def preview(role: WritingRole, step: int, text: str, *, after: int) -> Unlogged:
    return Unlogged(TextDelta(role, step, text), after)


async def test_news_with_gaps_and_repetitions(store: EventStore) -> None:
    broadcast = Broadcast()
    collected = Collected(_events(store, await store.get("t", owner="default"), broadcast))
    await collected.reached(1)
    rows = await append(store, *REST)
    broadcast.publish([rows[1]])
    broadcast.publish([rows[0], rows[1], rows[4], rows[3]])
    assert await collected.ended() == COMPLETE


async def test_the_end_of_the_news_is_looked_up_in_the_log(store: EventStore) -> None:
    broadcast = Broadcast()
    collected = Collected(_events(store, await store.get("t", owner="default"), broadcast))
    await collected.reached(1)
    await append(store, *REST)
    broadcast.close(stopping=False)
    assert await collected.ended() == COMPLETE
    assert await Collected(_events(store, await store.get("t", owner="default"), broadcast)).ended() == COMPLETE
    assert await Collected(_events(store, await store.get("t", owner="default"), None)).ended() == COMPLETE


async def test_text_that_its_row_has_overtaken_is_dropped(store: EventStore) -> None:
    broadcast = Broadcast()
    collected = Collected(_events(store, await store.get("t", owner="default"), broadcast))
    await collected.reached(1)
    broadcast.publish(await append(store, REST[0]))
    broadcast.publish([preview("planner", 0, "I ", after=2)])
    await collected.reached(2)
    broadcast.publish(await append(store, *REST[1:3]))
    broadcast.publish([preview("planner", 0, "late", after=2), preview("summarizer", 1, "4", after=4)])
    broadcast.publish(await append(store, *REST[3:]))
    live = (None, "planner.delta"), (None, "summarizer.delta")
    assert await collected.ended() == [COMPLETE[0], live[0], COMPLETE[1], live[1], *COMPLETE[2:]]
    assert json.loads(collected.data[1]) == {"step": 0, "text": "I "}


async def test_too_many_news_are_replaced_by_the_log(store: EventStore) -> None:
    broadcast = Broadcast()
    collected = Collected(_events(store, await store.get("t", owner="default"), broadcast))
    await collected.reached(1)
    broadcast.publish(await append(store, *REST[:3]))
    broadcast.publish([preview("summarizer", 1, "x" * 1_000, after=4)] * (MAX_QUEUED_BYTES // 1_000))
    await collected.reached(3)
    rows = [event for event in collected.events if event[0] is not None]
    assert rows == COMPLETE[:2]
    broadcast.publish(await append(store, *REST[3:]))
    assert [event for event in await collected.ended() if event[0] is not None] == COMPLETE


async def test_a_stop_ends_the_stream_with_the_wish_to_come_back(store: EventStore) -> None:
    broadcast = Broadcast()
    collected = Collected(_events(store, await store.get("t", owner="default"), broadcast, after=1))
    broadcast.close(stopping=True)
    assert await collected.ended() == [(None, "reconnect")]


async def test_a_live_event_is_not_replayed_by_its_listeners(store: EventStore) -> None:
    """The follower uses the driver's states, as a modified state shows."""
    broadcast = Broadcast()
    listeners = [Collected(_events(store, await store.get("t", owner="default"), broadcast)) for _ in range(3)]
    for collected in listeners:
        await collected.reached(1)
    events = await append(store, *REST)
    *_, last = events
    marked = replace(last, after=replace(last.after, answer="computed by the driver"))
    broadcast.publish([*events[:-1], marked])
    for collected in listeners:
        assert await collected.ended() == COMPLETE
        assert json.loads(collected.data[-1])["answer"] == "computed by the driver"


async def test_a_long_log_is_read_in_parts_and_nothing_is_missing(store: EventStore) -> None:
    steps = [
        event
        for number in range(40)
        for event in (
            EffectIntended(f"planner:{number}"),
            PlannerDecided("t" * 5_000, "caller", "t" * 5_000),
            EffectIntended(f"caller:{number}"),
            CallMade(f"call_{number}", "look_up", {"n": number}, "{}"),
            EffectIntended(f"tool:{number}"),
            ToolObserved(f"call_{number}", "o" * 5_000, truncated=True, body="b" * 100_000),
        )
    ]
    limits = Limits(max_steps=64)
    created = TrajectoryCreated("What?", ("look_up",), limits)
    await store.create("long", [new_event(created)], at=NOW, instruction="What?", tools=["look_up"])
    await store.append("long", after=1, events=[new_event(event) for event in steps], at=NOW)
    row = await store.get("long", owner="default")
    expected = [str(seq) for seq, event in enumerate([created, *steps], 1) if not isinstance(event, EffectIntended)]
    events = await Collected(_events(store, row, None)).ended()
    assert [event_id for event_id, _ in events[:-1]] == expected
    assert events[-1] == (None, "reconnect")
    resumed = await Collected(_events(store, row, None, after=200)).ended()
    assert resumed == [event for event in events if event[0] is None or int(event[0]) > 200]


async def test_what_a_slow_listener_holds_is_bounded(store: EventStore) -> None:
    broadcast = Broadcast()
    observed = ToolObserved("c", "o" * 10_000, truncated=True, body="b" * 200_000)
    with broadcast.listen() as listener:
        for seq in range(1_000):
            broadcast.publish([LoggedEvent(State(), observed, State(), seq, NOW)])
        broadcast.close(stopping=False)
        assert await listener.get() == Overflow()
        texts = 0
        while not isinstance(item := await listener.get(), Closed):
            assert isinstance(item, LoggedEvent)
            assert isinstance(item.event, ToolObserved)
            assert item.event.body == ""
            texts += len(item.event.content)
        assert texts <= MAX_QUEUED_BYTES
