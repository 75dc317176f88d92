"""The event log on SQLite: connection options, the journal, and the meaning of SQLite's result codes.

Write-ahead logging is the default: a commit is one synced write to the end of a file, and readers and the writer leave
do not block each other. It needs SQLite 3.51.3 or newer: before that a write and a checkpoint that meet can corrupt the
database (the "WAL-reset bug" of https://www.sqlite.org/wal.html). The standard library's SQLite is as old as its
system, so the driver is `pysqlite3`, which bundles its own. `?journal_mode=delete` in the database URL asks for the
rollback journal, for file systems of the network above all.

`synchronous` is EXTRA. With write-ahead logging that is FULL, every commit synced; with the rollback journal it also
syncs the folder after the journal was removed. Removing it is the commit there; with FULL alone a power loss can undo
the last one (https://www.sqlite.org/pragma.html#pragma_synchronous).
"""

from __future__ import annotations

import asyncio
import shutil
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

from pysqlite3 import dbapi2 as sqlite3
from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError

from alpha_umi.telemetry import logger
from orchestrator.store.base import EventStore
from orchestrator.store.errors import StoreDamaged, StoreError, StoreMisconfigured, StoreUnavailable
from orchestrator.store.model import READERS
from orchestrator.store.sqlite_file import LockedFile

Journal = Literal["delete", "wal"]

# After each deletion: 16 MiB, so that other writes wait for a few milliseconds.
VACUUMED_PAGES = 4_096
WAL_SAFE_FROM = (3, 51, 3)
# Less free space than a few commits need.
MIN_FREE_BYTES = 2**18

_REMEDIES = {
    sqlite3.SQLITE_FULL: "free space on the disk",
    sqlite3.SQLITE_BUSY: "close the other program that has the database open",
    sqlite3.SQLITE_LOCKED: "close the other program that has the database open",
    sqlite3.SQLITE_PROTOCOL: "close the other program that has the database open",
    sqlite3.SQLITE_READONLY: "make the database and its folder writable",
    sqlite3.SQLITE_PERM: "make the database and its folder writable",
    sqlite3.SQLITE_CANTOPEN: "put the database and its folder back, and make them writable",
    sqlite3.SQLITE_IOERR: "check the disk",
    sqlite3.SQLITE_NOMEM: "free memory",
}
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
# After these a connection can hold a bad file handle for ever, so it is replaced.
_LOSES_CONNECTION = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR)

_log = logger(__name__)


