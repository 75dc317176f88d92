"""Schema migrations: an ordered list of small functions, from an empty database to the tables of this version.

A released migration is never changed. It spells its statements out, because `tables` describes the tables of this
version only. All steps run in one transaction, so that a killed process leaves the old schema or the new one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, func, insert, inspect, select, text

from orchestrator.store.errors import SchemaUnsupported, StoreDamaged
from orchestrator.store.tables import METADATA, SCHEMA_VERSION

Migration = Callable[[Connection], None]


def create_log(connection: Connection) -> None:
    """Trajectories, their events, the registered tool sources."""
    for statement in (
        "CREATE TABLE schema_version (version INTEGER PRIMARY KEY NOT NULL)",
        "CREATE TABLE trajectories (id TEXT PRIMARY KEY NOT NULL, created_at TEXT NOT NULL, finished_at TEXT,"
        " status TEXT NOT NULL, instruction TEXT NOT NULL, strategy TEXT NOT NULL, tools TEXT NOT NULL,"
        " metadata TEXT NOT NULL, background BOOLEAN NOT NULL, last_seq INTEGER NOT NULL)",
        "CREATE INDEX trajectories_newest ON trajectories (created_at, id)",
        "CREATE INDEX trajectories_newest_of_status ON trajectories (status, created_at, id)",
        "CREATE TABLE events (trajectory_id TEXT NOT NULL REFERENCES trajectories (id), seq INTEGER NOT NULL,"
        " type TEXT NOT NULL, payload TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY (trajectory_id, seq))",
        "CREATE TABLE tool_sources (name TEXT PRIMARY KEY NOT NULL, document TEXT NOT NULL)",
    ):
        connection.exec_driver_sql(statement)


def create_idempotency_keys(connection: Connection) -> None:
    """Idempotency keys, with the records of their requests."""
    for statement in (
        "CREATE TABLE idempotency_keys (key_id TEXT NOT NULL, route TEXT NOT NULL, key TEXT NOT NULL,"
        " digest TEXT NOT NULL, trajectory_id TEXT NOT NULL REFERENCES trajectories (id), seq INTEGER NOT NULL,"
        " at TEXT NOT NULL, PRIMARY KEY (key_id, route, key))",
        "CREATE INDEX idempotency_keys_oldest ON idempotency_keys (at)",
    ):
        connection.exec_driver_sql(statement)


def unify_events(connection: Connection) -> None:
    """Events in the form in which the stream sends them.

    An output that could not be read is part of the event that it led to (`planner.decided`, `tool.observed`,
    `backbone.stepped`) and no kind of its own, with the decision of the trajectory's policy. The client's tools are
    `client_tool_definitions` of `trajectory.created`. A damaged row stays as it is: reading its log names it.
    """
    rows = connection.execute(
        text(
            "SELECT trajectory_id, seq, type, payload FROM events WHERE type IN ('trajectory.created',"
            " 'effect.intended', 'planner.unreadable', 'caller.unreadable', 'backbone.unreadable')"
            " ORDER BY trajectory_id, seq"
        )
    )
    policy, intent, changed = "conclusion", "", list[dict[str, Any]]()
    for trajectory_id, seq, kind, payload in rows:
        try:
            event = json.loads(payload)
            if kind == "effect.intended":
                intent = event["effect"]
                continue
            if kind == "trajectory.created":
                policy = event.get("limits", {}).get("on_unreadable", "conclusion")
                event["client_tool_definitions"] = event.pop("client_tools", [])
            else:
                kind, event = _unified(kind, event, policy, concludes=intent.endswith(":conclude"))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            continue
        changed.append({"id": trajectory_id, "seq": seq, "type": kind, "payload": json.dumps(event)})
    if changed:
        connection.execute(
            text("UPDATE events SET type = :type, payload = :payload WHERE trajectory_id = :id AND seq = :seq"), changed
        )


def create_tool_sets(connection: Connection) -> None:
    """The tools of trajectories. Those that exist have none, and use the tools that are registered."""
    connection.exec_driver_sql("CREATE TABLE tool_sets (digest TEXT PRIMARY KEY NOT NULL, document TEXT NOT NULL)")


def create_rates(connection: Connection) -> None:
    """What owners have used of their rates, so that a restart gives nobody more."""
    connection.exec_driver_sql(
        "CREATE TABLE rates (owner TEXT NOT NULL, kind TEXT NOT NULL, until TEXT NOT NULL, PRIMARY KEY (owner, kind))"
    )


def add_owners(connection: Connection) -> None:
    """Owners of trajectories and idempotency keys, owners' tool sources, and the audit log.

    What exists belongs to the owner `default`; the registered tool sources stay offered to all (the empty owner). Of
    idempotency keys that several API keys used for one route, the newest stays.
    """
    for statement in (
        "ALTER TABLE trajectories ADD COLUMN owner TEXT NOT NULL DEFAULT 'default'",
        "DROP INDEX trajectories_newest",
        "DROP INDEX trajectories_newest_of_status",
        "CREATE INDEX trajectories_newest ON trajectories (owner, created_at, id)",
        "CREATE INDEX trajectories_newest_of_status ON trajectories (owner, status, created_at, id)",
        "CREATE INDEX trajectories_unfinished ON trajectories (created_at, id) WHERE finished_at IS NULL",
        "DELETE FROM idempotency_keys WHERE EXISTS (SELECT 1 FROM idempotency_keys AS later WHERE"
        " later.route = idempotency_keys.route AND later.key = idempotency_keys.key AND (later.at > idempotency_keys.at"
        " OR (later.at = idempotency_keys.at AND later.key_id > idempotency_keys.key_id)))",
        "ALTER TABLE idempotency_keys RENAME COLUMN key_id TO owner",
        "UPDATE idempotency_keys SET owner = 'default'",
        "ALTER TABLE tool_sources RENAME TO shared_tool_sources",
        "CREATE TABLE tool_sources (owner TEXT NOT NULL, name TEXT NOT NULL, document TEXT NOT NULL,"
        " PRIMARY KEY (owner, name))",
        "INSERT INTO tool_sources SELECT '', name, document FROM shared_tool_sources",
        "DROP TABLE shared_tool_sources",
        "CREATE TABLE audit (id INTEGER PRIMARY KEY NOT NULL, at TEXT NOT NULL, key_id TEXT NOT NULL,"
        " owner TEXT NOT NULL, action TEXT NOT NULL, object TEXT NOT NULL, details TEXT NOT NULL)",
    ):
        connection.exec_driver_sql(statement)


def create_summaries(connection: Connection) -> None:
    """Finished trajectories as they are shown. Those that exist are added when they are read."""
    connection.exec_driver_sql(
        "CREATE TABLE summaries (trajectory_id TEXT PRIMARY KEY NOT NULL REFERENCES trajectories (id)"
        " ON DELETE CASCADE, seq INTEGER NOT NULL, version TEXT NOT NULL, summary TEXT NOT NULL, steps TEXT NOT NULL)"
    )


def add_retention(connection: Connection) -> None:
    """What deleting a trajectory needs: its tool set, its tombstone, and idempotency keys that outlive it."""
    for statement in (
        "ALTER TABLE trajectories ADD COLUMN tool_set TEXT",
        "UPDATE trajectories SET tool_set = (SELECT json_extract(payload, '$.tool_set') FROM events"
        " WHERE trajectory_id = id AND seq = 1 AND json_valid(payload))",
        "CREATE INDEX trajectories_tool_set ON trajectories (tool_set)",
        "CREATE INDEX trajectories_oldest_end ON trajectories (finished_at, id)",
        "CREATE TABLE pruned (id TEXT PRIMARY KEY NOT NULL, owner TEXT NOT NULL, at TEXT NOT NULL)",
        "CREATE INDEX pruned_oldest ON pruned (at)",
        "ALTER TABLE idempotency_keys RENAME TO referring_keys",
        "DROP INDEX idempotency_keys_oldest",
        "CREATE TABLE idempotency_keys (owner TEXT NOT NULL, route TEXT NOT NULL, key TEXT NOT NULL,"
        " digest TEXT NOT NULL, trajectory_id TEXT NOT NULL, seq INTEGER NOT NULL, at TEXT NOT NULL,"
        " PRIMARY KEY (owner, route, key))",
        "CREATE INDEX idempotency_keys_oldest ON idempotency_keys (at)",
        "INSERT INTO idempotency_keys SELECT owner, route, key, digest, trajectory_id, seq, at FROM referring_keys",
        "DROP TABLE referring_keys",
    ):
        connection.exec_driver_sql(statement)


def create_turns(connection: Connection) -> None:
    """Requests of the standard interfaces."""
    for statement in (
        "CREATE TABLE turns (trajectory_id TEXT NOT NULL REFERENCES trajectories (id) ON DELETE CASCADE,"
        " seq INTEGER NOT NULL, owner TEXT NOT NULL, interface TEXT NOT NULL, document TEXT NOT NULL, digest TEXT,"
        " conversation TEXT, at TEXT NOT NULL, PRIMARY KEY (trajectory_id, seq))",
        "CREATE INDEX turns_with_digest ON turns (owner, digest) WHERE digest IS NOT NULL",
        "CREATE INDEX turns_unstored ON turns (trajectory_id) WHERE json_extract(document, '$.store') = 0",
        "CREATE INDEX turns_of_conversation ON turns (conversation) WHERE conversation IS NOT NULL",
    ):
        connection.exec_driver_sql(statement)


def create_conversations(connection: Connection) -> None:
    """Conversations, and what clients put into them."""
    for statement in (
        "CREATE TABLE conversations (id TEXT PRIMARY KEY NOT NULL, owner TEXT NOT NULL, created_at TEXT NOT NULL,"
        " metadata TEXT NOT NULL)",
        "CREATE TABLE conversation_items (conversation_id TEXT NOT NULL REFERENCES conversations (id)"
        " ON DELETE CASCADE, position INTEGER NOT NULL, id TEXT NOT NULL, at TEXT NOT NULL, document TEXT NOT NULL,"
        " PRIMARY KEY (conversation_id, position))",
        "CREATE INDEX conversations_oldest ON conversations (created_at)",
        "CREATE UNIQUE INDEX conversation_items_by_id ON conversation_items (conversation_id, id)",
    ):
        connection.exec_driver_sql(statement)


def _unified(kind: str, event: dict[str, Any], policy: str, *, concludes: bool) -> tuple[str, dict[str, Any]]:
    reason, thought = event["reason"], event["text"].strip()
    if kind == "caller.unreadable":
        content = f"No call was made: {reason}"
        del event["reason"]
        return "tool.observed", {"call_id": None, "content": content, "is_error": True, "attempts": 0, **event}
    decided = {"thought": thought, "next": policy, "unreadable": True, **event}
    if kind == "planner.unreadable":
        return "planner.decided", decided
    answer = thought if policy == "conclusion" and thought and not concludes else None
    return "backbone.stepped", decided | {"answer": answer}


MIGRATIONS: tuple[Migration, ...] = (
    create_log,
    create_idempotency_keys,
    unify_events,
    create_tool_sets,
    add_owners,
    create_summaries,
    add_retention,
    create_rates,
    create_turns,
    create_conversations,
)


def migrate(connection: Connection, migrations: tuple[Migration, ...] = MIGRATIONS) -> int:
    """Apply what is missing and return the version. Raises `SchemaUnsupported`; changes nothing then."""
    version = _version(connection)
    if version > len(migrations):
        raise SchemaUnsupported(
            f"the database has schema version {version}, this program knows up to {len(migrations)}: "
            "run the version that made it, or a newer one, or name another database"
        )
    for number, migration in enumerate(migrations[version:], start=version + 1):
        migration(connection)
        connection.execute(insert(SCHEMA_VERSION).values(version=number))
    return len(migrations)


def check_tables(connection: Connection) -> None:
    """Check that every table has the columns that the statements use. Raises `StoreDamaged`."""
    inspector = inspect(connection)
    for table in METADATA.sorted_tables:
        columns = (
            {column["name"] for column in inspector.get_columns(table.name)}
            if inspector.has_table(table.name)
            else set()
        )
        missing = {column.name for column in table.columns} - columns
        if missing:
            raise StoreDamaged(
                f"table {table.name} lacks {', '.join(sorted(missing))}: restore the database from a backup, "
                "or move it away and start with an empty one"
            )


def _version(connection: Connection) -> int:
    """0 for an empty database."""
    tables = set(inspect(connection).get_table_names())
    if SCHEMA_VERSION.name in tables:
        return connection.execute(select(func.max(SCHEMA_VERSION.c.version))).scalar_one() or 0
    if tables:
        raise SchemaUnsupported(
            "the database holds tables of another program: name a file of its own for the event log"
        )
    return 0
