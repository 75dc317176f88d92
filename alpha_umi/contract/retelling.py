"""From the events that an orchestrator tells back to the events of the trajectory machine.

A stream does not tell everything that is in the log. What it leaves out and the machine needs (a limit that was
reached, a role that failed, a cancellation) follows from what comes next. Lost are the intents, why a turn before the
newest one ended without an answer, on which the outcome does not depend, and of streams of earlier versions the texts
of unreadable calls and how often a role wrote.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import assert_never

from alpha_umi.contract.told_events import (
    Answered,
    Called,
    Continued,
    Created,
    Decided,
    Ended,
    EventNotUnderstood,
    Interrupted,
    Observed,
    Required,
    Stepped,
    Told,
    WentBack,
    Written,
)
from alpha_umi.contract.trajectories import StepModel, TokenUsage, Trajectory
from alpha_umi.roles.turns import Role, Tool
from alpha_umi.trajectory import (
    ActionRequired,
    AnswerWritten,
    BackboneUnreadable,
    Backtracked,
    CallMade,
    CallUnreadable,
    Cancelled,
    Event,
    Finished,
    IllegalEvent,
    LimitReached,
    Limits,
    MessageAdded,
    ObservationReceived,
    Phase,
    PlannerDecided,
    PlannerUnreadable,
    QuestionAsked,
    RoleFailed,
    State,
    Step,
    StepTaken,
    Usage,
    advance,
)
from alpha_umi.trajectory.limits import UnreadablePolicy
from alpha_umi.trajectory.moves import NO_CALL

_FAILED: dict[str, Role] = {
    "planner_failed": "planner",
    "caller_failed": "caller",
    "summarizer_failed": "summarizer",
    "backbone_failed": "backbone",
}


@dataclass(frozen=True)
class Move:
    """An event, and the state that it led to."""

    event: Event
    state: State


def moves(events: Sequence[Event]) -> list[Move]:
    """Every state of the machine that the events lead to. Raises `EventNotUnderstood` for an illegal one."""
    made: list[Move] = []
    for event in events:
        made.append(_move(made[-1].state if made else State(), event, len(made) + 1))
    return made


def moves_of_stream(told: Sequence[Told]) -> list[Move]:
    """The same from a whole stream. Raises `EventNotUnderstood`."""
    made: list[Move] = []
    limits = _limits(told)
    for item in told:
        state = made[-1].state if made else State()
        for event in _events(item, state, limits):
            made.append(_move(made[-1].state if made else State(), event, len(made) + 1))
    return made


def differences(state: State, trajectory: Trajectory) -> list[str]:
    """What the orchestrator says otherwise than the replay."""
    replayed: dict[str, object] = {
        "status": state.status,
        "answer": state.answer,
        "steps": [_signature(step) for step in state.steps],
    }
    said: dict[str, object] = {
        "status": trajectory.status,
        "answer": trajectory.answer,
        "steps": [_signature(step) for step in trajectory.steps],
    }
    if state.strategy == "dfsdt":
        replayed["branches"] = [(step.parent, step.abandoned) for step in state.steps]
        said["branches"] = [(step.parent, step.abandoned) for step in trajectory.steps]
    return [name for name in replayed if replayed[name] != said[name]]


def _move(state: State, event: Event, number: int) -> Move:
    try:
        return Move(event, advance(state, event))
    except (IllegalEvent, TypeError, AttributeError) as error:  # a log may hold values of a wrong type
        raise EventNotUnderstood(f"event {number} does not follow from those before it: {error}") from error


def _limits(told: Sequence[Told]) -> Limits:
    """The limits that the trajectory had. Of the policy the stream tells no more than what it led to."""
    created = next((item for item in told if isinstance(item, Created)), None)
    if created is None:
        raise EventNotUnderstood("the stream does not begin with the trajectory's creation")
    decided = (item.next for item in told if isinstance(item, Decided | Stepped) and item.unreadable)
    policy: UnreadablePolicy = next(decided, Limits().on_unreadable)
    usual = Limits()
    return Limits(
        max_steps=created.max_steps,
        max_repeats=_max_repeats(told) if created.max_repeats is None else created.max_repeats,
        on_unreadable=policy,
        max_tokens=created.max_tokens,
        max_depth=created.max_depth or usual.max_depth,
        max_width=created.max_width or usual.max_width,
    )


def _max_repeats(told: Sequence[Told]) -> int:
    """What an earlier orchestrator, which does not tell it, must have had."""
    steps = [step for item in told if isinstance(item, Ended) for step in item.trajectory.steps]
    ended_by_it = any(
        isinstance(item, Ended) and item.trajectory.error is not None and item.trajectory.error.code == "repeated_call"
        for item in told
    )
    if not ended_by_it:
        return len(steps) + 1
    return sum(_signature(step) == _signature(steps[-1]) for step in steps)


def _events(told: Told, state: State, limits: Limits) -> Iterator[Event]:
    match told:
        case Created():
            own = tuple(Tool(name) for name in told.client_tools)
            yield QuestionAsked(told.instruction, tuple(told.tools), limits, told.strategy, own)
        case Continued():
            yield from _earlier_end(state)
            yield MessageAdded(told.content)
        case Decided():
            yield _decision(told)
        case Called():
            yield CallMade(
                told.call_id, told.name, told.arguments, told.text, _usage(told.usage), told.latency_ms, told.truncated,
                told.attempts,
            )  # fmt: skip
        case Required():
            yield ActionRequired(told.call_id, told.expires_at)
        case Observed(call_id=None):
            usage = Usage() if told.usage is None else _usage(told.usage)
            reason, attempts = told.content.removeprefix(NO_CALL), told.attempts or 0
            yield CallUnreadable(told.text or "", reason, usage, told.latency_ms, attempts)
        case Observed():
            yield ObservationReceived(told.call_id or "", told.content, told.is_error, told.truncated, told.latency_ms)
        case WentBack():
            yield Backtracked(told.to, told.reason)
        case Answered():
            if not state.is_closing:
                yield LimitReached("deadline")
            yield AnswerWritten(told.answer, _usage(told.usage), told.latency_ms, told.truncated, told.attempts)
        case Stepped():
            if told.concludes and not state.is_closing:
                yield LimitReached("deadline")
            yield _step(told)
        case Ended():
            yield from _ending(told.trajectory, state)
        case Written() | Interrupted():
            return
        case _ as never:
            assert_never(never)


def _earlier_end(state: State) -> Iterator[Event]:
    """The end of a turn that another one follows, which no stream tells. Without an answer it does not matter how."""
    if state.phase is not Phase.ENDING:
        yield Cancelled("it ended without an answer")
    yield Finished()


def _decision(told: Decided) -> Event:
    if told.unreadable:
        return PlannerUnreadable(told.text, told.reason or "", _usage(told.usage), told.latency_ms, told.attempts)
    usage = _usage(told.usage)
    return PlannerDecided(told.thought, told.next, told.text, usage, told.latency_ms, told.truncated, told.attempts)


def _step(told: Stepped) -> Event:
    usage = _usage(told.usage)
    if told.unreadable:
        return BackboneUnreadable(told.text, told.reason or "", usage, told.latency_ms, told.attempts)
    return StepTaken(
        told.thought,
        told.next,
        told.text,
        told.call_id,
        told.name,
        told.arguments,
        told.reason,
        told.answer,
        usage,
        told.latency_ms,
        told.truncated,
        told.attempts,
    )


def _ending(trajectory: Trajectory, state: State) -> Iterator[Event]:
    if state.phase is not Phase.ENDING:
        yield from _untold_end(trajectory, state)
    yield Finished()


def _untold_end(trajectory: Trajectory, state: State) -> Iterator[Event]:
    code = trajectory.error.code if trajectory.error else ""
    detail = trajectory.error.detail if trajectory.error else ""
    if role := _FAILED.get(code):
        yield RoleFailed(role, detail)
    elif code == "cancelled":
        yield Cancelled(detail)
    else:
        # The first one leads to the summarizer, and it was over before it answered.
        yield LimitReached("deadline")
        if not state.is_closing:
            yield LimitReached("deadline")


def _usage(told: TokenUsage) -> Usage:
    return Usage(told.prompt_tokens, told.completion_tokens)


def _signature(step: Step | StepModel) -> str:
    """A step's call and observation."""
    call = None if step.action is None else [step.action.name, dict(step.action.arguments)]
    return json.dumps([call, step.observation and step.observation.content], sort_keys=True)
