"""Executes one effect of the machine and returns its outcome as an event.

A failure is an event as well: `RoleFailed` for a role, an observation for a tool.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, assert_never

from alpha_umi import telemetry
from alpha_umi.contract.roles import Answer, CallAnswer, StepAnswer, ToolModel
from alpha_umi.roles.caller import NO_CALL
from alpha_umi.roles.turns import Role
from alpha_umi.roles.turns import Tool as RoleTool
from alpha_umi.trajectory import (
    AskBackbone,
    AskCaller,
    AskPlanner,
    AskSummarizer,
    AwaitOutput,
    Event,
    PlannerDecided,
    RoleEffect,
    RoleFailed,
    RunTool,
    SendEffect,
    State,
    StepTaken,
    ToolObserved,
    Usage,
    effect_key,
    role_of,
)
from alpha_umi.web.keys import CURRENT_OWNER
from orchestrator.failpoints import Failpoints
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.roles.calls import RoleCalls
from orchestrator.roles.errors import RoleError, RoleUnreadable
from orchestrator.roles.request import OnDelta, OnWait
from orchestrator.runs.offer import ToolOffers
from orchestrator.runs.role_calls import (
    CallStats,
    RoleCallContext,
    RoleCallSpec,
    caller_call,
    plan_call,
    step_call,
    summarize_call,
)
from orchestrator.store import SHARED, TrajectoryRow
from orchestrator.tools.errors import ToolGone
from orchestrator.tools.model import EffectClass, Tool, ToolResult
from orchestrator.tools.numbers import with_written_numbers
from orchestrator.tools.read_more import (
    NothingToRead,
    built_in_tools,
    is_built_in,
    read_more,
    read_request,
    remedy_of,
    result_title,
)
from orchestrator.tools.registry import ToolRegistry
from orchestrator.tools.shorten import (
    MIN_OBSERVATION_BYTES,
    observation_bytes,
    shorten,
    shorten_structure,
    storable,
)
from orchestrator.tools.tool_sets import ToolSet, role_tool
from orchestrator.workers import run_long

# An error is shown in at most this many bytes.
MAX_ERROR_BYTES: Final = 2 * 1024
# Longer texts are shortened in a thread, so that other requests are served meanwhile.
_LONG_BYTES: Final = 64 * 1024

_log = telemetry.logger(__name__)


def new_call_id() -> str:
    """A random id of a call."""
    return f"call_{uuid.uuid4().hex}"


@dataclass(frozen=True)
class EffectExecutor:
    """Calls the roles and runs the tools of all trajectories.

    `tool_timeout_s` bounds one tool call. With `constrained=False` roles generate without grammars, as in the paper.
    `stored_body` reads the body of a call's result from the log, by the ids of the trajectory and of the call.
    `max_answer_bytes` is the length above which the log does not store a result completely.
    """

    calls: RoleCalls
    registry: ToolRegistry
    metrics: OrchestratorMetrics
    failpoints: Failpoints
    offers: ToolOffers
    stored_body: Callable[[str, str], Awaitable[str]]
    tool_timeout_s: float
    constrained: bool = True
    max_answer_bytes: int = 256 * 1024
    call_id: Callable[[], str] = new_call_id

    async def perform(
        self,
        row: TrajectoryRow,
        state: State,
        tools: ToolSet | None,
        effect: SendEffect,
        on_delta: OnDelta | None,
        on_wait: OnWait,
    ) -> Event:
        """The outcome of the effect. `tools` as in `registered_tools`. Raises nothing but cancellation.

        Waits without limit for a role that is unavailable.
        """
        started = time.monotonic()
        try:
            if isinstance(effect, RunTool):
                # The trajectory may have been resumed by the server itself.
                CURRENT_OWNER.set(row.owner)
                return await self._run_tool(row.id, state, tools, effect)
            event = await self._call_role(row, state, tools, effect, on_delta, on_wait)
            self._count_decision(event)
            return event
        except RoleError as error:
            return failure_of(effect, str(error), latency_ms=_since(started))
        except Exception as error:
            _log.error("effect.failed", effect=effect_key(effect), exc_info=error)
            return failure_of(effect, "the orchestrator failed; its log has the details", latency_ms=_since(started))

    async def _call_role(
        self,
        row: TrajectoryRow,
        state: State,
        tools: ToolSet | None,
        effect: RoleEffect,
        on_delta: OnDelta | None,
        on_wait: OnWait,
    ) -> Event:
        names = await self._tools_of_step(state, tools, effect)
        context = RoleCallContext(
            row,
            state,
            tools=lambda: self._offered(state, tools, names),
            tools_offered=names,
            constrained=self.constrained,
            streams=on_delta is not None,
            call_id=self.call_id,
        )
        match effect:
            case AskPlanner():
                return await self._call(plan_call(context, effect), on_wait, on_delta)
            case AskCaller():
                return await self._call(caller_call(context, effect), on_wait)
            case AskSummarizer():
                return await self._call(summarize_call(context, effect), on_wait, on_delta)
            case AskBackbone():
                return await self._call(step_call(context, effect), on_wait, on_delta)
            case _ as never:
                assert_never(never)

    async def _call(self, spec: RoleCallSpec[Answer], on_wait: OnWait, on_delta: OnDelta | None = None) -> Event:
        role = spec.request.role
        started = time.monotonic()
        try:
            answer = await self.calls.call(spec.request, on_delta, on_wait)
        except RoleUnreadable as error:
            self.metrics.count_tokens(role, error.usage)
            self.metrics.unfinished_calls.labels(role=role).inc(error.call_unfinished)
            if spec.unreadable is None:
                raise
            return spec.unreadable(error, CallStats(error.usage, _since(started), error.attempts))
        usage = Usage(answer.usage.prompt_tokens, answer.usage.completion_tokens)
        self.metrics.count_tokens(role, usage)
        if isinstance(answer, CallAnswer | StepAnswer):
            self.metrics.repairs.inc(answer.repaired)
            self.metrics.unfinished_calls.labels(role=role).inc(answer.call_unfinished)
        return spec.to_event(answer, CallStats(usage, _since(started), answer.timings.attempts))

    def _count_decision(self, event: Event) -> None:
        if isinstance(event, PlannerDecided | StepTaken):
            self.metrics.decisions.labels(next=event.next, readable="no" if event.unreadable else "yes").inc()

    async def _run_tool(self, trajectory_id: str, state: State, tools: ToolSet | None, effect: RunTool) -> Event:
        """Call the tool with the numbers as the caller's turn writes them; the event log holds plain numbers."""
        started = time.monotonic()
        self.failpoints.reach("tool.before_send")
        try:
            if is_built_in(state, effect.name):
                result = await self._read_more(trajectory_id, state, effect)
            else:
                tool = self.registered_tools(state, tools).get(effect.name)
                if tool is None:
                    raise ToolGone
                result = await self.registry.call(
                    tool,
                    with_written_numbers(effect.arguments, state.history[-1].content),
                    idempotency_key=idempotency_key(trajectory_id, effect),
                    timeout_s=self.tool_timeout_s,
                )
        except ToolGone as error:
            self.metrics.tool_calls.labels(outcome="error").inc()
            return ToolObserved(effect.call_id, f"{NO_CALL}the tool {effect.name!r} {error}", is_error=True)
        self.failpoints.reach("tool.after_send")
        self.metrics.tool_calls.labels(outcome="error" if result.is_error else "ok").inc()
        self.metrics.tool_seconds.observe(time.monotonic() - started)
        return replace(await self.observed(state, effect, result), latency_ms=_since(started))

    async def _read_more(self, trajectory_id: str, state: State, effect: RunTool) -> ToolResult:
        try:
            wanted, step = read_request(state, effect.arguments)
            call_id = "" if step.action is None else step.action.call_id
            body = await self.stored_body(trajectory_id, call_id)
            content = await run_long(read_more, body, wanted, step.index, await self._observation_bytes(state))
        except NothingToRead as error:
            return ToolResult(str(error), is_error=True, truncated=False)
        return ToolResult(content, is_error=False, truncated=False)

    async def _observation_bytes(self, state: State) -> int:
        """The length above which a result is shortened for the roles of the trajectory."""
        roles: tuple[Role, ...] = ("backbone",) if state.strategy == "single" else ("planner", "caller", "summarizer")
        return observation_bytes(await self.offers.contexts.smallest(roles))

    async def observed(self, state: State, effect: RunTool | AwaitOutput, result: ToolResult) -> ToolObserved:
        """The observation of a result, which is shortened if it is too long for the roles."""
        text = storable(result.content)
        size = len(text.encode())
        # Most results are short: then the contexts of the roles do not matter.
        limit = MIN_OBSERVATION_BYTES if size <= MIN_OBSERVATION_BYTES else await self._observation_bytes(state)
        limit = min(MAX_ERROR_BYTES, limit) if result.is_error else limit
        if size <= limit and not result.truncated:
            return ToolObserved(effect.call_id, text, result.is_error)

        def shortened() -> tuple[str, str]:
            title, remedy = result_title(effect.step), remedy_of(state)
            content = shorten(text, limit, title=title, incomplete=result.truncated, remedy=remedy)
            return content, shorten_structure(text, self.max_answer_bytes)

        content, body = await run_long(shortened) if size > _LONG_BYTES else shortened()
        return ToolObserved(effect.call_id, content, result.is_error, truncated=True, body=body)

    def registered_tools(self, state: State, tools: ToolSet | None) -> Mapping[str, Tool]:
        """The trajectory's tools that sources offer, by name: those of its set as they were when it was created.

        A trajectory of an earlier version has no set, but the shared tools that are registered now.
        """
        if tools is not None:
            return tools.tools
        names = set(state.tools)
        return {name: tool for name, tool in self.registry.of(SHARED).offered.items() if name in names}

    def is_ready(self, state: State, tools: ToolSet | None) -> bool:
        """Whether every tool of the trajectory that a source offers is registered."""
        if tools is None:
            names = set(state.tools) - {tool.name for tool in state.client_tools}
            return names <= self.registry.of(SHARED).offered.keys()
        return all(self.registry.find(tool) is not None for tool in tools.tools.values())

    def effect_class(self, state: State, tools: ToolSet | None, effect: RunTool) -> EffectClass:
        """The class of a call: what its intent records, or else what its tool says. One that is gone is never repeated.

        A tool that is not registered as it was is gone as well.
        """
        if is_built_in(state, effect.name):
            return EffectClass.READ
        tool = self.registered_tools(state, tools).get(effect.name)
        if tool is None or not self.registry.is_unchanged(tool):
            return EffectClass.UNKEYED_WRITE
        recorded = None if state.in_flight is None else state.in_flight.effect_class
        return tool.effect if recorded is None else EffectClass(recorded)

    async def _tools_of_step(self, state: State, tools: ToolSet | None, effect: RoleEffect) -> tuple[str, ...] | None:
        """The names of the tools that the step is offered; None: all of them."""
        if isinstance(effect, AskSummarizer):
            return None
        # The caller is offered what the planner was.
        if isinstance(effect, AskCaller):
            return state.steps[-1].tools_offered
        options = state.options
        called = any(step.action is not None for step in state.request_steps)
        allowed = options.tools if called or options.first_tools is None else options.first_tools
        chosen = None if tools is None or allowed == () else await self.offers.choose(state, tools)
        if allowed is None or chosen is None:
            return allowed if chosen is None else chosen
        return tuple(name for name in chosen if name in allowed) or allowed

    def _offered(self, state: State, tools: ToolSet | None, names: Sequence[str] | None) -> list[ToolModel]:
        """The wire forms of the tools of a step. Raises `RoleError` if the trajectory's are gone."""
        registered = self.registered_tools(state, tools)
        client_tools = {tool.name: tool for tool in state.client_tools}
        if state.tools and not registered and not client_tools:
            raise RoleError("none of the trajectory's tools is registered any more")
        shown = [
            # A tool that was registered later under the name of a client tool does not replace it.
            client_tools[name] if name in client_tools else role_tool(name, registered[name])
            for name in (state.tools if names is None else names)
            if name in client_tools or name in registered
        ]
        shown += [role_tool(tool.name, tool) for tool in built_in_tools(state)]
        return [tool_model(tool) for tool in shown]


