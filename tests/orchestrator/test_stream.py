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
    EffectIntended,
    Event,
    PlannerDecided,
    TrajectoryCreated,
    TrajectoryFinished,
)
from orchestrator.log import LoggedEvent, new_event, read_log
from orchestrator.store import EventStore, open_store
from orchestrator.stream.broadcast import MAX_QUEUED, Broadcast, TextPreview
from orchestrator.stream.follow import follow

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
REST: Sequence[Event] = (
    EffectIntended("planner:0"),
    PlannerDecided("I know it", "conclusion", "I know it Next: conclusion."),
    EffectIntended("summarizer:1"),
    AnswerWritten("42"),
    TrajectoryFinished(),
)


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


def preview(role: WritingRole, step: int, text: str, *, after: int) -> TextPreview:
    return TextPreview(TextDelta(role, step, text), after)


async def test_news_with_gaps_and_repetitions(store: EventStore) -> None:
    broadcast = Broadcast()
    collected = Collected(follow(store, await store.get("t", owner="default"), broadcast))
    await collected.reached(1)
    rows = await append(store, *REST)
    broadcast.publish([rows[1]])
    broadcast.publish([rows[0], rows[1], rows[4], rows[3]])
    assert await collected.ended() == COMPLETE


async def test_the_end_of_the_news_is_looked_up_in_the_log(store: EventStore) -> None:
    broadcast = Broadcast()
    collected = Collected(follow(store, await store.get("t", owner="default"), broadcast))
    await collected.reached(1)
    await append(store, *REST)
    broadcast.close(stopping=False)
    assert await collected.ended() == COMPLETE
    assert await Collected(follow(store, await store.get("t", owner="default"), broadcast)).ended() == COMPLETE
    assert await Collected(follow(store, await store.get("t", owner="default"), None)).ended() == COMPLETE


async def test_text_that_its_row_has_overtaken_is_dropped(store: EventStore) -> None:
    broadcast = Broadcast()
    collected = Collected(follow(store, await store.get("t", owner="default"), broadcast))
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
    collected = Collected(follow(store, await store.get("t", owner="default"), broadcast))
    await collected.reached(1)
    broadcast.publish(await append(store, *REST[:3]))
    broadcast.publish([preview("summarizer", 1, "x", after=4)] * MAX_QUEUED)
    await collected.reached(3)
    rows = [event for event in collected.events if event[0] is not None]
    assert rows == COMPLETE[:2]
    broadcast.publish(await append(store, *REST[3:]))
    assert [event for event in await collected.ended() if event[0] is not None] == COMPLETE


async def test_a_stop_ends_the_stream_with_the_wish_to_come_back(store: EventStore) -> None:
    broadcast = Broadcast()
    collected = Collected(follow(store, await store.get("t", owner="default"), broadcast, after=1))
    broadcast.close(stopping=True)
    assert await collected.ended() == [(None, "reconnect")]


async def test_a_live_event_is_not_replayed_by_its_listeners(store: EventStore) -> None:
    """The follower uses the driver's states, as a modified state shows."""
    broadcast = Broadcast()
    listeners = [Collected(follow(store, await store.get("t", owner="default"), broadcast)) for _ in range(3)]
    for collected in listeners:
        await collected.reached(1)
    events = await append(store, *REST)
    *_, last = events
    marked = replace(last, after=replace(last.after, answer="computed by the driver"))
    broadcast.publish([*events[:-1], marked])
    for collected in listeners:
        assert await collected.ended() == COMPLETE
        assert json.loads(collected.data[-1])["answer"] == "computed by the driver"
