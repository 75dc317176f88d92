"""Drives one trajectory: performs the effects of the machine. All decisions are the machine's.

The intent of a request is committed before it is sent, and the outcome afterwards. After a crash the log has no intent
(the effect was not performed), only an intent (it may have been performed: role calls and retryable tool calls are
repeated, others are reported as UNKNOWN), or an outcome.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from alpha_umi import telemetry
from alpha_umi.contract.stream_events import RoleOutage, RoleRecovered, TextDelta
from alpha_umi.trajectory import (
    ActionRequired,
    AwaitOutput,
    Backtrack,
    Backtracked,
    Cancelled,
    Effect,
    EffectIntended,
    Event,
    Finish,
    LimitReached,
    Phase,
    RequireAction,
    RoleFailed,
    RunTool,
    SendEffect,
    State,
    TrajectoryFinished,
    advance,
    effect_key,
    effect_of,
    role_of,
    transitions,
)
from orchestrator.admission.gate import Gate
from orchestrator.admission.rates import Rates
from orchestrator.failpoints import Failpoints
from orchestrator.log import LoggedEvent, LogWriter
from orchestrator.race import race
from orchestrator.runs.client_tools import ClientOutput, ToolOutputInbox, missed_deadline, seconds_after_restart
from orchestrator.runs.executor import EffectExecutor, failure_of, log_outcome, unknown_outcome
from orchestrator.runs.snapshots import snapshot_of
from orchestrator.runs.turn_slot import TurnSlot
from orchestrator.store import AuditEntry, NotStorable, RequestKey, Snapshot, TrajectoryRow, TurnRecord
from orchestrator.stream.broadcast import Broadcast, Unlogged
from orchestrator.tools.model import EffectClass, ToolResult
from orchestrator.tools.tool_sets import ToolSet

_log = telemetry.logger(__name__)


@dataclass(frozen=True)
class DriverDependencies:
    """The dependencies that all drivers share.

    `timeout_s` bounds a trajectory until its answer is generated, without the time spent waiting for a slot of `gate`
    or for the client. `client_tool_timeout_s` bounds each wait for a client tool's output.
    """

    log_writer: LogWriter
    executor: EffectExecutor
    failpoints: Failpoints
    timeout_s: float
    client_tool_timeout_s: float = 600.0
    gate: Gate = field(default_factory=Gate)
    rates: Rates = field(default_factory=dict)


class Driver:
    """Drives one trajectory from the end of its log. `state` is the current state, `ended_at` the time of its end.

    `slot` is held while the trajectory proceeds; `resumed` ones wait for it before their owner's new ones. `tools` is
    its tool set, None for a trajectory of an earlier version.
    """

    def __init__(
        self,
        row: TrajectoryRow,
        state: State,
        seq: int,
        *,
        tools: ToolSet | None,
        dependencies: DriverDependencies,
        broadcast: Broadcast,
        resumed: bool = False,
    ) -> None:
        self.state = state
        self._tools = tools
        self.ended_at: datetime | None = None
        # That of the end, once it is being stored.
        self.snapshot: Snapshot | None = None
        self._row = row
        # Set while it waits for an unavailable role; `_unanswered` until the call that waited is answered.
        self.outage: RoleOutage | None = None
        self._unanswered: RoleOutage | None = None
        self._waits_for_role = asyncio.Event()
        self._seq = seq
        self._dependencies = dependencies
        self._broadcast = broadcast
        self.slot = TurnSlot(
            dependencies.gate,
            owner=row.owner,
            background=row.background,
            first=resumed,
            seconds=dependencies.timeout_s,
        )
        self._interrupt = asyncio.Event()
        self._cancelled_because: str | None = None
        self._cancelled_by: AuditEntry | None = None
        self._stopping = False
        self._inbox = ToolOutputInbox()
        if isinstance(effect := effect_of(state), AwaitOutput):
            now, timeout_s = dependencies.log_writer.now(), dependencies.client_tool_timeout_s
            self._inbox.expect(seconds=seconds_after_restart(effect, now, timeout_s=timeout_s))
        # Set while the trajectory waits for the client, has ended, or is not driven any more.
        self.settled = asyncio.Event()
        self._update_settled()

    @property
    def seq(self) -> int:
        """The number of the newest row."""
        return self._seq

    async def submit(self, output: ClientOutput) -> int:
        """Accept the client's output of the pending call. Returns the number of its row once it is durable.

        Raises `OutputRefused`.
        """
        return await self._inbox.submit(output, effect_of(self.state))

    def cancel(self, reason: str, *, audit: AuditEntry | None = None) -> None:
        """Cancel the trajectory; requests in flight are aborted. `audit` is recorded with the cancellation."""
        if self._cancelled_because is None:
            self._cancelled_because, self._cancelled_by = reason, audit
        self._interrupt.set()

    def stop(self) -> None:
        """Stop driving; the log stays as it is. A tool call in flight may complete, a role call is aborted."""
        self._stopping = True
        if not (self.slot.held and isinstance(effect_of(self.state), RunTool)):
            self._interrupt.set()

    async def interrupted(self) -> None:
        """Return when the trajectory is cancelled or stopped."""
        await self._interrupt.wait()

    async def run(self) -> None:
        """Drive to the end, or until `stop`. Raises `SequenceConflict` if another writer appended to the log."""
        with telemetry.bind(trajectory_id=self._row.id), contextlib.closing(self.slot):
            while (effect := effect_of(self.state)) is not None:
                if self._stopping and self._cancelled_because is None:
                    return
                if not await self._may_proceed(effect):
                    continue
                # The log lines of the end belong to the last step, as those of the role services do.
                step = max(0, len(self.state.steps) - 1) if isinstance(effect, Finish) else effect.step
                with telemetry.bind(step=step):
                    await self._take(effect)

    async def _may_proceed(self, effect: Effect) -> bool:
        """Take or leave the slot as the effect needs it. False if the trajectory was interrupted while it waited."""
        if isinstance(effect, AwaitOutput):
            self.slot.close()
        elif self._cancelled_because is None and not isinstance(effect, Finish) and not self.slot.enter():
            await race(self.slot.wait(), self.interrupted())
            return self.slot.held
        return True

    async def _take(self, effect: Effect) -> None:
        if isinstance(effect, Finish):
            await self._record(TrajectoryFinished())
        elif self._cancelled_because is not None:
            await self._record(Cancelled(self._cancelled_because))
        elif isinstance(effect, RequireAction):
            await self._record(self._action_required(effect))
        elif isinstance(effect, Backtrack):
            await self._record(Backtracked(effect.to, effect.reason))
        elif isinstance(effect, AwaitOutput):
            await self._await_output(effect)
        elif self._time_left() == 0 and not self.state.is_closing:
            await self._record(LimitReached("deadline"))
        elif self.state.in_flight is None:
            await self._record(_intent(effect, self._effect_class(self.state, effect)))
            await self._perform(effect)
        elif self._effect_class(self.state, effect) is EffectClass.UNKEYED_WRITE and isinstance(effect, RunTool):
            # An intent of an earlier process: the call may have been sent before the process ended.
            self._dependencies.executor.metrics.tool_calls.labels(outcome="unknown").inc()
            await self._record(unknown_outcome(effect, "The orchestrator stopped while the call was under way."))
        else:
            await self._perform(effect)

    def _action_required(self, effect: RequireAction) -> ActionRequired:
        expires_at = self._dependencies.log_writer.now() + timedelta(seconds=self._dependencies.client_tool_timeout_s)
        return ActionRequired(effect.call_id, expires_at.isoformat())

    async def _await_output(self, effect: AwaitOutput) -> None:
        """Wait for the output, its deadline or an interruption."""
        since = time.monotonic()
        await race(self._inbox.wait(), self.interrupted(), timeout_s=self._inbox.seconds_left)
        waited = time.monotonic() - since
        if self._interrupt.is_set():
            return
        output, seq = self._inbox.close(), self._seq + 1
        self._dependencies.failpoints.reach("output.before_commit")
        if output is None:
            observation = missed_deadline(effect)
        else:
            result = ToolResult(output.content, output.is_error, truncated=False)
            observed = await self._dependencies.executor.observed(self.state, effect, result)
            observation = replace(observed, limits=output.limits, options=output.options)
        observation = replace(observation, latency_ms=round(waited * 1_000))
        request, turn = (None, None) if output is None else (output.request, output.turn)
        await self._record(observation, request=request, turn=turn)
        self._dependencies.failpoints.reach("output.after_commit")
        self._inbox.reset(seq)

    async def _perform(self, effect: SendEffect) -> None:
        events = await self._outcome(effect)
        if not events:
            return
        self._dependencies.failpoints.reach("outcome.before_commit")
        try:
            await self._record(*events)
        except NotStorable as error:
            await self._record(failure_of(effect, f"the result cannot be stored: {error}"))
        self._dependencies.failpoints.reach("outcome.after_commit")

    async def _outcome(self, effect: SendEffect) -> list[Event]:
        """The events of the effect's outcome; none if the process stops before it is known."""
        performing = self._dependencies.executor.perform(
            self._row, self.state, self._tools, effect, self._on_delta(effect), partial(self._on_wait, effect)
        )
        stop = self._interrupted_or_out_of_time() if self.state.is_closing else self.interrupted()
        work = await race(performing, stop, timeout_s=self._time_to_perform())
        if not work.cancelled():
            log_outcome(work.result())
            return [self._downgrade_failure(work.result())]
        return self._interruption(effect)

    async def _interrupted_or_out_of_time(self) -> None:
        """Return when the trajectory is interrupted, or still waits for a role after the deadline."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._time_left()):
                await self.interrupted()
                return
        await race(self.interrupted(), self._waits_for_role.wait())

    def _interruption(self, effect: SendEffect) -> list[Event]:
        """The events of an aborted effect."""
        if self._cancelled_because is None and self._stopping:
            return []
        if self._unanswered is not None and self._cancelled_because is None:
            reason = f"{self._unanswered.reason}; it was waited for until the time limit of the trajectory"
            return [self._downgrade_failure(RoleFailed(self._unanswered.role, reason, unavailable=True))]
        events: list[Event] = []
        if isinstance(effect, RunTool):
            self._dependencies.executor.metrics.tool_calls.labels(outcome="unknown").inc()
            events.append(unknown_outcome(effect, "The trajectory was stopped while the call was under way."))
        after = advance(self.state, events[0]) if events else self.state
        if after.phase is Phase.ENDING:
            return events
        if self._cancelled_because is not None:
            return [*events, Cancelled(self._cancelled_because)]
        # If the observation has reached another limit, the summarizer is called anyway.
        return events if events and after.is_closing else [*events, LimitReached("deadline")]

    def _downgrade_failure(self, event: Event) -> Event:
        """After a limit the status is `exhausted`, even if the summarizer fails."""
        if isinstance(event, RoleFailed) and self.state.outcome == "exhausted":
            _log.warning("summarizer.failed", reason=event.reason)
            return LimitReached("deadline")
        return event

    def _time_left(self) -> float:
        """Seconds until the deadline, never below zero."""
        return self.slot.seconds_left

    def _time_to_perform(self) -> float:
        """Seconds for an effect. An answer that its role generates may end after the deadline."""
        if not self.state.is_closing:
            return self._time_left()
        return max(self._time_left(), self._dependencies.executor.calls.timeout_s)

    def _on_delta(self, effect: SendEffect) -> Callable[[str], None] | None:
        """The receiver of generated text; None without listeners."""
        if not self._broadcast.has_listeners or isinstance(effect, RunTool):
            return None
        role = role_of(effect)
        if role == "caller":
            return None
        step, after, written = effect.step, self._seq, 0

        def publish(text: str) -> None:
            nonlocal written
            self._broadcast.publish([Unlogged(TextDelta(role, step, text), after, start=written)])
            written += len(text)

        return publish

    def _on_wait(self, effect: SendEffect, reason: str | None) -> None:
        """A role call begins to wait for its role, or is sent again (None)."""
        if isinstance(effect, RunTool):
            return
        role = role_of(effect)
        self.outage = None if reason is None else RoleOutage(role, reason)
        self._unanswered = self.outage or self._unanswered
        if self.outage is None:
            self._waits_for_role.clear()
        else:
            self._waits_for_role.set()
        self._broadcast.publish_notice(Unlogged(self.outage or RoleRecovered(role), self._seq))

    async def _record(self, *events: Event, request: RequestKey | None = None, turn: TurnRecord | None = None) -> None:
        """Append the events and the automatic events after them in one commit."""
        made = list(transitions(events, self.state))
        while (automatic := self._automatic_event(made[-1].after)) is not None:
            made += transitions([automatic], made[-1].after)
        events, state = tuple(transition.event for transition in made), made[-1].after
        changed = state.status if state.status != self.state.status else None
        intended = isinstance(events[-1], EffectIntended)
        if intended:
            self._dependencies.failpoints.reach("intent.before_commit")
        audit = self._cancelled_by if any(isinstance(event, Cancelled) for event in events) else None
        rows = await self._dependencies.log_writer.append(
            self._row.id,
            after=self._seq,
            events=events,
            status=changed,
            request=request,
            turn=turn,
            audit=audit,
            snapshot=partial(self._snapshot, state, self._seq + len(events)) if state.phase is Phase.FINISHED else None,
        )
        if intended:
            self._dependencies.failpoints.reach("intent.after_commit")
        self._dependencies.executor.metrics.count_dead_ends(events)
        self._count_tokens(state)
        if isinstance(events[-1], ActionRequired):
            self._inbox.expect(seconds=self._dependencies.client_tool_timeout_s)
        self.state, self._seq, self.outage, self._unanswered = state, rows[-1].seq, None, None
        self._waits_for_role.clear()
        self.ended_at = rows[-1].at if state.phase is Phase.FINISHED else None
        self._update_settled()
        self._broadcast.publish(
            [LoggedEvent(**vars(each), seq=row.seq, at=row.at) for each, row in zip(made, rows, strict=True)]
        )

    def _snapshot(self, state: State, seq: int, at: datetime) -> Snapshot | None:
        """The snapshot of the end. The end is recorded without it if it cannot be made; readers replay the log then."""
        self.snapshot = None
        try:
            self.snapshot = snapshot_of(self._row, state, seq=seq, finished_at=at)
        except ValueError as error:
            _log.error("snapshot.failed", reason=str(error))
        return self.snapshot

    def _count_tokens(self, after: State) -> None:
        """Count the tokens that the roles have used since the present state."""
        if (rate := self._dependencies.rates.get("tokens")) is not None:
            rate.take(self._row.owner, _tokens_of(after) - _tokens_of(self.state))

    def _update_settled(self) -> None:
        if self.state.phase in (Phase.WAITING, Phase.FINISHED):
            self.settled.set()
        else:
            self.settled.clear()

    def _automatic_event(self, state: State) -> Event | None:
        """The next event if it follows from the state alone; None otherwise."""
        match effect_of(state):
            case Finish():
                return TrajectoryFinished()
            case RequireAction() as effect:
                return self._action_required(effect)
            case Backtrack() as effect:
                return Backtracked(effect.to, effect.reason)
            case None | AwaitOutput():
                return None
            case effect:
                if not self._can_continue(state):
                    return None
                # The intent of an effect that may be performed twice shares a commit with the outcome before it. Any
                # other is committed right before it is sent, because a crash in between makes its outcome UNKNOWN.
                effect_class = self._effect_class(state, effect)
                return None if effect_class is EffectClass.UNKEYED_WRITE else _intent(effect, effect_class)

    def _effect_class(self, state: State, effect: SendEffect) -> EffectClass | None:
        """Whether the call of a tool may be repeated; None for a role call, which always may."""
        if not isinstance(effect, RunTool):
            return None
        return self._dependencies.executor.effect_class(state, self._tools, effect)

    def _can_continue(self, state: State) -> bool:
        halted = self._stopping or self._interrupt.is_set()
        return state.in_flight is None and not halted and (state.is_closing or self._time_left() > 0)


def _intent(effect: SendEffect, effect_class: EffectClass | None) -> EffectIntended:
    """The intent, with what recovery has to know of a tool call, whatever is registered by then."""
    return EffectIntended(effect_key(effect), effect_class=None if effect_class is None else effect_class.value)


def _tokens_of(state: State) -> int:
    return state.usage.prompt_tokens + state.usage.completion_tokens
