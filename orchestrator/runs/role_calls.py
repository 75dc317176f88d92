"""The role calls of the machine's effects: the request of each, and the event of its answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic

from pydantic import BaseModel

from alpha_umi.contract.roles import (
    CALL,
    PLAN,
    STEP,
    SUMMARIZE,
    ActionModel,
    Answer,
    CallAnswer,
    CallRequest,
    PlanAnswer,
    PlanRequest,
    RoleSpec,
    StepAnswer,
    StepRequest,
    SummarizeAnswer,
    SummarizeRequest,
    ToolModel,
    TurnModel,
    as_turns,
)
from alpha_umi.roles.caller import NO_CALL
from alpha_umi.roles.planner import Decision
from alpha_umi.trajectory import (
    AnswerWritten,
    AskBackbone,
    AskCaller,
    AskPlanner,
    AskSummarizer,
    CallMade,
    Event,
    PlannerDecided,
    State,
    StepTaken,
    ToolObserved,
    Usage,
    assumed_decision,
    planner_history,
    total,
)
from orchestrator.roles.errors import RoleUnreadable
from orchestrator.roles.request import RoleRequest
from orchestrator.store import TrajectoryRow


@dataclass(frozen=True)
class RoleCallContext:
    """The context of a role call. `streams`: the generated text is streamed.

    `tools_offered` are the names to record with a step; None: all of the trajectory's tools.
    """

    row: TrajectoryRow
    state: State
    tools: Callable[[], list[ToolModel]]
    tools_offered: tuple[str, ...] | None
    constrained: bool
    streams: bool
    call_id: Callable[[], str]

    def request(self, spec: RoleSpec[Any, Answer], body: BaseModel, step: int) -> RoleRequest[Answer]:
        """The request to a role for a step."""
        return RoleRequest(spec, body, self.row.id, step, owner=self.row.owner, background=self.row.background)

    def sampling(self) -> dict[str, Any]:
        """The sampling parameters of a role's request, as far as the turn sets them."""
        options = self.state.options
        given = {"temperature": options.temperature, "top_p": options.top_p, "seed": options.seed}
        if options.max_output_tokens is not None:
            left = options.max_output_tokens - total(self.state.request_steps).completion_tokens
            # Lowers the bounds of the roles, and raises none: a larger one leaves no room in a small context.
            given["token_budget"] = max(1, left)
        return {name: value for name, value in given.items() if value is not None}

    def decisions(self, tools: list[ToolModel]) -> list[Decision] | None:
        """The decisions that the step may make; None: all."""
        if not tools:
            return ["conclusion", "give up"]
        called = any(step.action is not None for step in self.state.request_steps)
        return ["caller"] if self.state.options.must_call and not called else None

    def turns(self) -> list[TurnModel]:
        """The wire form of the history."""
        return as_turns(self.state.history)

    def planner_turns(self) -> list[TurnModel]:
        """The wire form of the planner's history, with the earlier children of a search."""
        return as_turns(planner_history(self.state))


@dataclass(frozen=True)
class CallStats:
    """Token usage, latency and attempts of one role call."""

    usage: Usage
    latency_ms: int
    attempts: int

    def output(self, *, truncated: bool = False) -> dict[str, Any]:
        """The fields of `RoleOutput`."""
        return {**vars(self), "truncated": truncated}


@dataclass(frozen=True)
class RoleCallSpec(Generic[Answer]):
    """A request, the event of its answer, and the event of an unreadable output (None: the role has failed)."""

    request: RoleRequest[Answer]
    to_event: Callable[[Answer, CallStats], Event]
    unreadable: Callable[[RoleUnreadable, CallStats], Event] | None = None


def plan_call(context: RoleCallContext, effect: AskPlanner) -> RoleCallSpec[PlanAnswer]:
    """The planner writes a rationale and a decision."""
    tools = context.tools()
    body = PlanRequest(
        tools=tools,
        history=context.planner_turns(),
        decisions=context.decisions(tools),
        constrained=context.constrained,
        stream=context.streams,
        **context.sampling(),
    )

    def to_event(answer: PlanAnswer, stats: CallStats) -> Event:
        if answer.next not in body.allowed:
            reason = f"the decision {answer.next!r} is none of {', '.join(body.allowed)}"
            return unreadable(RoleUnreadable(reason, text=answer.thought, usage=stats.usage), stats)
        return PlannerDecided(
            answer.thought,
            answer.next,
            answer.text,
            tools_offered=context.tools_offered,
            **stats.output(truncated=answer.truncated),
        )

    def unreadable(error: RoleUnreadable, stats: CallStats) -> Event:
        return PlannerDecided(
            error.text.strip(),
            assumed_decision(context.state),
            error.text,
            unreadable=True,
            reason=error.reason,
            tools_offered=context.tools_offered,
            **stats.output(),
        )

    request = context.request(PLAN, body, effect.step)
    return RoleCallSpec(request, to_event, unreadable)


