"""Executes one effect of the machine and returns its outcome as an event.

A failure is an event as well: `RoleFailed` for a role, an observation for a tool.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from alpha_umi import telemetry
from alpha_umi.contract.roles import Answer, CallAnswer, StepAnswer, ToolModel
from alpha_umi.roles.caller import NO_CALL
from alpha_umi.roles.turns import Tool as RoleTool
from alpha_umi.trajectory import (
    AskBackbone,
    AskCaller,
    AskPlanner,
    AskSummarizer,
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
from orchestrator.failpoints import Failpoints
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.roles.calls import RoleCalls
from orchestrator.roles.errors import RoleError, RoleUnreadable
from orchestrator.roles.request import OnDelta
from orchestrator.runs.role_calls import (
    CallStats,
    RoleCallContext,
    RoleCallSpec,
    caller_call,
    plan_call,
    step_call,
    summarize_call,
)
from orchestrator.tools.errors import UnknownToolError
from orchestrator.tools.model import EffectClass, Tool
from orchestrator.tools.numbers import with_written_numbers
from orchestrator.tools.registry import ToolRegistry

_log = telemetry.logger(__name__)


def new_call_id() -> str:
    """A random id of a call."""
    return f"call_{uuid.uuid4().hex}"


@dataclass(frozen=True)
class EffectExecutor:
    """Calls the roles and runs the tools of all trajectories.

    `tool_timeout_s` bounds one tool call. With `constrained=False` roles generate without grammars, as in the paper.
    """

    calls: RoleCalls
    registry: ToolRegistry
    metrics: OrchestratorMetrics
    failpoints: Failpoints
    tool_timeout_s: float
    constrained: bool = True
    call_id: Callable[[], str] = new_call_id

    async def perform(self, trajectory_id: str, state: State, effect: SendEffect, on_delta: OnDelta | None) -> Event:
        """The outcome of the effect. Raises nothing but cancellation."""
        started = time.monotonic()
        try:
            if isinstance(effect, RunTool):
                return await self._run_tool(trajectory_id, effect, turn=state.history[-1].content)
            event = await self._call_role(trajectory_id, state, effect, on_delta)
            self._count_decision(event)
            return event
        except RoleError as error:
            return failure_of(effect, str(error), latency_ms=_since(started))
        except Exception as error:
            _log.error("effect.failed", effect=effect_key(effect), exc_info=error)
            return failure_of(effect, "the orchestrator failed; its log has the details", latency_ms=_since(started))

    async def _call_role(self, trajectory_id: str, state: State, effect: RoleEffect, on_delta: OnDelta | None) -> Event:
        context = RoleCallContext(
            trajectory_id,
            state,
            tools=lambda: self._offered(state),
            constrained=self.constrained,
            streams=on_delta is not None,
            call_id=self.call_id,
        )
        match effect:
            case AskPlanner():
                return await self._call(plan_call(context, effect), on_delta)
            case AskCaller():
                return await self._call(caller_call(context, effect))
            case AskSummarizer():
                return await self._call(summarize_call(context, effect), on_delta)
            case AskBackbone():
                return await self._call(step_call(context, effect), on_delta)
            case _ as never:
                assert_never(never)

    async def _call(self, spec: RoleCallSpec[Answer], on_delta: OnDelta | None = None) -> Event:
        role = spec.request.role
        started = time.monotonic()
        try:
            answer = await self.calls.call(spec.request, on_delta)
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

    async def _run_tool(self, trajectory_id: str, effect: RunTool, *, turn: str) -> Event:
        """Call the tool with the numbers as the caller's `turn` writes them; the event log holds plain numbers."""
        started = time.monotonic()
        self.failpoints.reach("tool.before_send")
        try:
            result = await self.registry.call(
                effect.name,
                with_written_numbers(effect.arguments, turn),
                idempotency_key=idempotency_key(trajectory_id, effect),
                timeout_s=self.tool_timeout_s,
            )
        except UnknownToolError as error:
            self.metrics.tool_calls.labels(outcome="error").inc()
            return ToolObserved(effect.call_id, f"{NO_CALL}{error}", is_error=True)
        self.failpoints.reach("tool.after_send")
        self.metrics.tool_calls.labels(outcome="error" if result.is_error else "ok").inc()
        self.metrics.tool_seconds.observe(time.monotonic() - started)
        return ToolObserved(
            effect.call_id, result.content, result.is_error, result.truncated, latency_ms=_since(started)
        )

    def is_retryable(self, effect: RunTool) -> bool:
        """Whether a call can be sent again; False for a tool that is not registered any more."""
        try:
            (tool,) = self.registry.get([effect.name])
        except UnknownToolError:
            return False
        return tool.effect is not EffectClass.UNKEYED_WRITE

    def _offered(self, state: State) -> list[ToolModel]:
        """The client's tools, and the registered ones that still exist. Raises `RoleError` if there are none."""
        offered = {tool.name: tool_model(tool) for tool in self.registry.list_tools() if tool.name in state.tools}
        # Client tools come second: a tool that was registered later under the same name does not replace one.
        offered |= {tool.name: client_tool_model(tool) for tool in state.client_tools}
        if not offered:
            raise RoleError("none of the trajectory's tools is registered any more")
        return [offered[name] for name in state.tools if name in offered]


def tool_model(tool: Tool) -> ToolModel:
    """The wire form of a tool. Raises pydantic's `ValidationError` for a name that role services refuse."""
    return ToolModel(name=tool.name, description=tool.description, parameters=tool.parameters)


def client_tool_model(tool: RoleTool) -> ToolModel:
    """The wire form of a client tool."""
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
