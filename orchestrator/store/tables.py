"""The tables of this version, and the statements on them in SQL that every database understands.

`migrations` brings a database to these tables.

Documents and times are text: JSON objects, and ISO 8601 in UTC with microseconds, which sorts by time. So the same
statements and checks serve every database.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Delete,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Select,
    Table,
    Text,
    Update,
    bindparam,
    case,
    delete,
    func,
    null,
    select,
    text,
    tuple_,
    update,
)

from orchestrator.store.model import RequestKey, TrajectoryRow
from orchestrator.store.rows import encode_time

METADATA = MetaData()

TRAJECTORIES = Table(
    "trajectories",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("created_at", Text, nullable=False),
    Column("finished_at", Text),
    Column("status", Text, nullable=False),
    Column("instruction", Text, nullable=False),
    Column("strategy", Text, nullable=False),
    Column("tools", Text, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("background", Boolean, nullable=False),
    Column("last_seq", Integer, nullable=False),
    Column("owner", Text, nullable=False),
    # The digest of its tool set.
    Column("tool_set", Text),
)
_AGE = (TRAJECTORIES.c.created_at, TRAJECTORIES.c.id)
Index("trajectories_newest", TRAJECTORIES.c.owner, *_AGE)
Index("trajectories_newest_of_status", TRAJECTORIES.c.owner, TRAJECTORIES.c.status, *_AGE)
Index("trajectories_oldest_end", TRAJECTORIES.c.finished_at, TRAJECTORIES.c.id)
Index("trajectories_tool_set", TRAJECTORIES.c.tool_set)
Index("trajectories_unfinished", *_AGE, sqlite_where=TRAJECTORIES.c.finished_at.is_(None))

EVENTS = Table(
    "events",
    METADATA,
    Column("trajectory_id", Text, ForeignKey("trajectories.id"), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("type", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("at", Text, nullable=False),
)

IDEMPOTENCY_KEYS = Table(
    "idempotency_keys",
    METADATA,
    Column("owner", Text, primary_key=True),
    Column("route", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    # No foreign key: the record outlives a trajectory that is deleted.
    Column("trajectory_id", Text, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("at", Text, nullable=False),
)
Index("idempotency_keys_oldest", IDEMPOTENCY_KEYS.c.at)

# Trajectories that were deleted.
PRUNED = Table(
    "pruned",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("at", Text, nullable=False),
)
Index("pruned_oldest", PRUNED.c.at)

TOOL_SOURCES = Table(
    "tool_sources",
    METADATA,
    Column("owner", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("document", Text, nullable=False),
)

AUDIT = Table(
    "audit",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("details", Text, nullable=False),
)

# The tools of trajectories as they were when these were created; `digest` identifies the document.
TOOL_SETS = Table(
    "tool_sets",
    METADATA,
    Column("digest", Text, primary_key=True),
    Column("document", Text, nullable=False),
)

# Finished trajectories as they are shown. A row counts while `seq` is the end of the log. The steps come last, so that
# SQLite does not read them for a list.
SUMMARIES = Table(
    "summaries",
    METADATA,
    Column("trajectory_id", Text, ForeignKey("trajectories.id", ondelete="CASCADE"), primary_key=True),
    Column("seq", Integer, nullable=False),
    Column("version", Text, nullable=False),
    Column("summary", Text, nullable=False),
    Column("steps", Text, nullable=False),
)

# Requests of the standard interfaces: each begins with a row of its trajectory, and ends with the next one's.
TURNS = Table(
    "turns",
    METADATA,
    Column("trajectory_id", Text, ForeignKey("trajectories.id", ondelete="CASCADE"), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("interface", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("digest", Text),
    Column("conversation", Text),
    Column("at", Text, nullable=False),
)
Index("turns_with_digest", TURNS.c.owner, TURNS.c.digest, sqlite_where=TURNS.c.digest.is_not(None))
# Of a trajectory that is deleted when it has ended. The text is that of the migration, which the index is bound to.
UNSTORED = text("json_extract(document, '$.store') = 0")
Index("turns_unstored", TURNS.c.trajectory_id, sqlite_where=UNSTORED)
Index("turns_of_conversation", TURNS.c.conversation, sqlite_where=TURNS.c.conversation.is_not(None))

# Conversations, and what clients put into them. The turns that name one belong to it, too.
CONVERSATIONS = Table(
    "conversations",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("metadata", Text, nullable=False),
)
Index("conversations_oldest", CONVERSATIONS.c.created_at)
CONVERSATION_ITEMS = Table(
    "conversation_items",
    METADATA,
    Column("conversation_id", Text, ForeignKey("conversations.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("id", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("document", Text, nullable=False),
)
Index("conversation_items_by_id", CONVERSATION_ITEMS.c.conversation_id, CONVERSATION_ITEMS.c.id, unique=True)

# The rates of owners: until when the units that they used count.
RATES = Table(
    "rates",
    METADATA,
    Column("owner", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("until", Text, nullable=False),
)

SCHEMA_VERSION = Table(
    "schema_version",
    METADATA,
    Column("version", Integer, primary_key=True, autoincrement=False),
)


# A new status comes with the time of the end, None for a trajectory that continues; without a status both stay.
_new_status = bindparam("new_status", type_=Text)
# One execution per row of `writes.Plan.ends`.
MOVE_END: Update = (
    update(TRAJECTORIES)
    .where(TRAJECTORIES.c.id == bindparam("of"))
    .values(
        last_seq=bindparam("end"),
        status=func.coalesce(_new_status, TRAJECTORIES.c.status),
        finished_at=case(
            (_new_status.is_(None), TRAJECTORIES.c.finished_at), else_=bindparam("new_finished_at", type_=Text)
        ),
    )
)

REMOVE_SUMMARY: Delete = delete(SUMMARIES).where(SUMMARIES.c.trajectory_id == bindparam("of"))

_OBSERVED = "tool.observed"
# The database empties the body, so that a replay does not read what it does not need.
_PAYLOAD = EVENTS.c.payload
_WITHOUT_BODY = case(
    (
        (EVENTS.c.type == _OBSERVED)
        & (case((func.json_valid(_PAYLOAD) == 1, func.json_type(_PAYLOAD, "$.body")), else_=None) == "text"),
        func.json_replace(_PAYLOAD, "$.body", ""),
    ),
    else_=_PAYLOAD,
)

# Owners take turns.
UNFINISHED: Select[Any] = (
    select(TRAJECTORIES.c.id)
    .where(TRAJECTORIES.c.finished_at.is_(None))
    .order_by(func.row_number().over(partition_by=TRAJECTORIES.c.owner, order_by=_AGE), *_AGE)
)


# Last sequence numbers of the logs `ids`, locked until the commit; always in one order, which avoids deadlocks.
# Built once: building the statement takes longer than executing it.
ENDS_OF: Select[Any] = (
    select(TRAJECTORIES.c.id, TRAJECTORIES.c.last_seq)
    .where(TRAJECTORIES.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(TRAJECTORIES.c.id)
    .with_for_update()
)


def events_of(trajectory_id: str, *, after: int, bodies: bool) -> Select[Any]:
    """The rest of one log, in order. Without `bodies` those of shortened results are empty."""
    columns = EVENTS.c
    return (
        select(
            columns.trajectory_id,
            columns.seq,
            columns.type,
            columns.payload if bodies else _WITHOUT_BODY.label("payload"),
            columns.at,
        )
        .where(columns.trajectory_id == trajectory_id, columns.seq > after)
        .order_by(columns.seq)
    )


def observations_of(trajectory_id: str, call_id: str) -> Select[Any]:
    """The results of a call. A row that is no JSON is none: reading the log names it."""
    payload = EVENTS.c.payload
    return select(EVENTS).where(
        EVENTS.c.trajectory_id == trajectory_id,
        EVENTS.c.type == _OBSERVED,
        case((func.json_valid(payload) == 1, func.json_extract(payload, "$.call_id")), else_=None) == call_id,
    )


def snapshot_of(trajectory_id: str, *, owner: str, version: str, steps: bool) -> Select[Any]:
    """The snapshot of an owner's trajectory, unless its log continues after it."""
    columns = SUMMARIES.c
    return (
        select(
            columns.trajectory_id,
            columns.seq,
            columns.version,
            columns.summary,
            columns.steps if steps else null().label("steps"),
        )
        .join(TRAJECTORIES, (TRAJECTORIES.c.id == columns.trajectory_id) & (TRAJECTORIES.c.last_seq == columns.seq))
        .where(columns.trajectory_id == trajectory_id, TRAJECTORIES.c.owner == owner, columns.version == version)
    )


