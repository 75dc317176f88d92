"""Following a log and its news, with news that come late, twice, not at all, or too many at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sse_starlette import ServerSentEvent

from alpha_umi.trajectory import AnswerWritten, Event, Finished, Intended, PlannerDecided, QuestionAsked, pack
from orchestrator.live import MAX_WAITING, Feed, TextDelta
from orchestrator.store import EventStore, NewEvent, StoredEvent, open_store
from orchestrator.stream import follow

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
REST: Sequence[Event] = (
    Intended("planner:0"),
    PlannerDecided("I know it", "conclusion", "I know it Next: conclusion."),
    Intended("summarizer:1"),
    AnswerWritten("42"),
    Finished(),
)


class Told:
    """What a follower has told so far."""

    def __init__(self, events: AsyncIterator[ServerSentEvent]) -> None:
        self.events: list[tuple[str | None, str | None]] = []
        self.data: list[str] = []
        self._task = asyncio.create_task(self._collect(events))

    async def _collect(self, events: AsyncIterator[ServerSentEvent]) -> None:
        async for event in events:
            self.events.append((event.id, event.event))
            self.data.append(event.data)

    async def reached(self, count: int) -> None:
        """Wait for so many events."""
        async with asyncio.timeout(5):
            while len(self.events) < count:
                await asyncio.sleep(0)

    async def ended(self) -> list[tuple[str | None, str | None]]:
        """All events, once the stream is over."""
        async with asyncio.timeout(5):
            await self._task
        return self.events


WHOLE = [
    ("1", "trajectory.created"),
    ("3", "planner.decided"),
    ("5", "summarizer.answered"),
    ("6", "trajectory.finished"),
]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[EventStore]:
    """A log of one question."""
    async with open_store(f"sqlite:///{tmp_path}/log.db") as store:
        question = QuestionAsked("What?", ("look_up",))
        await store.create("t", [NewEvent(*pack(question))], at=NOW, instruction="What?", tools=["look_up"])
        yield store


async def append(store: EventStore, *events: Event) -> list[StoredEvent]:
    end = (await store.get("t")).last_seq
    return await store.append("t", after=end, events=[NewEvent(*pack(event)) for event in events], at=NOW)


async def test_news_with_gaps_and_repetitions(store: EventStore) -> None:
    feed = Feed()
    told = Told(follow(store, await store.get("t"), feed))
    await told.reached(1)
    rows = await append(store, *REST)
    feed.publish([rows[1]])
    feed.publish([rows[0], rows[1], rows[4], rows[3]])
    assert await told.ended() == WHOLE


async def test_the_end_of_the_news_is_looked_up_in_the_log(store: EventStore) -> None:
    feed = Feed()
    told = Told(follow(store, await store.get("t"), feed))
    await told.reached(1)
    await append(store, *REST)
    feed.close(stopping=False)
    assert await told.ended() == WHOLE
    assert await Told(follow(store, await store.get("t"), feed)).ended() == WHOLE
    assert await Told(follow(store, await store.get("t"), None)).ended() == WHOLE


async def test_text_that_its_row_has_overtaken_is_dropped(store: EventStore) -> None:
    feed = Feed()
    told = Told(follow(store, await store.get("t"), feed))
    await told.reached(1)
    feed.publish(await append(store, REST[0]))
    feed.publish([TextDelta("planner", 0, "I ", after=2)])
    await told.reached(2)
    feed.publish(await append(store, *REST[1:3]))
    feed.publish([TextDelta("planner", 0, "late", after=2), TextDelta("summarizer", 1, "4", after=4)])
    feed.publish(await append(store, *REST[3:]))
    live = (None, "planner.delta"), (None, "summarizer.delta")
    assert await told.ended() == [WHOLE[0], live[0], WHOLE[1], live[1], *WHOLE[2:]]
    assert json.loads(told.data[1]) == {"step": 0, "text": "I "}


async def test_too_many_news_are_replaced_by_the_log(store: EventStore) -> None:
    feed = Feed()
    told = Told(follow(store, await store.get("t"), feed))
    await told.reached(1)
    feed.publish(await append(store, *REST[:3]))
    feed.publish([TextDelta("summarizer", 1, "x", after=4)] * MAX_WAITING)
    await told.reached(3)
    rows = [event for event in told.events if event[0] is not None]
    assert rows == WHOLE[:2]
    feed.publish(await append(store, *REST[3:]))
    assert [event for event in await told.ended() if event[0] is not None] == WHOLE


async def test_a_stop_ends_the_stream_with_the_wish_to_come_back(store: EventStore) -> None:
    feed = Feed()
    told = Told(follow(store, await store.get("t"), feed, after=1))
    feed.close(stopping=True)
    assert await told.ended() == [(None, "reconnect")]
