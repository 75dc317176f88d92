"""The event log itself: one set of statements for every database. A subclass adds only what differs.

Writes go through one connection and are grouped into durable commits; reads have their own connections. No method
returns before its commit. A transaction is one function that runs on a thread of the store from begin to commit:
switching threads for every statement would cost several times as much as the statements. Leases and fencing for several
orchestrators on one database are not implemented.
"""

from __future__ import annotations

import asyncio
import builtins
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError, TimeoutError
from sqlalchemy.sql import Executable

from alpha_umi.web.keys import DEFAULT_OWNER
from orchestrator.store.conversations import ConversationStore
from orchestrator.store.errors import (
    NotStorable,
    StoreDamaged,
    StoreError,
    StoreUnavailable,
    TrajectoryNotFound,
    TrajectoryPruned,
)
from orchestrator.store.group_commit import CLOSED, GroupCommit
from orchestrator.store.migrations import check_tables, migrate
from orchestrator.store.model import (
    READERS,
    AuditEntry,
    AuditLog,
    IdempotencyRecord,
    Ids,
    Log,
    LogEnd,
    LogEnds,
    NewEvent,
    Page,
    RequestKey,
    Rows,
    Snapshot,
    StoredEvent,
    ToolSources,
    TrajectoryRow,
    TurnRecord,
    Turns,
    UsedRate,
    UsedRates,
)
from orchestrator.store.observed_time import ObservedTime
from orchestrator.store.retention import delete_trajectories, finished_before, forget_pruned
from orchestrator.store.rows import (
    Row,
    decode_time,
    encode_json,
    encode_time,
    event_rows,
    read_audit,
    read_event,
    read_request,
    read_tool_source,
    read_trajectory,
    read_turn,
    storable_text,
    trajectory_row,
    turn_row,
)
from orchestrator.store.tables import (
    NEWEST_KEY,
    PRUNED,
    RATES,
    TOOL_SETS,
    TOOL_SOURCES,
    TRAJECTORIES,
    UNFINISHED,
    events_of,
    idempotency_records,
    newest,
    newest_audit,
    observations_of,
    snapshot_of,
    turn_removal,
    turns_of,
    turns_with,
    unstored,
)
from orchestrator.store.writes import (
    IDEMPOTENCY_RETENTION,
    LogWrite,
    SourceWrite,
    write_act,
    write_logs,
    write_snapshots,
    write_sources,
    write_tool_set,
    write_used_rates,
)

Result = TypeVar("Result")
Item = TypeVar("Item")


class Converted(NamedTuple, Generic[Item]):
    """Converted rows, and whether they were cut at a number of bytes."""

    items: list[Item]
    is_cut: bool


