"""Conversations: the items that clients put into them, and the responses that name them, as one list in order.

A response in a conversation continues its newest response, so that the trajectory goes on. Items that were added since
then come before those of the request.
"""

from __future__ import annotations

import contextlib
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter

from alpha_umi.contract.openai.conversations import Conversation
from alpha_umi.contract.openai.input_items import InputItem, ItemReference
from alpha_umi.contract.openai.responses import InputItemPage, ItemsQuery
from alpha_umi.contract.problems import ServiceError, refusal
from alpha_umi.trajectory import TrajectoryFinished
from orchestrator.log import read_stored_log, utc_now
from orchestrator.openai.ids import place_of
from orchestrator.openai.item_documents import id_prefix, item_document
from orchestrator.openai.previous import not_found, stored_turn
from orchestrator.openai.projection import Projection
from orchestrator.store import (
    ConversationRow,
    Entry,
    EventStore,
    TrajectoryNotFound,
    TrajectoryPruned,
    TurnRow,
    entry_of,
)

# Own items and turn records that are read at a time.
_PAGE: Final = 50
# What a request must be able to hold beside its own items.
MAX_PENDING_ITEMS: Final = 1_000
# Of a chain that is compacted.
MAX_RESPONSES: Final = 200
_ITEM: Final[TypeAdapter[InputItem]] = TypeAdapter(InputItem)

Document = dict[str, Any]


@dataclass(frozen=True)
class Continuation:
    """Where a conversation goes on: the record of its newest response, and the items that were added after it."""

    previous: TurnRow | None
    items: tuple[InputItem, ...]


