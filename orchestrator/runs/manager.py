"""Runs: the trajectories that this process drives, one task each, started by a request or by the recovery."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from alpha_umi import telemetry
from alpha_umi.contract.problems import ServiceError
from alpha_umi.trajectory import (
    AwaitOutput,
    MessageAdded,
    Phase,
    State,
    TrajectoryCreated,
    TurnResumed,
    advance,
    effect_of,
    replay,
)
from orchestrator.admission.admission import Admission
from orchestrator.admission.running_capacity import RunningCapacity
from orchestrator.log import new_event, replay_stored_log
from orchestrator.race import race
from orchestrator.runs.driver import Driver, DriverDependencies
from orchestrator.store import EventStore, RequestKey, SequenceConflict, StoreError, TrajectoryRow, TurnRecord
from orchestrator.stream.broadcast import Broadcast
from orchestrator.tools.tool_sets import ToolSet, ToolSets

STOP_GRACE_S = 5.0
CANCEL_TIMEOUT_S = 10
# Before each further attempt at a trajectory whose driver has failed.
AGAIN_AFTER_S = (1.0, 5.0, 30.0, 180.0, 900.0)

_log = telemetry.logger(__name__)


def new_trajectory_id() -> str:
    """A random id that cannot be guessed."""
    return f"traj_{uuid.uuid4().hex}"


class RunSnapshot(NamedTuple):
    """A trajectory up to row `seq` of its log, the row and the time at which its newest turn started, and its tool set.

    `tools` is None for a trajectory of an earlier version.
    """

    row: TrajectoryRow
    state: State
    seq: int
    turn_seq: int
    started_at: datetime
    tools: ToolSet | None


class RunManager:
    """Starts, finds, cancels and stops runs."""

    def __init__(
        self,
        store: EventStore,
        dependencies: DriverDependencies,
        *,
        tool_sets: ToolSets,
        wait_for_sources: Callable[[Callable[[], bool]], Coroutine[Any, Any, None]],
        capacity: RunningCapacity,
        trajectory_id: Callable[[], str] = new_trajectory_id,
    ) -> None:
        self._store = store
        self._dependencies = dependencies
        self._tool_sets = tool_sets
        self._wait_for_sources = wait_for_sources
        self._trajectory_id = trajectory_id
        self._capacity = capacity
        self._runs: dict[str, Run] = {}
        self._active: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._attaching: dict[str, asyncio.Task[Run | None]] = {}
        self._taken_up: dict[str, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()

    @property
    def stopping(self) -> bool:
        """Whether the process is about to end."""
        return self._stopping.is_set()

    async def until_stopping(self) -> None:
        """Return when the process is about to end."""
        await self._stopping.wait()

    @property
    def active_count(self) -> int:
        """The number of trajectories that this process drives."""
        return len(self._runs)

    def active_of(self, owner: str) -> int:
        """The number of an owner's trajectories that this process drives."""
        return self._active[owner]

    @property
    def capacity(self) -> int:
        """The number of trajectories that proceed at a time."""
        return self._dependencies.gate.capacity or 0

    @property
    def queued(self) -> int:
        """The number of trajectories that wait for their turn."""
        return self._dependencies.gate.waiting

    @property
    def waiting(self) -> int:
        """The number of trajectories that wait for their client to act."""
        return sum(run.driver.state.phase is Phase.WAITING for run in self._runs.values())

    def find(self, trajectory_id: str, *, owner: str) -> Run | None:
        """The run of an owner's trajectory, while it is driven here."""
        run = self._runs.get(trajectory_id)
        return run if run is not None and run.row.owner == owner else None

    def waiting_for(self, call_id: str, *, owner: str) -> Run | None:
        """The run of an owner's trajectory that waits for the output of a call."""
        for run in self._runs.values():
            effect = effect_of(run.driver.state) if run.row.owner == owner else None
            if isinstance(effect, AwaitOutput) and effect.call_id == call_id:
                return run
        return None

    async def create(
        self,
        created: TrajectoryCreated,
        tools: ToolSet,
        *,
        owner: str,
        metadata: Mapping[str, str],
        background: bool,
        request: RequestKey | None = None,
        turn: TurnRecord | None = None,
    ) -> Run:
        """Commit an owner's new trajectory with the tool set that it names, and start it. Raises `StoreError`.

        `request` and `turn` are idempotency key and record of its request.
        """
        self.require_open()
        trajectory_id = self._trajectory_id()
        self._dependencies.failpoints.reach("create.before_commit")
        row = await self._store.create(
            trajectory_id,
            [new_event(created)],
            at=self._dependencies.log_writer.now(),
            instruction=created.instruction,
            tools=created.tools,
            tool_set=created.tool_set,
            strategy=created.strategy,
            metadata=metadata,
            background=background,
            owner=owner,
            request=request,
            turn=turn,
        )
        self._dependencies.failpoints.reach("create.after_commit")
        self._dependencies.executor.metrics.started.labels(strategy=created.strategy).inc()
        _log.info("trajectory.created", trajectory_id=trajectory_id, background=background)
        snapshot = RunSnapshot(row, replay([created]), row.last_seq, 1, row.created_at, tools)
        return self._start(snapshot, background=background, detached=background or request is not None)

    async def continue_(
        self,
        ended: RunSnapshot,
        message: MessageAdded | TurnResumed,
        *,
        background: bool,
        request: RequestKey | None,
        turn: TurnRecord | None = None,
    ) -> Run:
        """Commit a further user turn of a finished trajectory and start its run.

        Raises `StoreError`: `SequenceConflict` if another request was faster.
        """
        self.require_open()
        continued = advance(ended.state, message)
        now = self._dependencies.log_writer.now()
        self._dependencies.failpoints.reach("message.before_commit")
        rows = await self._store.append(
            ended.row.id,
            after=ended.seq,
            events=[new_event(message)],
            at=now,
            status=continued.status,
            request=request,
            turn=turn,
        )
        self._dependencies.failpoints.reach("message.after_commit")
        _log.info("trajectory.continued", trajectory_id=ended.row.id, background=background)
        turn_seq = rows[0].seq if isinstance(message, MessageAdded) else ended.turn_seq
        snapshot = RunSnapshot(ended.row, continued, rows[-1].seq, turn_seq, now, ended.tools)
        return self._start(snapshot, background=background, detached=background or request is not None)

    async def resume(self, trajectory_id: str, *, owner: str, seq: int, admission: Admission) -> Run | None:
        """Continue the newest turn where an outage of a role has ended it.

        None if none has, or if row `seq` belongs to an earlier turn. Raises `StoreError`, and `ServiceError` where the
        server takes no more work now.
        """
        row = await self._store.get(trajectory_id, owner=owner)
        if row.status != "failed":
            return None
        failed = await self._load(row)
        if failed.state.interrupted is None or seq < failed.turn_seq:
            return None
        try:
            with admission.accept(owner, background=row.background):
                return await self.continue_(failed, TurnResumed(), background=row.background, request=None)
        except SequenceConflict:
            # Another request was faster.
            return self.find(trajectory_id, owner=owner)

    async def load(self, trajectory_id: str, *, owner: str) -> RunSnapshot:
        """Load an owner's trajectory. Raises `TrajectoryNotFound`, and `StoreDamaged` for an invalid log."""
        return await self._load(await self._store.get(trajectory_id, owner=owner))

    async def _load(self, row: TrajectoryRow) -> RunSnapshot:
        log = await replay_stored_log(self._store, row)
        tools = None if log.state.tool_set is None else await self._tool_sets.load(log.state.tool_set)
        return RunSnapshot(row, log.state, log.seq, log.turn_seq, log.turn_at, tools)

    async def attach(self, trajectory_id: str, *, owner: str) -> Run | None:
        """The run of an owner's trajectory, started if there is none; None if it has ended. Raises `StoreError`."""
        if (run := self.find(trajectory_id, owner=owner)) is not None:
            return run
        return await self._attach(await self._store.get(trajectory_id, owner=owner))

    async def attach_of_any_owner(self, trajectory_id: str) -> Run | None:
        """The same for the recovery, which acts for all owners."""
        return self._runs.get(trajectory_id) or await self._attach(await self._store.get_of_any_owner(trajectory_id))

    async def _attach(self, row: TrajectoryRow) -> Run | None:
        """Start the run of a trajectory from its log, once for all who request it at the same time.

        A second reader could start it from a log that the first one's run has continued and ended meanwhile.
        """
        if row.finished_at is not None:
            return None
        attaching = self._attaching.get(row.id)
        if attaching is None:
            attaching = self._attaching[row.id] = asyncio.create_task(self._load_and_start(row))
            attaching.add_done_callback(lambda _: self._attaching.pop(row.id))
        return await asyncio.shield(attaching)

    async def _load_and_start(self, row: TrajectoryRow) -> Run | None:
        if (run := self._runs.get(row.id)) is not None:
            return run
        self.require_open()
        snapshot = await self._load(row)
        if snapshot.state.phase is Phase.FINISHED:
            return None
        self.require_open()
        return self._resume(snapshot)

    def broadcast_of(self, run: Run | None) -> Broadcast | None:
        """The broadcast of a run; without a run a closed one while the process stops, so that clients reconnect."""
        if run is not None:
            return run.broadcast
        return _closed_broadcast() if self.stopping else None

    def require_open(self) -> None:
        """Raises `ServiceError` when the process is about to end."""
        if self.stopping:
            raise ServiceError(
                "shutting-down", "no new trajectory is started; send the request again after the restart"
            )

    async def drain(self) -> None:
        """Refuse new work and stop all runs; unfinished trajectories are resumed by the next process.

        Tool calls in flight have five seconds to complete. A run's streams end after its last row.
        """
        if not self.stopping:
            self._stopping.set()
            _log.info("drain.began", under_way=self.active_count, waiting=self.waiting)
            for run in self._runs.values():
                run.driver.stop()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_GRACE_S)
        if self._tasks:
            _log.warning("drain.cut_off", under_way=self.active_count)
        tasks = (*self._tasks, *self._taken_up.values())
        self.cancel_all()
        await asyncio.gather(*tasks, return_exceptions=True)

    def cancel_all(self) -> None:
        """Cancel all tasks; the logs stay as they are."""
        for task in (*self._tasks, *self._taken_up.values()):
            task.cancel()

    def _resume(self, snapshot: RunSnapshot) -> Run:
        background = snapshot.row.background
        return self._start(snapshot, background=background, detached=background, recovered=True)

    def _start(self, snapshot: RunSnapshot, *, background: bool, detached: bool, recovered: bool = False) -> Run:
        row = snapshot.row
        if (known := self._runs.get(row.id)) is not None:
            # Another request has started the run first.
            known.detached = known.detached or detached
            return known
        broadcast = Broadcast()
        run = Run(
            row,
            Driver(
                replace(row, background=background),
                snapshot.state,
                snapshot.seq,
                tools=snapshot.tools,
                dependencies=self._dependencies,
                broadcast=broadcast,
                resumed=recovered,
            ),
            broadcast,
            snapshot.started_at,
            detached,
        )
        self._runs[row.id] = run
        self._active[row.owner] += 1
        self._capacity.update()
        if self.stopping:
            # Committed while the process began to stop: the next process resumes it.
            run.driver.stop()
        executor = self._dependencies.executor
        is_ready = partial(executor.is_ready, snapshot.state, snapshot.tools) if recovered else None
        task = asyncio.create_task(self._drive(run, is_ready), name=row.id)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return run

    async def _drive(self, run: Run, is_ready: Callable[[], bool] | None) -> None:
        try:
            if is_ready is not None:
                await race(self._wait_for_sources(is_ready), run.driver.interrupted())
            await run.driver.run()
        except Exception as error:
            _log.error("trajectory.abandoned", trajectory_id=run.id, exc_info=error)
            if run.id not in self._taken_up and not self.stopping:
                self._taken_up[run.id] = attempts = asyncio.create_task(self._take_up(run.id))
                attempts.add_done_callback(lambda _: self._taken_up.pop(run.id))
        finally:
            del self._runs[run.id]
            self._active[run.row.owner] -= 1
            self._capacity.update()
            run.broadcast.close(stopping=not run.finished and self.stopping)
            run.done.set()
            run.driver.settled.set()
        if run.finished:
            self._record_end(run)

    async def _take_up(self, trajectory_id: str) -> None:
        """Drive an abandoned trajectory again until it ends, some times."""
        for pause_s in AGAIN_AFTER_S:
            # Not all at once, if many were abandoned together.
            await asyncio.sleep(pause_s * random.uniform(1, 1.5))  # noqa: S311
            try:
                run = await self.attach_of_any_owner(trajectory_id)
            except ServiceError:
                # The process stops; the next one resumes it.
                return
            except StoreError as error:
                _log.error("trajectory.not_recovered", trajectory_id=trajectory_id, reason=str(error))
                continue
            if run is None:
                return
            await run.done.wait()
            if run.finished:
                return
        _log.error("trajectory.given_up", trajectory_id=trajectory_id, attempts=len(AGAIN_AFTER_S))

    def _record_end(self, run: Run) -> None:
        state = run.driver.state
        seconds = (self._dependencies.log_writer.now() - run.started_at).total_seconds()
        self._dependencies.executor.metrics.count_end(state, seconds=seconds)
        _log.info("trajectory.finished", trajectory_id=run.id, status=state.status, steps=len(state.turn_steps))


