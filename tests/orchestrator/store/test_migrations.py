"""Migrations from every released schema to the current one, in one transaction."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pysqlite3 import dbapi2 as sqlite3
from sqlalchemy import Connection, create_engine, event, inspect
from sqlalchemy.pool import StaticPool

from orchestrator.store import SHARED, SchemaUnsupported
from orchestrator.store.migrations import MIGRATIONS, check_tables, migrate
from orchestrator.store.tables import METADATA


@pytest.fixture
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    event.listen(engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN") and None)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_the_migrations_arrive_at_the_tables_that_the_statements_use(connection: Connection) -> None:
    assert migrate(connection) == len(MIGRATIONS)
    check_tables(connection)
    result = inspect(connection)
    assert set(result.get_table_names()) == set(METADATA.tables)
    for table in METADATA.sorted_tables:
        columns = {column["name"]: column for column in result.get_columns(table.name)}
        assert {name: bool(column["nullable"]) for name, column in columns.items()} == {
            column.name: bool(column.nullable) for column in table.columns
        }
        assert result.get_pk_constraint(table.name)["constrained_columns"] == [
            column.name for column in table.primary_key.columns
        ]
        assert {index["name"] for index in result.get_indexes(table.name)} == {index.name for index in table.indexes}


def test_only_missing_steps_run_and_in_order(connection: Connection) -> None:
    seen: list[str] = []

    def second(_: Connection) -> None:
        seen.append("second")

    def third(_: Connection) -> None:
        seen.append("third")

    migrate(connection)
    migrate(connection, (*MIGRATIONS, second))
    migrate(connection, (*MIGRATIONS, second, third))
    assert seen == ["second", "third"]
    with pytest.raises(SchemaUnsupported, match=f"schema version {len(MIGRATIONS) + 2}"):
        migrate(connection)


def test_every_released_schema_with_data_is_migrated(connection: Connection) -> None:
    for version in range(1, len(MIGRATIONS)):
        migrate(connection, MIGRATIONS[:version])
        connection.exec_driver_sql(
            "INSERT INTO trajectories (id, created_at, finished_at, status, instruction, strategy, tools, metadata,"
            " background, last_seq) VALUES"
            " ('t', '2026-03-01', NULL, 'running', 'What?', 'chain', '[\"add\"]', '{}', 0, 1)"
        )
        connection.exec_driver_sql("INSERT INTO events VALUES ('t', 1, 'trajectory.created', '{}', '2026-03-01')")
        assert migrate(connection) == len(MIGRATIONS)
        check_tables(connection)
        (row,) = connection.exec_driver_sql("SELECT id, status, last_seq FROM trajectories").all()
        assert tuple(row) == ("t", "running", 1)
        assert connection.exec_driver_sql("SELECT count(*) FROM events").scalar_one() == 1
        assert connection.exec_driver_sql("SELECT count(*) FROM idempotency_keys").scalar_one() == 0
        connection.rollback()


def test_what_exists_belongs_to_the_default_owner_and_sources_stay_offered_to_all(connection: Connection) -> None:
    migrate(connection, MIGRATIONS[:4])
    for statement in (
        "INSERT INTO trajectories VALUES"
        " ('t', '2026-03-01', NULL, 'running', 'What?', 'chain', '[\"add\"]', '{}', 0, 1)",
        "INSERT INTO tool_sources VALUES ('shop', '{}')",
        "INSERT INTO idempotency_keys VALUES ('ann', '/v1/trajectories', 'k', 'a', 't', 1, '2026-03-01')",
        "INSERT INTO idempotency_keys VALUES ('bob', '/v1/trajectories', 'k', 'b', 't', 1, '2026-03-02')",
        "INSERT INTO idempotency_keys VALUES ('bob', '/v1/trajectories', 'l', 'c', 't', 1, '2026-03-01')",
    ):
        connection.exec_driver_sql(statement)
    migrate(connection)
    for query, expected in (
        ("SELECT id, owner FROM trajectories", [("t", "default")]),
        ("SELECT * FROM tool_sources", [(SHARED, "shop", "{}")]),
        (
            "SELECT owner, key, digest FROM idempotency_keys ORDER BY key",
            [("default", "k", "b"), ("default", "l", "c")],
        ),
    ):
        assert [tuple(row) for row in connection.exec_driver_sql(query)] == expected


def test_a_step_that_fails_leaves_the_old_schema(connection: Connection) -> None:
    def half(connection: Connection) -> None:
        connection.exec_driver_sql("CREATE TABLE notes (text TEXT)")
        raise sqlite3.OperationalError("disk full")

    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, (*MIGRATIONS, half))
    connection.rollback()
    assert inspect(connection).get_table_names() == []
    connection.rollback()
    migrate(connection)
    check_tables(connection)
