"""Records of the standard interfaces' requests: written with the first row of a turn, and gone with the trajectory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.store import EventStore, NewEvent, NotStorable, TurnRecord

START = datetime(2026, 3, 1, tzinfo=UTC)


async def _create(store: EventStore, name: str, *, owner: str = "a", digest: str | None = None) -> None:
    await store.create(
        name,
        [NewEvent("trajectory.created", {})],
        at=START,
        instruction="?",
        tools=[],
        owner=owner,
        turn=TurnRecord(owner, "responses", {"input": "é"}, digest),
    )


async def test_a_record_is_written_with_the_first_row_of_its_turn(store: EventStore) -> None:
    await _create(store, "t")
    record = TurnRecord("a", "chat", {"n": [1]}, "d", "conv_1")
    later = START + timedelta(seconds=1)
    await store.append("t", after=1, events=[NewEvent("effect.intended", {})], at=later)
    await store.append("t", after=2, events=[NewEvent("tool.observed", {})] * 2, at=later, turn=record)
    first, second = await store.turns("t", owner="a")
    assert (first.seq, first.interface, first.document, first.at) == (1, "responses", {"input": "é"}, START)
    assert (second.seq, second.trajectory_id, second.conversation, second.digest) == (3, "t", "conv_1", "d")
    assert await store.turns("t", owner="b") == []


async def test_records_of_a_conversation_are_those_of_one_owner_newest_first(store: EventStore) -> None:
    for name, owner in (("t1", "a"), ("t2", "a"), ("t3", "b")):
        await _create(store, name, owner=owner, digest="d")
    assert {turn.trajectory_id for turn in await store.turns_with("d", owner="a")} == {"t1", "t2"}
    assert await store.turns_with("other", owner="a") == []


async def test_an_owner_deletes_a_record_and_a_trajectory_takes_its_records_along(store: EventStore) -> None:
    await _create(store, "t1")
    await _create(store, "t2")
    assert not await store.delete_turn("t1", 1, owner="b")
    assert await store.delete_turn("t1", 1, owner="a")
    assert await store.turns("t1", owner="a") == []
    await store.append(
        "t2", after=1, events=[NewEvent("trajectory.finished", {})], at=START, status="completed", finished_at=START
    )
    await store.delete([await store.get("t2", owner="a")], at=START, sets_in_use=lambda: ())
    assert await store.turns("t2", owner="a") == []


async def test_a_record_without_json_form_is_refused_with_its_events(store: EventStore) -> None:
    with pytest.raises(NotStorable, match="the request"):
        await store.create(
            "t", [], at=START, instruction="?", tools=[], owner="a", turn=TurnRecord("a", "chat", {"x": float("nan")})
        )
    assert (await store.list(owner="a")).rows == []
