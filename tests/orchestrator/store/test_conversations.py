"""Conversations: items in the order in which they were added, with the turn records that name the conversation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.store import ConversationRow, EventStore, NewEvent, TurnRecord, entry_of, open_store

START = datetime(2026, 3, 1, tzinfo=UTC)


async def _create(store: EventStore, *items: str) -> None:
    row = ConversationRow("conv_1", "a", START, {"topic": "tides"})
    await store.create_conversation(row, [(item, {"id": item}) for item in items])


async def _turn(store: EventStore, name: str, *, at: datetime = START, owner: str = "a") -> None:
    await store.create(
        name,
        [NewEvent("trajectory.created", {})],
        at=at,
        instruction="?",
        tools=[],
        owner=owner,
        turn=TurnRecord(owner, "responses", {}, conversation="conv_1"),
    )


async def _order(store: EventStore, **options: object) -> list[str]:
    entries = await store.conversation_entries("conv_1", owner="a", limit=100, **options)  # type: ignore[arg-type]
    own = await store.conversation_items("conv_1", [entry.number for entry in entries if not entry.trajectory_id])
    return [entry.trajectory_id or own[entry.number].id for entry in entries]


async def test_items_and_turns_are_in_the_order_of_their_arrival_also_when_the_clock_is_set_back(
    store: EventStore,
) -> None:
    await _create(store, "i1", "i2")
    await _turn(store, "t1", at=START + timedelta(days=1))
    await store.add_conversation_items("conv_1", [("i3", {"id": "i3"}), ("i4", {"id": "i4"})], at=START)
    await _turn(store, "t2", at=START + timedelta(days=2))
    assert await _order(store) == ["i1", "i2", "t1", "i3", "i4", "t2"]
    assert await _order(store, newest_first=True) == ["t2", "i4", "i3", "t1", "i2", "i1"]
    newest = await store.conversation_turn("conv_1", owner="a")
    assert newest is not None
    assert newest.trajectory_id == "t2"
    assert await _order(store, after=entry_of(newest), newest_first=True) == ["i4", "i3", "t1", "i2", "i1"]


async def test_another_owner_sees_neither_the_conversation_nor_its_records(store: EventStore) -> None:
    await _create(store, "i1")
    await _turn(store, "t1", owner="b")
    assert await store.conversation("conv_1", owner="b") is None
    assert not await store.delete_conversation("conv_1", owner="b")
    await store.set_conversation_metadata("conv_1", {}, owner="b")
    assert await _order(store) == ["i1"], "the record of another owner is not there"
    assert await store.conversation_turn("conv_1", owner="a") is None
    mine = await store.conversation("conv_1", owner="a")
    assert mine is not None
    assert (mine.metadata, mine.created_at) == ({"topic": "tides"}, START)


async def test_deleting_takes_the_items_along_and_leaves_the_records(store: EventStore) -> None:
    await _create(store, "i1", "i2")
    await _turn(store, "t1")
    assert await store.delete_conversation_item("conv_1", "i2")
    assert not await store.delete_conversation_item("conv_1", "i2")
    assert await store.delete_conversation("conv_1", owner="a")
    assert await store.conversation_item("conv_1", "i1") is None
    assert len(await store.turns("t1", owner="a")) == 1


async def test_a_record_of_a_trajectory_is_the_newest_up_to_a_row(store: EventStore) -> None:
    await _create(store)
    await _turn(store, "t1")
    record = TurnRecord("a", "responses", {"input": "what?"}, conversation="conv_1")
    await store.append("t1", after=1, events=[NewEvent("trajectory.continued", {})], at=START, turn=record)
    for number, seq in ((1, 1), (2, 2), (9, 2)):
        turn = await store.conversation_turn("conv_1", owner="a", place=("t1", number))
        assert turn is not None
        assert turn.seq == seq
    with_text = await store.conversation_turn("conv_1", owner="a", text='"input":"what?"')
    assert with_text is not None
    assert with_text.seq == 2


async def test_one_is_unused_when_nothing_was_added_since_and_no_response_names_it(store: EventStore) -> None:
    await _create(store, "i1")
    await _turn(store, "t1")
    for id_ in ("conv_2", "conv_3", "conv_4"):
        at = START + timedelta(days=2 * (id_ == "conv_3"))
        await store.create_conversation(ConversationRow(id_, "a", at, {}), [])
    await store.add_conversation_items("conv_4", [("i2", {})], at=START + timedelta(days=2))
    assert await store.delete_unused_conversations(START + timedelta(days=1)) == 1
    left = [id_ for id_ in ("conv_1", "conv_2", "conv_3", "conv_4") if await store.conversation(id_, owner="a")]
    assert left == ["conv_1", "conv_3", "conv_4"]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(kinds=st.lists(st.booleans(), max_size=12), size=st.integers(1, 5), newest_first=st.booleans())
async def test_pages_join_to_the_list(url: str, kinds: list[bool], size: int, newest_first: bool) -> None:
    async with open_store(url.replace("log.db", f"{kinds}{size}{newest_first}.db")) as store:
        await _create(store)
        for number, is_turn in enumerate(kinds):
            at = START + timedelta(seconds=number)
            if is_turn:
                await _turn(store, f"t{number}", at=at)
            else:
                await store.add_conversation_items("conv_1", [(f"i{number}", {})], at=at)
        everything = await store.conversation_entries("conv_1", owner="a", newest_first=newest_first, limit=100)
        pages, after = [], None
        while True:
            page = await store.conversation_entries(
                "conv_1", owner="a", after=after, newest_first=newest_first, limit=size
            )
            pages += page
            if len(page) < size:
                break
            after = page[-1]
        assert pages == everything
        assert len(everything) == len(kinds)