class Conversations:
    """The conversations of all owners."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._locked: set[str] = set()

    async def create(self, items: Sequence[InputItem], metadata: Mapping[str, str], *, owner: str) -> Conversation:
        """A new conversation. Raises `ServiceError`."""
        row = ConversationRow(f"conv_{uuid.uuid4().hex}", owner, utc_now(), dict(metadata))
        await self._store.create_conversation(row, _new_documents(items))
        return _shown(row)

    async def read(self, conversation_id: str, *, owner: str) -> Conversation:
        """A conversation. Raises `ServiceError`."""
        return _shown(await self._row(conversation_id, owner))

    async def update(self, conversation_id: str, metadata: Mapping[str, str], *, owner: str) -> Conversation:
        """Replace the metadata. Raises `ServiceError`."""
        await self._store.set_conversation_metadata(conversation_id, metadata, owner=owner)
        return await self.read(conversation_id, owner=owner)

    async def delete(self, conversation_id: str, *, owner: str) -> None:
        """Delete a conversation; its responses stay. Raises `ServiceError`."""
        if not await self._store.delete_conversation(conversation_id, owner=owner):
            raise _not_found(conversation_id)

    async def add(self, conversation_id: str, items: Sequence[InputItem], *, owner: str) -> InputItemPage:
        """Add items, which are answered as they are stored. Raises `ServiceError`, also while a response runs."""
        documents = _new_documents(items)
        async with self.continuation(conversation_id, owner=owner) as continuation:
            if len(continuation.items) + len(documents) > MAX_PENDING_ITEMS:
                detail = f"{len(continuation.items)} items wait for a response, allowed are {MAX_PENDING_ITEMS}"
                raise refusal("items", detail, "create a response, then add more")
            await self._store.add_conversation_items(conversation_id, documents, at=utc_now())
        return _page([document for _, document in documents], has_more=False)

    async def item(self, conversation_id: str, item_id: str, *, owner: str) -> Document:
        """One item. Raises `ServiceError`."""
        await self._row(conversation_id, owner)
        if (stored := await self._store.conversation_item(conversation_id, item_id)) is not None:
            return stored.document
        _, documents = await self._turn_with(conversation_id, item_id, owner)
        return next(document for document in documents if document["id"] == item_id)

    async def delete_item(self, conversation_id: str, item_id: str, *, owner: str) -> Conversation:
        """Delete an item that a client added. Raises `ServiceError`."""
        conversation = await self.read(conversation_id, owner=owner)
        if not await self._store.delete_conversation_item(conversation_id, item_id):
            turn, _ = await self._turn_with(conversation_id, item_id, owner)
            detail = f"{item_id} belongs to a response of {turn.trajectory_id}, whose log does not change"
            raise refusal("item_id", detail, "delete the response")
        return conversation

    async def items(self, conversation_id: str, query: ItemsQuery, *, owner: str) -> InputItemPage:
        """A page of the items. Raises `ServiceError`."""
        await self._row(conversation_id, owner)
        newest_first = query.order == "desc"
        items, place = await self._beginning(conversation_id, query, owner)
        wanted = query.limit + 1
        while len(items) < wanted:
            entries = await self._store.conversation_entries(
                conversation_id, owner=owner, after=place, newest_first=newest_first, limit=min(_PAGE, wanted)
            )
            if not entries:
                break
            documents = await self._documents(conversation_id, entries, owner)
            for entry in entries:
                items += reversed(documents[entry]) if newest_first else documents[entry]
            place = entries[-1]
        return _page(items[: query.limit], has_more=len(items) > query.limit)

    @contextlib.asynccontextmanager
    async def continuation(self, conversation_id: str, *, owner: str) -> AsyncIterator[Continuation]:
        """Where a response in the conversation begins. Until the block ends, nobody else continues it.

        In the block the turn record that names the conversation is committed. Raises `ServiceError` if there is no
        such conversation, if another request continues it now, and while its newest response runs.
        """
        await self._row(conversation_id, owner)
        if conversation_id in self._locked:
            raise _locked(conversation_id)
        self._locked.add(conversation_id)
        try:
            previous = await self._store.conversation_turn(conversation_id, owner=owner)
            if previous is not None and await self._runs(previous):
                raise _locked(conversation_id)
            yield Continuation(previous, await self._pending(conversation_id, previous, owner))
        finally:
            self._locked.discard(conversation_id)

    async def items_up_to(self, response: str, *, owner: str) -> list[InputItem]:
        """The items of a response and of all before it: in its conversation, or as each continues the one before.

        Raises `ServiceError`.
        """
        documents: list[Document] = []
        turn = await stored_turn(self._store, response, owner=owner)
        if turn is None or not turn.document["store"]:
            raise not_found(response)
        for _ in range(MAX_RESPONSES):
            if turn is None:
                return [_ITEM.validate_python(document) for document in documents]
            if turn.conversation is not None:
                documents[:0] = await self._conversation_up_to(turn, turn.conversation, owner)
                turn = None
                continue
            items = (await self._items_of([turn], owner)).get(entry_of(turn))
            if items is None:
                detail = f"the response {response!r} has not ended yet"
                raise ServiceError("trajectory-busy", detail, field="previous_response_id", remedy="wait for its end")
            documents[:0] = items
            named = turn.document.get("previous_response_id")
            turn = None if named is None else await stored_turn(self._store, named, owner=owner)
        detail = f"there are more than {MAX_RESPONSES} responses before it"
        raise refusal("previous_response_id", detail, "compact more often")

    async def _conversation_up_to(self, turn: TurnRow, conversation_id: str, owner: str) -> list[Document]:
        entries = await self._store.conversation_entries(
            conversation_id, owner=owner, after=entry_of(turn), newest_first=True, limit=MAX_PENDING_ITEMS
        )
        entries = [*reversed(entries), entry_of(turn)]
        documents = await self._documents(conversation_id, entries, owner)
        return [document for entry in entries for document in documents[entry]]

    async def _row(self, conversation_id: str, owner: str) -> ConversationRow:
        row = await self._store.conversation(conversation_id, owner=owner)
        if row is None:
            raise _not_found(conversation_id)
        return row

    async def _runs(self, turn: TurnRow) -> bool:
        """Whether the response is under way. One that waits for the output of a call is not."""
        row = await self._store.get(turn.trajectory_id, owner=turn.owner)
        if row.finished_at is not None or row.status == "requires_action":
            return False
        return (await self._store.turns(turn.trajectory_id, owner=turn.owner))[-1].seq == turn.seq

    async def _pending(self, conversation_id: str, previous: TurnRow | None, owner: str) -> tuple[InputItem, ...]:
        entries = await self._store.conversation_entries(
            conversation_id,
            owner=owner,
            after=None if previous is None else entry_of(previous),
            limit=MAX_PENDING_ITEMS,
        )
        own = await self._store.conversation_items(conversation_id, [entry.number for entry in entries])
        return tuple(_ITEM.validate_python(own[entry.number].document) for entry in entries)

    async def _beginning(
        self, conversation_id: str, query: ItemsQuery, owner: str
    ) -> tuple[list[Document], Entry | None]:
        """The rest of the response that has the item `after`, and the place from which the list goes on."""
        if query.after is None:
            return [], None
        if (stored := await self._store.conversation_item(conversation_id, query.after)) is not None:
            return [], stored.entry
        turn, documents = await self._turn_with(conversation_id, query.after, owner)
        if query.order == "desc":
            documents.reverse()
        position = next(n for n, document in enumerate(documents) if document["id"] == query.after)
        return documents[position + 1 :], entry_of(turn)

    async def _turn_with(self, conversation_id: str, item_id: str, owner: str) -> tuple[TurnRow, list[Document]]:
        """The record and the items of the response that has an item. Raises `ServiceError`."""
        # What a response wrote names its row; an item of its request is looked for in the record.
        place = place_of(item_id, "")
        text = f'"id":"{item_id}"' if place is None else None
        turn = await self._store.conversation_turn(conversation_id, owner=owner, place=place, text=text)
        if turn is not None:
            documents = (await self._items_of([turn], owner)).get(entry_of(turn), [])
            if any(document["id"] == item_id for document in documents):
                return turn, documents
        raise ServiceError("item-not-found", f"the conversation has no item {item_id!r}", field="item_id")

    async def _documents(
        self, conversation_id: str, entries: Sequence[Entry], owner: str
    ) -> dict[Entry, list[Document]]:
        positions = [entry.number for entry in entries if not entry.trajectory_id]
        own = await self._store.conversation_items(conversation_id, positions)
        documents = {item.entry: [item.document] for item in own.values()}
        for trajectory_id in {entry.trajectory_id for entry in entries if entry.trajectory_id}:
            rows = {entry.number for entry in entries if entry.trajectory_id == trajectory_id}
            turns = await self._store.turns(trajectory_id, owner=owner)
            documents |= await self._items_of([turn for turn in turns if turn.seq in rows], owner)
        return defaultdict(list, documents)

    async def _items_of(self, turns: Collection[TurnRow], owner: str) -> dict[Entry, list[Document]]:
        """The items of responses of one trajectory: those of the request, then those that were written.

        Of a response that has not ended there are none.
        """
        projections = [Projection(turn, with_events=False) for turn in turns]
        if not turns:
            return {}
        trajectory_id = next(iter(turns)).trajectory_id
        try:
            row = await self._store.get(trajectory_id, owner=owner)
        except (TrajectoryPruned, TrajectoryNotFound):
            return {}
        async for logged in read_stored_log(self._store, row):
            # An end that a further turn follows is none.
            is_end_between = isinstance(logged.event, TrajectoryFinished) and logged.seq != row.last_seq
            for turn, projection in zip(turns, projections, strict=True):
                if logged.seq >= turn.seq and not is_end_between:
                    projection.feed(logged)
        return {
            entry_of(turn): [*turn.document.get("input", ()), *projection.resource()["output"]]
            for turn, projection in zip(turns, projections, strict=True)
            if projection.is_terminal
        }


def _new_documents(items: Sequence[InputItem]) -> list[tuple[str, Document]]:
    documents = []
    for position, item in enumerate(items):
        if isinstance(item, ItemReference):
            detail = "an item is added to a conversation itself, not by a reference"
            raise refusal(f"items.{position}", detail, "send the item")
        item_id = id_prefix(item) + uuid.uuid4().hex
        documents.append((item_id, item_document(item, item_id)))
    return documents


def _page(documents: list[Document], *, has_more: bool) -> InputItemPage:
    ids = [document["id"] for document in documents] or [None]
    return InputItemPage(data=documents, first_id=ids[0], last_id=ids[-1], has_more=has_more)


def _shown(row: ConversationRow) -> Conversation:
    return Conversation(id=row.id, created_at=int(row.created_at.timestamp()), metadata=row.metadata)


def _not_found(conversation_id: str) -> ServiceError:
    return ServiceError(
        "conversation-not-found", f"no conversation has the id {conversation_id!r}", field="conversation"
    )


def _locked(conversation_id: str) -> ServiceError:
    detail = f"another request continues the conversation {conversation_id} now"
    return ServiceError("conversation-locked", detail, field="conversation", remedy="retry when its response has ended")