def _closed_broadcast() -> Broadcast:
    broadcast = Broadcast()
    broadcast.close(stopping=True)
    return broadcast


CLIENT_LEFT = "the client disconnected"


@dataclass
class Run:
    """A trajectory that is driven to the end of its newest turn.

    `lease_count` is the number of requests that wait for it. A `detached` run continues without them: it was requested
    in the background, or with an idempotency key, whose client may send the request again. `started_at` is the start of
    the turn.
    """

    row: TrajectoryRow
    driver: Driver
    broadcast: Broadcast
    started_at: datetime
    detached: bool = False
    done: asyncio.Event = field(default_factory=asyncio.Event)
    lease_count: int = 0

    @property
    def id(self) -> str:
        """The trajectory's id."""
        return self.row.id

    @property
    def finished(self) -> bool:
        """Whether the end is in the log."""
        return self.driver.state.phase is Phase.FINISHED

    @property
    def awaiting_client(self) -> bool:
        """Whether the client must act."""
        return self.driver.state.phase is Phase.WAITING

    async def settled(self) -> None:
        """Return when the trajectory waits for the client, has ended, or is not driven any more."""
        await self.driver.settled.wait()

    async def ended(self) -> None:
        """Return when a cancelled run has recorded its end. Raises `ServiceError` if that takes too long."""
        try:
            async with asyncio.timeout(CANCEL_TIMEOUT_S):
                await self.done.wait()
        except TimeoutError as error:
            detail = "the trajectory is being cancelled, but this is not recorded yet"
            raise ServiceError("storage-unavailable", detail) from error

    def acquire(self) -> RunLease:
        """A lease for a request that waits for the run."""
        self.lease_count += 1
        return RunLease(self)

    def release(self) -> bool:
        """Return a lease. True if the run should be cancelled, because no request waits for it any more."""
        self.lease_count -= 1
        # A client that must act sends another request later.
        return self.lease_count == 0 and not self.detached and not self.awaiting_client


class RunLease:
    """Keeps a run active while a request waits for it. Only the first release or abandon counts."""

    def __init__(self, run: Run) -> None:
        self._run: Run | None = run

    def release(self) -> None:
        """The request was answered."""
        if self._run is not None:
            self._run.release()
        self._run = None

    def abandon(self) -> None:
        """The client disconnected: cancel the run unless another request waits for it."""
        if self._run is not None and self._run.release():
            self._run.driver.cancel(CLIENT_LEFT)
        self._run = None
