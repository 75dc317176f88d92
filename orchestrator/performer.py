"""Performs one effect of the machine and says what came of it, as an event. Decides nothing.

Every failure becomes an event, too: a role's is `RoleFailed`, a tool's an observation for the planner.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from alpha_umi import telemetry
from alpha_umi.contract.roles import Answer, CallAnswer, StepAnswer, ToolModel
from alpha_umi.roles.turns import Tool as RoleTool
from alpha_umi.trajectory import (
    AskBackbone,
    AskCaller,
    AskPlanner,
    AskSummarizer,
    BackboneUnreadable,
    Event,
    ObservationReceived,
    PlannerDecided,
    PlannerUnreadable,
    RunTool,
    State,
    StepTaken,
    Usage,
)
from orchestrator.failpoints import Failpoints
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.outcomes import RoleEffect, SendEffect, failure_of, idempotency_key
from orchestrator.parts import Heard, Part, Setting, backbone_part, caller_part, planner_part, summarizer_part
from orchestrator.roles.calls import RoleCalls
from orchestrator.roles.errors import RoleError, RoleUnreadable
from orchestrator.roles.request import OnDelta
from orchestrator.tools.errors import UnknownToolError
from orchestrator.tools.model import EffectClass, Tool
from orchestrator.tools.registry import ToolRegistry

_log = telemetry.logger(__name__)


def new_call_id() -> str:
    """An id for a call."""
    return f"call_{uuid.uuid4().hex}"


@dataclass(frozen=True)
class Performer:
    """Asks the roles and runs the tools of all trajectories.

    `tool_timeout_s` bounds one tool call. `constrained: false` lets the roles write without grammars, as in the paper.
    """

    calls: RoleCalls
    registry: ToolRegistry
    metrics: OrchestratorMetrics
    failpoints: Failpoints
    tool_timeout_s: float
    constrained: bool = True
    call_id: Callable[[], str] = new_call_id

    async def perform(self, trajectory_id: str, state: State, effect: SendEffect, on_delta: OnDelta | None) -> Event:
        """What came of the effect. Raises nothing but cancellation."""
        started = time.monotonic()
        try:
            if isinstance(effect, RunTool):
                return await self._run_tool(trajectory_id, effect)
            event = await self._ask_role(trajectory_id, state, effect, on_delta)
            self._count_decision(state, event)
            return event
        except RoleError as error:
            return failure_of(effect, str(error), latency_ms=_since(started))
        except Exception as error:
            _log.error("effect.failed", effect=effect.key, exc_info=error)
            return failure_of(effect, "the orchestrator failed; its log has the details", latency_ms=_since(started))

    async def _ask_role(self, trajectory_id: str, state: State, effect: RoleEffect, on_delta: OnDelta | None) -> Event:
        setting = Setting(
            trajectory_id,
            state,
            tools=lambda: self._offered(state),
            constrained=self.constrained,
            streams=on_delta is not None,
            call_id=self.call_id,
        )
        match effect:
            case AskPlanner():
                return await self._ask(planner_part(setting, effect), on_delta)
            case AskCaller():
                return await self._ask(caller_part(setting, effect))
            case AskSummarizer():
                return await self._ask(summarizer_part(setting, effect), on_delta)
            case AskBackbone():
                return await self._ask(backbone_part(setting, effect), on_delta)
            case _ as never:
                assert_never(never)

    async def _ask(self, part: Part[Answer], on_delta: OnDelta | None = None) -> Event:
        role = part.question.role
        started = time.monotonic()
        try:
            answer = await self.calls.ask(part.question, on_delta)
        except RoleUnreadable as error:
            self.metrics.count_tokens(role, error.usage)
            if part.unreadable is None:
                raise
            return part.unreadable(error, _since(started))
        usage = Usage(answer.usage.prompt_tokens, answer.usage.completion_tokens)
        self.metrics.count_tokens(role, usage)
        if isinstance(answer, CallAnswer | StepAnswer):
            self.metrics.repairs.inc(answer.repaired)
        return part.answered(answer, Heard(usage, _since(started), answer.timings.attempts))

    def _count_decision(self, state: State, event: Event) -> None:
        match event:
            case PlannerDecided() | StepTaken():
                self.metrics.decisions.labels(next=event.next, readable="yes").inc()
            case PlannerUnreadable() | BackboneUnreadable():
                self.metrics.decisions.labels(next=state.limits.on_unreadable, readable="no").inc()

    async def _run_tool(self, trajectory_id: str, effect: RunTool) -> Event:
        started = time.monotonic()
        self.failpoints.reach("tool.before_send")
        try:
            result = await self.registry.call(
                effect.name,
                effect.arguments,
                idempotency_key=idempotency_key(trajectory_id, effect),
                timeout_s=self.tool_timeout_s,
            )
        except UnknownToolError as error:
            self.metrics.tool_calls.labels(outcome="error").inc()
            return ObservationReceived(effect.call_id, f"The call was not made: {error}", is_error=True)
        self.failpoints.reach("tool.after_send")
        self.metrics.tool_calls.labels(outcome="error" if result.is_error else "ok").inc()
        self.metrics.tool_seconds.observe(time.monotonic() - started)
        return ObservationReceived(
            effect.call_id, result.content, result.is_error, result.truncated, latency_ms=_since(started)
        )

    def may_repeat(self, effect: RunTool) -> bool:
        """Whether a call that may have been sent already can be sent again. A tool that is gone says nothing."""
        try:
            (tool,) = self.registry.get([effect.name])
        except UnknownToolError:
            return False
        return tool.effect is not EffectClass.UNKEYED_WRITE

    def _offered(self, state: State) -> list[ToolModel]:
        """The client's tools, and the others as far as they are still registered. Raises `RoleError` for none."""
        offered = {tool.name: tool_model(tool) for tool in self.registry.list_tools() if tool.name in state.tools}
        # The client's own come second: a tool that was registered since under the same name does not replace one.
        offered |= {tool.name: client_tool_model(tool) for tool in state.client_tools}
        if not offered:
            raise RoleError("none of the trajectory's tools is registered any more")
        return [offered[name] for name in state.tools if name in offered]


def tool_model(tool: Tool) -> ToolModel:
    """A tool as the role services take it. Raises pydantic's `ValidationError` for a name that they refuse."""
    return ToolModel(name=tool.name, description=tool.description, parameters=tool.parameters)


def client_tool_model(tool: RoleTool) -> ToolModel:
    """A tool of the client as the role services take it."""
    return ToolModel(name=tool.name, description=tool.description, parameters=dict(tool.parameters))


def _since(started: float) -> int:
    """Whole milliseconds."""
    return round((time.monotonic() - started) * 1_000)
