"""What each role is asked for an effect, and what its answer means to the machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic

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
    StepAnswer,
    StepRequest,
    SummarizeAnswer,
    SummarizeRequest,
    ToolModel,
    TurnModel,
    as_turns,
)
from alpha_umi.trajectory import (
    AnswerWritten,
    AskBackbone,
    AskCaller,
    AskPlanner,
    AskSummarizer,
    BackboneUnreadable,
    CallMade,
    CallUnreadable,
    Event,
    PlannerDecided,
    PlannerUnreadable,
    State,
    StepTaken,
    Usage,
    planner_history,
)
from orchestrator.roles.errors import RoleUnreadable
from orchestrator.roles.request import RoleRequest


@dataclass(frozen=True)
class Setting:
    """What every role of a trajectory is asked with. `streams`: somebody listens to the text while it is written."""

    trajectory_id: str
    state: State
    tools: Callable[[], list[ToolModel]]
    constrained: bool
    streams: bool
    call_id: Callable[[], str]

    def turns(self) -> list[TurnModel]:
        """The history as the roles take it."""
        return as_turns(self.state.history)

    def turns_for_the_planner(self) -> list[TurnModel]:
        """The same, with what a search has tried before at this place."""
        return as_turns(planner_history(self.state))


@dataclass(frozen=True)
class Heard:
    """What an answer cost: tokens, and milliseconds, in so many attempts."""

    usage: Usage
    latency_ms: int
    attempts: int


@dataclass(frozen=True)
class Part(Generic[Answer]):
    """A question, the event of its answer, and the event of a text that could not be read (None: it is a failure)."""

    question: RoleRequest[Answer]
    answered: Callable[[Answer, Heard], Event]
    unreadable: Callable[[RoleUnreadable, int], Event] | None = None


def planner_part(setting: Setting, effect: AskPlanner) -> Part[PlanAnswer]:
    """The planner decides what is to be done."""
    request = PlanRequest(
        tools=setting.tools(),
        history=setting.turns_for_the_planner(),
        constrained=setting.constrained,
        stream=setting.streams,
    )
    return Part(
        RoleRequest(PLAN, request, setting.trajectory_id, effect.step),
        lambda answer, heard: PlannerDecided(
            answer.thought, answer.next, answer.text, heard.usage, heard.latency_ms, answer.truncated, heard.attempts
        ),
        lambda error, latency_ms: PlannerUnreadable(error.text, error.reason, error.usage, latency_ms, error.attempts),
    )


def caller_part(setting: Setting, effect: AskCaller) -> Part[CallAnswer]:
    """The caller makes a call."""
    tools = setting.tools()
    request = CallRequest(tools=tools, history=setting.turns(), constrained=setting.constrained)

    def answered(answer: CallAnswer, heard: Heard) -> Event:
        refused = _not_offered(answer.action, tools)
        if refused is not None:
            return CallUnreadable(answer.text, refused, heard.usage, heard.latency_ms, heard.attempts)
        name, arguments = answer.action.name, answer.action.arguments
        call_id = setting.call_id()
        return CallMade(
            call_id, name, arguments, answer.text, heard.usage, heard.latency_ms, answer.truncated, heard.attempts
        )

    return Part(
        RoleRequest(CALL, request, setting.trajectory_id, effect.step),
        answered,
        lambda error, latency_ms: CallUnreadable(error.text, error.reason, error.usage, latency_ms, error.attempts),
    )


def summarizer_part(setting: Setting, effect: AskSummarizer) -> Part[SummarizeAnswer]:
    """The summarizer writes the answer."""
    request = SummarizeRequest(history=setting.turns(), stream=setting.streams)
    return Part(
        RoleRequest(SUMMARIZE, request, setting.trajectory_id, effect.step),
        lambda answer, heard: AnswerWritten(
            answer.answer, heard.usage, heard.latency_ms, answer.truncated, heard.attempts
        ),
    )


def backbone_part(setting: Setting, effect: AskBackbone) -> Part[StepAnswer]:
    """The single model takes a whole step, or closes with an answer."""
    tools = setting.tools()
    request = StepRequest(
        tools=tools,
        history=setting.turns(),
        conclude=effect.conclude,
        constrained=setting.constrained,
        stream=setting.streams,
    )

    def answered(answer: StepAnswer, heard: Heard) -> Event:
        refused = None if answer.action is None else _not_offered(answer.action, tools)
        made = None if refused is not None else answer.action
        return StepTaken(
            answer.thought,
            answer.next,
            answer.text,
            call_id=None if made is None else setting.call_id(),
            name=None if made is None else made.name,
            arguments=None if made is None else made.arguments,
            reason=refused or answer.reason,
            answer=answer.answer,
            usage=heard.usage,
            latency_ms=heard.latency_ms,
            truncated=answer.truncated,
            attempts=heard.attempts,
        )

    return Part(
        RoleRequest(STEP, request, setting.trajectory_id, effect.step),
        answered,
        lambda error, latency_ms: BackboneUnreadable(error.text, error.reason, error.usage, latency_ms, error.attempts),
    )


def _not_offered(action: ActionModel, tools: list[ToolModel]) -> str | None:
    """Why a call cannot be made, if so: the services check it, and so does whoever would send it."""
    known = [tool.name for tool in tools]
    if action.name in known:
        return None
    return f"there is no tool {action.name!r}; offered are {', '.join(known)}"