class EventStore(ConversationStore):
    """Append-only logs of trajectories, their rows, and the registered tool sources.

    Every method may raise `StoreUnavailable`; the same store works again when the fault is gone. A caller that is
    cancelled while it waits for a write does not learn whether the write went in.
    """

    def __init__(self, *, writer: Engine, reader: Engine) -> None:
        """`writer` has one connection, `reader` has `READERS`."""
        self._writer = writer
        self._reader = reader
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="log-writer")
        self._read_threads = ThreadPoolExecutor(READERS, thread_name_prefix="log-reader")
        self._log_writes = GroupCommit(self._commit_log_writes)
        self._source_writes = GroupCommit(self._commit_source_writes)
        self.observed_time = ObservedTime()
        # Held by those who read a page of a log and replay it.
        self.replays = asyncio.Semaphore(READERS // 2)
        self._commits = 0
        self._closed = False

    def observe_commits(self, observe: Callable[[int, float], None]) -> None:
        """Call `observe` after every commit to the logs, with its number of writes and its seconds."""
        self._log_writes.observe = observe

    @property
    def commits(self) -> int:
        """Commits since the store was opened; fewer than writes when writers come together."""
        return self._commits

    @property
    @abstractmethod
    def journal(self) -> str:
        """How the database makes a commit atomic, such as SQLite's journal mode."""

    async def create(
        self,
        trajectory_id: str,
        events: Sequence[NewEvent],
        *,
        at: datetime,
        instruction: str,
        tools: Sequence[str],
        strategy: str = "chain",
        status: str = "running",
        metadata: Mapping[str, Any] | None = None,
        background: bool = False,
        owner: str = DEFAULT_OWNER,
        tool_set: str | None = None,
        request: RequestKey | None = None,
        turn: TurnRecord | None = None,
    ) -> TrajectoryRow:
        """Write an owner's trajectory, its first events, and key and record of the request for it, in one commit.

        Raises `TrajectoryExists`, `IdempotencyKeyExists`, `NotStorable`.
        """
        trajectory = TrajectoryRow(
            id=trajectory_id,
            created_at=at,
            finished_at=None,
            status=status,
            instruction=instruction,
            strategy=strategy,
            tools=tuple(tools),
            metadata=dict(metadata or {}),
            background=background,
            last_seq=len(events),
            owner=owner,
            tool_set=tool_set,
        )
        row = trajectory_row(trajectory)
        rows = event_rows(trajectory_id, events, after=0, at=at)
        await self._log_writes.submit(
            LogWrite(
                trajectory_id,
                0,
                rows,
                trajectory=row,
                request=request,
                at=None if request is None else self.observed_time.now(),
                turn=None if turn is None else turn_row(turn, trajectory_id, seq=1, at=at),
            )
        )
        return read_trajectory(row)

    async def append(
        self,
        trajectory_id: str,
        *,
        after: int,
        events: Sequence[NewEvent],
        at: datetime,
        status: str | None = None,
        finished_at: datetime | None = None,
        request: RequestKey | None = None,
        audit: AuditEntry | None = None,
        snapshot: Snapshot | None = None,
        turn: TurnRecord | None = None,
    ) -> Log:
        """Write events `after` + 1 and on, and what belongs to the same commit.

        That is the new status of the row, key and record of the request, the act for the audit log, and the snapshot of
        a trajectory that ends. A status without `finished_at` reopens the trajectory. Returns what `events` reads.
        Raises `SequenceConflict` if the log does not end at `after`, `IdempotencyKeyExists`, `TrajectoryNotFound`,
        `NotStorable`.
        """
        rows = event_rows(trajectory_id, events, after=after, at=at)
        finished = None if finished_at is None else encode_time(finished_at)
        await self._log_writes.submit(
            LogWrite(
                trajectory_id,
                after,
                rows,
                status=status,
                finished_at=finished,
                request=request,
                audit=audit,
                at=None if request is None else self.observed_time.now(),
                snapshot=snapshot,
                turn=None if turn is None else turn_row(turn, trajectory_id, seq=after + 1, at=at),
            )
        )
        # Not parsed again: that would cost as much as writing them.
        time = at.astimezone(UTC)
        return [
            StoredEvent(trajectory_id, seq, event.type, event.payload, time)
            for seq, event in enumerate(events, start=after + 1)
        ]

    async def events(
        self, trajectory_id: str, *, after: int = 0, max_bytes: int | None = None, bodies: bool = True
    ) -> Log:
        """Events with a sequence number above `after`, in order. Empty for an unknown id. Raises `StoreDamaged`.

        With `max_bytes` the first of them, up to the one that exceeds it. Without `bodies` those of shortened results
        are empty texts.
        """
        statement = events_of(trajectory_id, after=after, bodies=bodies)
        return (await self._read(statement, read_event, max_bytes=max_bytes)).items

    async def observations(self, trajectory_id: str, call_id: str) -> Log:
        """The events of a call's result, at most one. Raises `StoreDamaged`."""
        return (await self._read(observations_of(trajectory_id, call_id), read_event)).items

    async def snapshot(self, trajectory_id: str, *, owner: str, version: str, steps: bool) -> Snapshot | None:
        """The snapshot of an owner's trajectory in this form. None if there is none, or the log continues."""
        statement = snapshot_of(trajectory_id, owner=owner, version=version, steps=steps)
        return next(iter((await self._read(statement, lambda row: Snapshot(**row))).items), None)

    async def put_snapshots(self, snapshots: Sequence[Snapshot]) -> None:
        """Store snapshots of trajectories that have none."""
        await self._transact(partial(write_snapshots, snapshots=snapshots))

    async def turns(self, trajectory_id: str, *, owner: str) -> Turns:
        """The records of requests of an owner's trajectory, in order. Raises `StoreDamaged`."""
        return (await self._read(turns_of(trajectory_id, owner=owner), read_turn)).items

    async def turns_with(self, digest: str, *, owner: str, limit: int = 10) -> Turns:
        """The newest records of an owner's requests that carry this conversation. Raises `StoreDamaged`."""
        return (await self._read(turns_with(digest, owner=owner, limit=limit), read_turn)).items

    async def unstored(self, *, but: Collection[str] = (), limit: int = 50) -> Rows:
        """Trajectories of ended responses with `store: false`, of all owners, but for some. Raises `StoreDamaged`."""
        return (await self._read(unstored(but=but, limit=limit), read_trajectory)).items

    async def delete_turn(self, trajectory_id: str, seq: int, *, owner: str) -> bool:
        """Delete the record of a request; False if there was none."""
        statement = turn_removal(trajectory_id, seq, owner=owner)
        return await self._transact(lambda connection: connection.execute(statement).rowcount > 0)

    async def get(self, trajectory_id: str, *, owner: str) -> TrajectoryRow:
        """The row of an owner's trajectory. Raises `TrajectoryPruned`, `TrajectoryNotFound`, `StoreDamaged`."""
        mine = (TRAJECTORIES.c.id == trajectory_id, TRAJECTORIES.c.owner == owner)
        try:
            return await self._one(trajectory_id, select(TRAJECTORIES).where(*mine))
        except TrajectoryNotFound:
            pruned = select(PRUNED.c.id).where(PRUNED.c.id == trajectory_id, PRUNED.c.owner == owner)
            if (await self._read(pruned, lambda row: str(row["id"]))).items:
                raise TrajectoryPruned(f"trajectory {trajectory_id} was deleted") from None
            raise

    async def get_of_any_owner(self, trajectory_id: str) -> TrajectoryRow:
        """The row of a trajectory, for work that no request caused. Raises `TrajectoryNotFound`, `StoreDamaged`."""
        return await self._one(trajectory_id, select(TRAJECTORIES).where(TRAJECTORIES.c.id == trajectory_id))

    async def _one(self, trajectory_id: str, statement: Executable) -> TrajectoryRow:
        for row in (await self._read(statement, read_trajectory)).items:
            return row
        raise TrajectoryNotFound(f"no trajectory has the id {trajectory_id}")

    async def list(
        self,
        *,
        owner: str,
        status: str | None = None,
        limit: int = 20,
        after: str | None = None,
        max_bytes: int | None = None,
    ) -> Page:
        """At most `limit` trajectories of an owner, newest first, those older than the trajectory `after`.

        With `max_bytes` the first of them, up to the one that exceeds it.

        Pages neither repeat nor skip a row when new trajectories arrive between them. Raises `TrajectoryNotFound` if
        `after` does not exist.
        """
        older_than = None if after is None else await self.get(after, owner=owner)
        statement = newest(owner=owner, status=status, older_than=older_than, limit=limit + 1)
        rows, is_cut = await self._read(statement, read_trajectory, max_bytes=max_bytes)
        return Page(rows[:limit], is_cut or len(rows) > limit)

    async def unfinished(self) -> Ids:
        """Ids of unfinished trajectories, an owner's oldest first, owners in turn, for a restarted orchestrator."""
        return (await self._read(UNFINISHED, lambda row: str(row["id"]))).items

    async def find_idempotency_record(self, request: RequestKey) -> IdempotencyRecord | None:
        """The record of the request with this key in the 72 hours before `now`; its body may differ."""
        statement = idempotency_records([request], since=self.observed_time.now() - IDEMPOTENCY_RETENTION)
        return next(iter((await self._read(statement, read_request)).items), None)

    async def put_tool_source(
        self, owner: str, name: str, document: Mapping[str, Any], *, audit: AuditEntry | None = None
    ) -> None:
        """Store an owner's registration and the act; it replaces one of the same name. Raises `NotStorable`."""
        # It can have 16 MB.
        text = await asyncio.to_thread(encode_json, dict(document), name=f"tool source {name}")
        name = storable_text(name, name="the name of the tool source")
        await self._source_writes.submit(SourceWrite(owner, name, text, audit))

    async def delete_tool_source(self, owner: str, name: str, *, audit: AuditEntry | None = None) -> bool:
        """Delete an owner's registration and record the act; False if there was none."""
        return await self._source_writes.submit(SourceWrite(owner, storable_text(name, name="name"), None, audit))

    async def list_tool_sources(self) -> ToolSources:
        """The registrations of every owner, by name. Raises `StoreDamaged`."""
        every = select(TOOL_SOURCES).order_by(TOOL_SOURCES.c.owner, TOOL_SOURCES.c.name)
        return (await self._read(every, read_tool_source)).items

    async def record_act(self, act: AuditEntry) -> None:
        """Record an act that changes nothing else in this database."""
        await self._transact(partial(write_act, act=act))

    async def audit_log(self, *, limit: int, after: int | None = None) -> AuditLog:
        """At most `limit` acts of all owners, newest first, those older than the act `after`. Raises `StoreDamaged`."""
        return (await self._read(newest_audit(older_than=after, limit=limit), read_audit)).items

    async def put_tool_set(self, digest: str, document: str) -> None:
        """Store the JSON text of a tool set under its digest, once."""
        await self._transact(partial(write_tool_set, digest=digest, document=document))

    async def tool_set(self, digest: str) -> str:
        """The JSON text of a tool set. Raises `StoreDamaged` if it is not there."""
        statement = select(TOOL_SETS).where(TOOL_SETS.c.digest == digest)
        for text in (await self._read(statement, lambda row: str(row["document"]))).items:
            return text
        raise StoreDamaged(f"the tool set {digest} is missing: restore the database from a backup")

    async def used_rates(self) -> UsedRates:
        """What was stored last."""

        def used_rate(row: Row) -> UsedRate:
            return UsedRate(row["owner"], row["kind"], decode_time(row["until"]))

        return (await self._read(select(RATES), used_rate)).items

    async def put_used_rates(self, used: Sequence[UsedRate]) -> None:
        """Store what all owners have used, in place of what was stored before."""
        await self._transact(partial(write_used_rates, used=used))

    async def check_writable(self) -> None:
        """Raises `StoreError` unless a write transaction can begin. It writes nothing."""
        await self._transact(lambda _: None)

    async def finished_before(
        self,
        time: datetime,
        *,
        owner: str | None = None,
        statuses: Collection[str] = (),
        but: Collection[str] = (),
        limit: int = 100,
    ) -> LogEnds:
        """Trajectories that ended before a time, oldest end first; of all owners and statuses by default.

        Those with an id in `but` are left out.
        """
        statement = finished_before(time, owner=owner, statuses=statuses, but=but, limit=limit)
        return (await self._read(statement, lambda row: LogEnd(row["id"], row["last_seq"]))).items

    async def newest_end(self) -> datetime | None:
        """When the last trajectory ended; None if none has."""
        statement = select(func.max(TRAJECTORIES.c.finished_at).label("at"))
        (end,) = (await self._read(statement, lambda row: None if row["at"] is None else decode_time(row["at"]))).items
        return end

    async def delete(
        self,
        rows: Sequence[TrajectoryRow | LogEnd],
        *,
        at: datetime,
        sets_in_use: Callable[[], Collection[str]],
        audit: AuditEntry | None = None,
        remembers: bool = True,
    ) -> Ids:
        """Delete trajectories whose rows were read; the ids of those that have ended and have not changed since.

        Tool sets that no trajectory uses are deleted, too, except those `sets_in_use`, which is called in the thread of
        the write. With `remembers` the ids stay known as deleted. The space is given back to the file system, where the
        database can do that.
        """
        ends = [(row.id, row.last_seq) for row in rows]

        def work(connection: Connection) -> list[str]:
            used = sets_in_use()
            return delete_trajectories(connection, ends, at=at, sets_in_use=used, audit=audit, remembers=remembers)

        deleted = await self._transact(work)
        await self._give_back_space()
        return deleted

    async def forget_pruned(self, before: datetime) -> None:
        """Delete what is left of trajectories that were deleted before a time."""
        await self._transact(partial(forget_pruned, before=before))

    @abstractmethod
    async def erase_replaced(self) -> None:
        """Remove what was deleted or replaced from the files, such as a credential in clear."""

    @abstractmethod
    async def _give_back_space(self) -> None:
        """Shrink the database to what it holds, as far as that is cheap."""

    @abstractmethod
    def _classify(self, error: DBAPIError) -> StoreError:
        """The store's error for an error of this database."""

    async def start(self) -> None:
        """Bring the tables up to date. Raises `SchemaUnsupported`, `StoreDamaged` or `StoreUnavailable`."""

        def bring_up_to_date(connection: Connection) -> None:
            migrate(connection)
            check_tables(connection)
            if (newest_key := connection.execute(NEWEST_KEY).scalar()) is not None:
                self.observed_time.begin(decode_time(newest_key))

        await self._transact(bring_up_to_date)

    async def close(self) -> None:
        """Wait for the submitted writes and close every connection."""
        self._closed = True
        await self._log_writes.close()
        await self._source_writes.close()
        # A read continues after its caller was cancelled.
        await asyncio.to_thread(self._read_threads.shutdown)
        self._write_thread.shutdown()
        self._reader.dispose()
        self._writer.dispose()

    async def _commit_log_writes(self, writes: Sequence[LogWrite]) -> Sequence[StoreError | None]:
        return await self._transact(partial(write_logs, writes=writes))

    async def _commit_source_writes(self, writes: Sequence[SourceWrite]) -> Sequence[bool | StoreError]:
        return await self._transact(partial(write_sources, writes=writes))

    async def _transact(self, work: Callable[[Connection], Result]) -> Result:
        """Do the work in one transaction. It is durable when this returns."""

        def transaction() -> Result:
            with self._own_errors(), self._writer.begin() as connection:
                return work(connection)

        result = await asyncio.get_running_loop().run_in_executor(self._write_thread, transaction)
        self._commits += 1
        return result

    async def _rows(self, statement: Executable, convert: Callable[[Row], Item]) -> builtins.list[Item]:
        return (await self._read(statement, convert)).items

    async def _read(
        self, statement: Executable, convert: Callable[[Row], Item], *, max_bytes: int | None = None
    ) -> Converted[Item]:
        """The rows, converted on the thread that reads them. With `max_bytes` up to the one that exceeds it."""
        if self._closed:
            raise StoreUnavailable(CLOSED)
        fetch = partial(self._fetch, statement, convert, max_bytes)
        return await asyncio.get_running_loop().run_in_executor(self._read_threads, fetch)

    def _fetch(self, statement: Executable, convert: Callable[[Row], Item], max_bytes: int | None) -> Converted[Item]:
        items: list[Item] = []
        size = 0
        with self._own_errors(), self._reader.connect() as connection:
            for row in connection.execute(statement):
                if max_bytes is not None and size > max_bytes:
                    return Converted(items, True)
                fields = row._asdict()
                items.append(convert(fields))
                size += sum(len(value) for value in fields.values() if isinstance(value, str))
        return Converted(items, False)

    @contextmanager
    def _own_errors(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise self._classify(error) from error
        except TimeoutError as error:
            raise StoreUnavailable("every connection to the event log is busy: retry later") from error
        except SQLAlchemyError as error:
            raise StoreError(f"the event log failed in an unexpected way: {error}") from error
        except UnicodeEncodeError as error:
            raise NotStorable("an id or name is not valid Unicode: send whole characters") from error
