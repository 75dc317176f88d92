"""The tables as this version reads and writes them. `migrations` brings a database there.

Documents and times are text: JSON objects, and ISO 8601 in UTC with microseconds, which sorts as it reads. So the same
statements and the same checks on reading serve every database.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, MetaData, Table, Text

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
)
Index("trajectories_newest", TRAJECTORIES.c.created_at, TRAJECTORIES.c.id)
Index("trajectories_newest_of_status", TRAJECTORIES.c.status, TRAJECTORIES.c.created_at, TRAJECTORIES.c.id)

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
    Column("key_id", Text, primary_key=True),
    Column("route", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("trajectory_id", Text, ForeignKey("trajectories.id"), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("at", Text, nullable=False),
)
Index("idempotency_keys_oldest", IDEMPOTENCY_KEYS.c.at)

TOOL_SOURCES = Table(
    "tool_sources",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("document", Text, nullable=False),
)

SCHEMA_VERSION = Table(
    "schema_version",
    METADATA,
    Column("version", Integer, primary_key=True, autoincrement=False),
)