def tool_model(tool: RoleTool) -> ToolModel:
    """The wire form of a tool. Raises pydantic's `ValidationError` for a name that role services refuse."""
    return ToolModel(name=tool.name, description=tool.description, parameters=dict(tool.parameters))


def _since(started: float) -> int:
    """Milliseconds, rounded."""
    return round((time.monotonic() - started) * 1_000)


def failure_of(effect: SendEffect, reason: str, *, latency_ms: int = 0) -> Event:
    """The event of an effect that failed."""
    if isinstance(effect, RunTool):
        return ToolObserved(effect.call_id, f"The call failed: {reason}", is_error=True, latency_ms=latency_ms)
    return RoleFailed(role_of(effect), reason, latency_ms)


def log_outcome(event: Event) -> None:
    """Log the outcome of an effect, without texts: the event log has them."""
    match event:
        case RoleFailed():
            _log.warning("role.failed", role=event.role, reason=event.reason, ms=event.latency_ms)
        case PlannerDecided(unreadable=True) | StepTaken(unreadable=True):
            _log.warning("role.unreadable", kind=event.type, reason=event.reason, ms=event.latency_ms)
        case ToolObserved(call_id=None):
            _log.warning("role.unreadable", kind=event.type, reason=event.content, ms=event.latency_ms)
        case ToolObserved():
            _log.info("tool.called", call_id=event.call_id, is_error=event.is_error, ms=event.latency_ms)
        case _:
            _log.debug("role.answered", kind=event.type)


def unknown_outcome(effect: RunTool, reason: str) -> ToolObserved:
    """The observation of a call that may have been sent and whose response is lost."""
    return ToolObserved(
        effect.call_id,
        f"UNKNOWN: {reason} It is not known whether the call was executed; it was not sent again.",
        is_error=True,
    )


def idempotency_key(trajectory_id: str, effect: RunTool) -> str:
    """The idempotency key of a call, 64 hexadecimal digits. Every attempt of the call has the same key."""
    call = json.dumps([effect.name, dict(effect.arguments)], sort_keys=True)
    digest = hashlib.sha256(call.encode()).hexdigest()
    return hashlib.sha256(f"{trajectory_id}:{effect_key(effect)}:{digest}".encode()).hexdigest()