def newest(*, owner: str, status: str | None, older_than: TrajectoryRow | None, limit: int) -> Select[Any]:
    """A page of an owner's trajectories; the id decides between those of one instant."""
    place = tuple_(*_AGE)
    statement = select(TRAJECTORIES).where(TRAJECTORIES.c.owner == owner)
    statement = statement.order_by(*(column.desc() for column in _AGE)).limit(limit)
    if status is not None:
        statement = statement.where(TRAJECTORIES.c.status == status)
    if older_than is not None:
        statement = statement.where(place < tuple_(encode_time(older_than.created_at), older_than.id))
    return statement


def turns_of(trajectory_id: str, *, owner: str) -> Select[Any]:
    """The requests of an owner's trajectory, in order."""
    return select(TURNS).where(TURNS.c.trajectory_id == trajectory_id, TURNS.c.owner == owner).order_by(TURNS.c.seq)


def turns_with(digest: str, *, owner: str, limit: int) -> Select[Any]:
    """The newest requests that carry a conversation."""
    mine = (TURNS.c.owner == owner, TURNS.c.digest == digest)
    return select(TURNS).where(*mine).order_by(TURNS.c.at.desc(), TURNS.c.seq.desc()).limit(limit)


def unstored(*, but: Collection[str], limit: int) -> Select[Any]:
    """Trajectories of requests that are deleted now, but for some: they have ended, or wait for a client."""
    is_over = TRAJECTORIES.c.finished_at.is_not(None) | (TRAJECTORIES.c.status == "requires_action")
    listed = select(TURNS.c.trajectory_id).where(UNSTORED)
    rows = select(TRAJECTORIES).where(TRAJECTORIES.c.id.in_(listed), is_over)
    return rows.where(TRAJECTORIES.c.id.not_in(sorted(but))).limit(limit)


