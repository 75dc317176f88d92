"""Stored conversations: what a client put into them, and in which order responses belong between it.

A conversation is its own items and the turn records that name it. Both are ordered by time. An item is always written
with a later time than the records that are there, so that a clock that is set back changes no order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Select, delete, exists, func, insert, literal, or_, select, tuple_, union_all, update
from sqlalchemy.sql import Executable

from orchestrator.store.model import TurnRow
from orchestrator.store.rows import Row, decode_time, encode_json, encode_time, read_object, read_turn
from orchestrator.store.tables import CONVERSATION_ITEMS, CONVERSATIONS, TURNS

Result = TypeVar("Result")
Item = TypeVar("Item")


@dataclass(frozen=True)
class ConversationRow:
    """An owner's conversation."""

    id: str
    owner: str
    created_at: datetime
    metadata: dict[str, Any]


class Entry(NamedTuple):
    """The place of an own item (`trajectory_id` is empty, `number` its position) or of a turn record (its row)."""

    at: str
    trajectory_id: str
    number: int


class StoredItem(NamedTuple):
    """An own item of a conversation, and its place."""

    id: str
    document: dict[str, Any]
    entry: Entry


class ConversationStore(ABC):
    """The statements on conversations. Every method that takes an owner sees that owner's conversations only."""

    @abstractmethod
    async def _transact(self, work: Callable[[Connection], Result]) -> Result: ...

    @abstractmethod
    async def _rows(self, statement: Executable, convert: Callable[[Row], Item]) -> list[Item]: ...

    async def create_conversation(self, row: ConversationRow, items: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """Write a conversation with its first items, which are ids and documents. Raises `NotStorable`."""
        metadata = encode_json(row.metadata, name="metadata")
        documents = _encoded(items)
        values = {"id": row.id, "owner": row.owner, "created_at": encode_time(row.created_at), "metadata": metadata}

        def work(connection: Connection) -> None:
            connection.execute(insert(CONVERSATIONS).values(values))
            _add_items(connection, row.id, documents, row.created_at)

        await self._transact(work)

    async def conversation(self, conversation_id: str, *, owner: str) -> ConversationRow | None:
        """An owner's conversation. Raises `StoreDamaged`."""
        statement = select(CONVERSATIONS).where(*_mine(conversation_id, owner))
        return next(iter(await self._rows(statement, _read_conversation)), None)

    async def set_conversation_metadata(self, conversation_id: str, metadata: Mapping[str, Any], *, owner: str) -> None:
        """Replace the metadata. Raises `NotStorable`."""
        text = encode_json(dict(metadata), name="metadata")
        statement = update(CONVERSATIONS).where(*_mine(conversation_id, owner)).values(metadata=text)
        await self._transact(lambda connection: connection.execute(statement))

    async def delete_conversation(self, conversation_id: str, *, owner: str) -> bool:
        """Delete a conversation with its own items; False if there was none. Its responses stay."""
        statement = delete(CONVERSATIONS).where(*_mine(conversation_id, owner))
        return await self._transact(lambda connection: connection.execute(statement).rowcount > 0)

    async def delete_unused_conversations(self, before: datetime) -> int:
        """Delete those that nothing was added to since a time, and that no response names; their number."""
        time = encode_time(before)
        items, turns = CONVERSATION_ITEMS.c, TURNS.c
        is_used = or_(
            exists().where(items.conversation_id == CONVERSATIONS.c.id, items.at >= time),
            exists().where(turns.conversation == CONVERSATIONS.c.id),
        )
        statement = delete(CONVERSATIONS).where(CONVERSATIONS.c.created_at < time, ~is_used)
        return await self._transact(lambda connection: connection.execute(statement).rowcount)

    async def add_conversation_items(
        self, conversation_id: str, items: Sequence[tuple[str, Mapping[str, Any]]], *, at: datetime
    ) -> None:
        """Add items, ids and documents, after all that the conversation has. Raises `NotStorable`."""
        await self._transact(partial(_add_items, conversation_id=conversation_id, documents=_encoded(items), at=at))

    async def delete_conversation_item(self, conversation_id: str, item_id: str) -> bool:
        """Delete an own item; False if there was none."""
        statement = delete(CONVERSATION_ITEMS).where(
            CONVERSATION_ITEMS.c.conversation_id == conversation_id, CONVERSATION_ITEMS.c.id == item_id
        )
        return await self._transact(lambda connection: connection.execute(statement).rowcount > 0)

    async def conversation_item(self, conversation_id: str, item_id: str) -> StoredItem | None:
        """An own item. Raises `StoreDamaged`."""
        statement = select(CONVERSATION_ITEMS).where(
            CONVERSATION_ITEMS.c.conversation_id == conversation_id, CONVERSATION_ITEMS.c.id == item_id
        )
        return next(iter(await self._rows(statement, _read_item)), None)

    async def conversation_entries(
        self, conversation_id: str, *, owner: str, after: Entry | None = None, newest_first: bool = False, limit: int
    ) -> list[Entry]:
        """The places of own items and of turn records in order, those beyond `after`."""
        statement = _entries(conversation_id, owner=owner, after=after, newest_first=newest_first).limit(limit)
        return await self._rows(statement, lambda row: Entry(**row))

    async def conversation_items(self, conversation_id: str, positions: Sequence[int]) -> dict[int, StoredItem]:
        """Own items by position. Raises `StoreDamaged`."""
        statement = select(CONVERSATION_ITEMS).where(
            CONVERSATION_ITEMS.c.conversation_id == conversation_id, CONVERSATION_ITEMS.c.position.in_(positions)
        )
        return {item.entry.number: item for item in await self._rows(statement, _read_item)}

    async def conversation_turn(
        self, conversation_id: str, *, owner: str, place: tuple[str, int] | None = None, text: str | None = None
    ) -> TurnRow | None:
        """The newest turn record; of one trajectory and not after a row (`place`), or with a `text` in its document."""
        wanted = [TURNS.c.conversation == conversation_id, TURNS.c.owner == owner]
        if place is not None:
            wanted += [TURNS.c.trajectory_id == place[0], TURNS.c.seq <= place[1]]
        if text is not None:
            wanted.append(func.instr(TURNS.c.document, text) > 0)
        newest = (TURNS.c.at.desc(), TURNS.c.trajectory_id.desc(), TURNS.c.seq.desc())
        statement = select(TURNS).where(*wanted).order_by(*newest).limit(1)
        return next(iter(await self._rows(statement, read_turn)), None)


def entry_of(turn: TurnRow) -> Entry:
    """The place of a turn record."""
    return Entry(encode_time(turn.at), turn.trajectory_id, turn.seq)


def _mine(conversation_id: str, owner: str) -> tuple[Any, Any]:
    return CONVERSATIONS.c.id == conversation_id, CONVERSATIONS.c.owner == owner


def _entries(conversation_id: str, *, owner: str, after: Entry | None, newest_first: bool) -> Select[Any]:
    items, turns = CONVERSATION_ITEMS.c, TURNS.c
    both = union_all(
        select(items.at, literal("").label("trajectory_id"), items.position.label("number")).where(
            items.conversation_id == conversation_id
        ),
        select(turns.at, turns.trajectory_id, turns.seq.label("number")).where(
            turns.conversation == conversation_id, turns.owner == owner
        ),
    ).subquery()
    place = (both.c.at, both.c.trajectory_id, both.c.number)
    statement = select(both).order_by(*(column.desc() if newest_first else column for column in place))
    if after is None:
        return statement
    beyond = tuple_(*place) < tuple_(*after) if newest_first else tuple_(*place) > tuple_(*after)
    return statement.where(beyond)


def _encoded(items: Sequence[tuple[str, Mapping[str, Any]]]) -> Sequence[tuple[str, str]]:
    return [(item_id, encode_json(dict(document), name=f"the item {item_id}")) for item_id, document in items]


def _add_items(
    connection: Connection, conversation_id: str, documents: Sequence[tuple[str, str]], at: datetime
) -> None:
    mine = CONVERSATION_ITEMS.c.conversation_id == conversation_id
    last, newest_item = connection.execute(
        select(func.max(CONVERSATION_ITEMS.c.position), func.max(CONVERSATION_ITEMS.c.at)).where(mine)
    ).one()
    newest_turn = connection.execute(
        select(func.max(TURNS.c.at)).where(TURNS.c.conversation == conversation_id)
    ).scalar()
    for newest in filter(None, (newest_item, newest_turn)):
        at = max(at, decode_time(newest) + timedelta(microseconds=1))
    rows = [
        {
            "conversation_id": conversation_id,
            "position": position,
            "id": item_id,
            "document": document,
            "at": encode_time(at),
        }
        for position, (item_id, document) in enumerate(documents, start=(last or 0) + 1)
    ]
    if rows:
        connection.execute(insert(CONVERSATION_ITEMS), rows)


def _read_conversation(row: Row) -> ConversationRow:
    place = f"conversation {row['id']}"
    metadata = read_object(row["metadata"], place=place)
    return ConversationRow(row["id"], row["owner"], decode_time(row["created_at"]), metadata)


def _read_item(row: Row) -> StoredItem:
    document = read_object(row["document"], place=f"item {row['id']} of conversation {row['conversation_id']}")
    return StoredItem(row["id"], document, Entry(row["at"], "", row["position"]))
