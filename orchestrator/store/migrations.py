"""Schema migrations: an ordered list of small functions, from an empty database to the tables of this version.

A released migration is never changed. It spells its statements out, because `tables` describes the tables of this
version only. All steps run in one transaction, so that a killed process leaves the old schema or the new one.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, func, insert, inspect, select

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


MIGRATIONS: tuple[Migration, ...] = (create_log, create_idempotency_keys)


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
    """See that every table has the columns that the statements name. Raises `StoreDamaged`."""
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