def caller_call(context: RoleCallContext, effect: AskCaller) -> RoleCallSpec[CallAnswer]:
    """The caller writes a call."""
    tools = context.tools()
    body = CallRequest(tools=tools, history=context.turns(), constrained=context.constrained, **context.sampling())

    def to_event(answer: CallAnswer, stats: CallStats) -> Event:
        refused = _not_offered(answer.action, tools)
        if refused is not None:
            return no_call(answer.text, refused, stats, call_unfinished=answer.call_unfinished)
        name, arguments = answer.action.name, answer.action.arguments
        output = stats.output(truncated=answer.truncated)
        return CallMade(
            context.call_id(), name, arguments, answer.text, call_unfinished=answer.call_unfinished, **output
        )

    def no_call(text: str, reason: str, stats: CallStats, *, call_unfinished: bool) -> Event:
        return ToolObserved(
            None, NO_CALL + reason, is_error=True, text=text, call_unfinished=call_unfinished, **vars(stats)
        )

    def unreadable(error: RoleUnreadable, stats: CallStats) -> Event:
        return no_call(error.text, error.reason, stats, call_unfinished=error.call_unfinished)

    request = context.request(CALL, body, effect.step)
    return RoleCallSpec(request, to_event, unreadable)


def summarize_call(context: RoleCallContext, effect: AskSummarizer) -> RoleCallSpec[SummarizeAnswer]:
    """The summarizer writes the answer."""
    options = context.state.options
    body = SummarizeRequest(
        history=context.turns(),
        answer_schema=None if options.answer_schema is None else dict(options.answer_schema),
        stop=list(options.stop),
        stream=context.streams,
        **context.sampling(),
    )

    def to_event(answer: SummarizeAnswer, stats: CallStats) -> Event:
        return AnswerWritten(answer.answer, unfinished=answer.unfinished, **stats.output(truncated=answer.truncated))

    return RoleCallSpec(context.request(SUMMARIZE, body, effect.step), to_event)


def step_call(context: RoleCallContext, effect: AskBackbone) -> RoleCallSpec[StepAnswer]:
    """The single model writes a step; after a limit, an answer."""
    tools = context.tools()
    body = StepRequest(
        tools=tools,
        history=context.turns(),
        conclude=effect.conclude,
        decisions=None if effect.conclude else context.decisions(tools),
        constrained=context.constrained,
        stream=context.streams,
        **context.sampling(),
    )

    def to_event(answer: StepAnswer, stats: CallStats) -> Event:
        refused = None if answer.action is None else _not_offered(answer.action, tools)
        action = None if refused is not None else answer.action
        return StepTaken(
            answer.thought,
            answer.next,
            answer.text,
            call_id=None if action is None else context.call_id(),
            name=None if action is None else action.name,
            arguments=None if action is None else action.arguments,
            reason=refused or answer.reason,
            answer=answer.answer,
            call_unfinished=answer.call_unfinished,
            unfinished=answer.unfinished,
            tools_offered=context.tools_offered,
            **stats.output(truncated=answer.truncated),
        )

    def unreadable(error: RoleUnreadable, stats: CallStats) -> Event:
        decision, text = assumed_decision(context.state), error.text.strip()
        counts = decision == "conclusion" and text and not effect.conclude
        return StepTaken(
            text,
            decision,
            error.text,
            reason=error.reason,
            answer=text if counts else None,
            unreadable=True,
            tools_offered=context.tools_offered,
            **stats.output(),
        )

    request = context.request(STEP, body, effect.step)
    return RoleCallSpec(request, to_event, unreadable)


def _not_offered(action: ActionModel, tools: list[ToolModel]) -> str | None:
    """Why a call is refused if its tool is not offered; None if it is. The services check this as well."""
    known = [tool.name for tool in tools]
    if action.name in known:
        return None
    return f"there is no tool {action.name!r}; offered are {', '.join(known)}"
