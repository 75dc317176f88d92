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
from alpha_umi.contract.roles import (
    MAX_TURN_CHARACTERS,
    CallAnswer,
    CallRequest,
    PlanAnswer,
    PlanRequest,
    SummarizeAnswer,
    SummarizeRequest,
    ToolModel,
    TurnModel,
    UsageModel,
)
from alpha_umi.roles.turns import Tool as RoleTool
from alpha_umi.trajectory import (
    AnswerWritten,
    AskBackbone,
    AskCaller,
    AskPlanner,
    AskSummarizer,
    CallMade,
    CallUnreadable,
    Event,
    ObservationReceived,
    PlannerDecided,
    PlannerUnreadable,
    RunTool,
    State,
    Usage,
)
from alpha_umi.trajectory.events import RoleKind
from orchestrator.errors import RoleError, RoleUnreadable
from orchestrator.failpoints import Failpoints
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.outcomes import RoleEffect, SendEffect, failure_of, idempotency_key
from orchestrator.role_calls import RoleCalls
from orchestrator.role_clients import OnDelta, RoleClient
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

    clients: dict[RoleKind, RoleClient]
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
            match effect:
                case AskPlanner():
                    return await self._plan(trajectory_id, state, effect, on_delta)
                case AskCaller():
                    return await self._call(trajectory_id, state, effect)
                case AskSummarizer():
                    return await self._summarize(trajectory_id, state, effect, on_delta)
                case AskBackbone():
                    raise RoleError("no service plays the backbone")
                case RunTool():
                    return await self._run_tool(trajectory_id, effect)
                case _ as never:
                    assert_never(never)
        except RoleError as error:
            return failure_of(effect, str(error), latency_ms=_since(started))
        except Exception as error:
            _log.error("effect.failed", effect=effect.key, exc_info=error)
            return failure_of(effect, "the orchestrator failed; its log has the details", latency_ms=_since(started))

    async def _plan(self, trajectory_id: str, state: State, effect: AskPlanner, on_delta: OnDelta | None) -> Event:
        request = PlanRequest(
            tools=self._offered(state),
            history=_turns(state),
            constrained=self.constrained,
            stream=on_delta is not None,
        )
        started = time.monotonic()
        try:
            answer = await self.calls.ask(
                self.clients["planner"],
                "/v1/plan",
                request,
                PlanAnswer,
                headers=_headers(trajectory_id, effect),
                on_delta=on_delta,
            )
        except RoleUnreadable as error:
            self.metrics.count_tokens("planner", error.usage)
            self.metrics.decisions.labels(next=state.limits.on_unreadable, readable="no").inc()
            return PlannerUnreadable(error.text, error.reason, error.usage, _since(started))
        usage = self._usage("planner", answer.usage)
        self.metrics.decisions.labels(next=answer.next, readable="yes").inc()
        return PlannerDecided(answer.thought, answer.next, answer.text, usage, _since(started), answer.truncated)

    async def _call(self, trajectory_id: str, state: State, effect: AskCaller) -> Event:
        offered = self._offered(state)
        request = CallRequest(tools=offered, history=_turns(state), constrained=self.constrained)
        started = time.monotonic()
        try:
            answer = await self.calls.ask(
                self.clients["caller"], "/v1/call", request, CallAnswer, headers=_headers(trajectory_id, effect)
            )
        except RoleUnreadable as error:
            self.metrics.count_tokens("caller", error.usage)
            return CallUnreadable(error.text, error.reason, error.usage, _since(started))
        usage = self._usage("caller", answer.usage)
        self.metrics.repairs.inc(answer.repaired)
        name, arguments = answer.action.name, answer.action.arguments
        known = [tool.name for tool in offered]
        if name not in known:
            reason = f"there is no tool {name!r}; offered are {', '.join(known)}"
            return CallUnreadable(answer.text, reason, usage, _since(started))
        return CallMade(self.call_id(), name, arguments, answer.text, usage, _since(started), answer.truncated)

    async def _summarize(
        self, trajectory_id: str, state: State, effect: AskSummarizer, on_delta: OnDelta | None
    ) -> Event:
        request = SummarizeRequest(history=_turns(state), stream=on_delta is not None)
        started = time.monotonic()
        answer = await self.calls.ask(
            self.clients["summarizer"],
            "/v1/summarize",
            request,
            SummarizeAnswer,
            headers=_headers(trajectory_id, effect),
            on_delta=on_delta,
        )
        usage = self._usage("summarizer", answer.usage)
        return AnswerWritten(answer.answer, usage, _since(started), answer.truncated)

    async def _run_tool(self, trajectory_id: str, effect: RunTool) -> Event:
        started = time.monotonic()
        try:
            (tool,) = self.registry.get([effect.name])
        except UnknownToolError as error:
            self.metrics.tool_calls.labels(outcome="error").inc()
            return ObservationReceived(effect.call_id, f"The call was not made: {error}", is_error=True)
        self.failpoints.reach("tool.before_send")
        result = await self.registry.execute(
            tool,
            effect.arguments,
            idempotency_key=idempotency_key(trajectory_id, effect),
            timeout_s=self.tool_timeout_s,
        )
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

    def _usage(self, role: RoleKind, wire: UsageModel) -> Usage:
        usage = Usage(wire.prompt_tokens, wire.completion_tokens)
        self.metrics.count_tokens(role, usage)
        return usage


def tool_model(tool: Tool) -> ToolModel:
    """A tool as the role services take it. Raises pydantic's `ValidationError` for a name that they refuse."""
    return ToolModel(name=tool.name, description=tool.description, parameters=tool.parameters)


def client_tool_model(tool: RoleTool) -> ToolModel:
    """A tool of the client as the role services take it."""
    return ToolModel(name=tool.name, description=tool.description, parameters=dict(tool.parameters))


def _turns(state: State) -> list[TurnModel]:
    return [TurnModel(role=turn.role, content=turn.content[:MAX_TURN_CHARACTERS]) for turn in state.history]


def _headers(trajectory_id: str, effect: RoleEffect) -> dict[str, str]:
    return {
        "X-Request-Id": f"{trajectory_id}-{effect.step}",
        "X-Trajectory-Id": trajectory_id,
        "X-Step": str(effect.step),
    }


def _since(started: float) -> int:
    """Whole milliseconds."""
    return round((time.monotonic() - started) * 1_000)