class SqliteEventStore(EventStore):
    """An event log in one file, which one process locks; a second process is refused."""

    def __init__(self, url: URL, *, busy_timeout_s: float) -> None:
        self._journal = _journal_of(url)
        self._file = LockedFile(_path_of(url))
        self._busy_timeout_s = busy_timeout_s
        reading = {"isolation_level": "AUTOCOMMIT", "skip_autocommit_rollback": True}
        super().__init__(writer=self._engine(size=1), reader=self._engine(size=READERS, **reading))
        event.listen(self._writer, "connect", _prepare_writer)
        event.listen(self._writer, "begin", self._begin)
        event.listen(self._reader, "connect", _prepare_reader)

    @property
    def journal(self) -> str:
        """The journal mode, "delete" (a rollback journal) or "wal"."""
        return self._journal

    async def start(self) -> None:
        """Bring the tables up to date and set the journal mode."""
        in_writer = partial(asyncio.get_running_loop().run_in_executor, self._write_thread)
        await in_writer(self._prepare_new_file)
        await super().start()
        # Not before: a database that is refused must stay unchanged.
        mode = await in_writer(self._choose_journal)
        if mode != self._journal:
            raise StoreUnavailable(
                f"{self._file.path} stays in journal mode {mode}: close the other program that has it open"
            )
        _log.info("event_log_opened", path=str(self._file.path), journal=mode, sqlite=sqlite3.sqlite_version)

    async def check_writable(self) -> None:
        """Raises `StoreError` also when the disk is nearly full."""
        await super().check_writable()
        if shutil.disk_usage(self._file.path.parent).free < MIN_FREE_BYTES:
            raise StoreUnavailable(f"the disk of {self._file.path} is full: {_REMEDIES[sqlite3.SQLITE_FULL]}")

    async def close(self) -> None:
        """Close every connection and release the file."""
        try:
            await super().close()
        finally:
            self._file.release()

    def _engine(self, *, size: int, **options: Any) -> Engine:
        # Mode rw: a database that was moved away must not be silently replaced by an empty one.
        url = URL.create("sqlite", database=self._file.path.as_uri(), query={"mode": "rw", "uri": "true"})
        engine = create_engine(
            url,
            module=sqlite3,
            poolclass=QueuePool,
            pool_size=size,
            max_overflow=0,
            hide_parameters=True,  # they contain texts of users and tools
            connect_args={"timeout": self._busy_timeout_s},
            **options,
        )
        event.listen(engine, "handle_error", _replace_lost_connection)
        return engine

    def _prepare_new_file(self) -> None:
        """Let a new database shrink; one that exists keeps its pages and uses them again."""
        if self._file.path.stat().st_size == 0:
            self._pragma("auto_vacuum=INCREMENTAL")

    def _choose_journal(self) -> str:
        mode: str = self._pragma(f"journal_mode={self._journal}")
        return mode

    async def erase_replaced(self) -> None:
        """Without write-ahead logging that is done already (`secure_delete`); else pages wait in the log."""
        await asyncio.get_running_loop().run_in_executor(self._write_thread, self._pragma, "wal_checkpoint(TRUNCATE)")

    async def _give_back_space(self) -> None:
        """A database of an earlier version does not shrink; it uses the pages again."""
        await asyncio.get_running_loop().run_in_executor(
            self._write_thread, self._pragma, f"incremental_vacuum({VACUUMED_PAGES})"
        )

    def _pragma(self, pragma: str) -> Any:
        """The first value that the pragma returns, if it returns any."""
        with self._own_errors(), closing(self._writer.raw_connection()) as connection:
            cursor: Any = connection.cursor()
            # It works row by row.
            rows = cursor.execute(f"PRAGMA {pragma}").fetchall()
            cursor.close()
            return rows[0][0] if rows and rows[0] else None

    def _begin(self, connection: Connection) -> None:
        self._file.check_not_replaced()
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    def _classify(self, error: DBAPIError) -> StoreError:
        code, name = _result_code(error.orig)
        if code in _DAMAGE:
            return StoreDamaged(
                f"{self._file.path} is damaged or no SQLite database ({error.orig}): restore it from a backup, "
                "or move it away and start with an empty one"
            )
        if code in _REMEDIES:
            return StoreUnavailable(f"the event log is not available ({error.orig}, {name}): {_REMEDIES[code]}")
        return StoreError(f"the event log failed in an unexpected way: {error.orig} ({name})")


def _prepare_writer(connection: Any, _: object) -> None:
    connection.isolation_level = None  # the driver sends no BEGIN of its own
    _pragma(connection, "synchronous=EXTRA")
    _pragma(connection, "foreign_keys=ON")
    # What was deleted or replaced, such as a credential in clear, does not stay in free pages.
    _pragma(connection, "secure_delete=ON")


def _prepare_reader(connection: Any, _: object) -> None:
    _pragma(connection, "query_only=ON")


def _pragma(connection: Any, pragma: str) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _replace_lost_connection(context: ExceptionContext) -> None:
    if _result_code(context.original_exception)[0] not in _LOSES_CONNECTION:
        return
    context.is_disconnect = True
    if context.connection is not None:
        # A connection that is dropped in a transaction keeps its lock until the last cursor is collected.
        with suppress(sqlite3.Error):
            context.connection.connection.rollback()


def _result_code(error: BaseException | None) -> tuple[int | None, str]:
    """SQLite's primary result code and the name of the extended one."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF, getattr(error, "sqlite_errorname", type(error).__name__)


def _path_of(url: URL) -> Path:
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise StoreMisconfigured(
            "the database URL names no file; an event log outlives its process: write sqlite:///path/of/the.db"
        )
    return Path(url.database)


def _journal_of(url: URL) -> Journal:
    unknown = set(url.query) - {"journal_mode"}
    journal = url.query.get("journal_mode", "wal")
    if unknown or journal not in ("delete", "wal"):
        raise StoreMisconfigured("the only option of the database URL is journal_mode, which is delete or wal")
    if journal == "wal" and sqlite3.sqlite_version_info < WAL_SAFE_FROM:
        raise StoreMisconfigured(
            f"write-ahead logging can corrupt the database with SQLite {sqlite3.sqlite_version}: use a pysqlite3 that "
            f"brings {'.'.join(map(str, WAL_SAFE_FROM))} or newer, or add ?journal_mode=delete to the database URL"
        )
    return cast(Journal, journal)