def turn_removal(trajectory_id: str, seq: int, *, owner: str) -> Delete:
    """Delete a request's record."""
    return delete(TURNS).where(TURNS.c.trajectory_id == trajectory_id, TURNS.c.seq == seq, TURNS.c.owner == owner)


NEWEST_KEY: Select[Any] = select(func.max(IDEMPOTENCY_KEYS.c.at))


def idempotency_records(keys: Collection[RequestKey], *, since: datetime) -> Select[Any]:
    """The records with these keys that are not older than `since`."""
    columns = IDEMPOTENCY_KEYS.c
    values = sorted((key.owner, key.route, key.key) for key in keys)
    return select(IDEMPOTENCY_KEYS).where(
        tuple_(columns.owner, columns.route, columns.key).in_(values), columns.at >= encode_time(since)
    )


def expired_idempotency_records(time: datetime) -> Delete:
    """Delete the records that are older than `time`."""
    return delete(IDEMPOTENCY_KEYS).where(IDEMPOTENCY_KEYS.c.at < encode_time(time))


def newest_audit(*, older_than: int | None, limit: int) -> Select[Any]:
    """A page of the audit log of all owners, newest first."""
    statement = select(AUDIT).order_by(AUDIT.c.id.desc()).limit(limit)
    return statement if older_than is None else statement.where(AUDIT.c.id < older_than)
