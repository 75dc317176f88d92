"""Transitions of the strategy `chain`: planner, caller and summarizer in turn."""

from __future__ import annotations

from typing import assert_never

from alpha_umi.roles.planner import write_plan
from alpha_umi.trajectory import ending, moves
from alpha_umi.trajectory.copies import replace
from alpha_umi.trajectory.errors import IllegalEvent
from alpha_umi.trajectory.events import AnswerWritten, CallMade, CallOutput, PlannerDecided, ToolObserved, Usage
from alpha_umi.trajectory.state import Action, Phase, State, Step


def decide(state: State, event: PlannerDecided) -> State:
    """The planner's decision routes to the next role. Raises `IllegalEvent`."""
    moves.check_policy(state, event)
    step = Step(len(state.steps), event.thought, event.next, tools_offered=event.tools_offered)
    step = step.with_usage("planner", event, unreadable=event.unreadable)
    # An unreadable output enters the history in the format of a readable one, with the policy's decision.
    text = write_plan(event.thought, event.next) if event.unreadable else event.text
    planned = moves.add_step(state, step, text)
    match event.next:
        case "caller":
            return replace(planned, phase=Phase.CALLING)
        case "conclusion":
            return replace(planned, phase=Phase.SUMMARIZING, outcome="completed")
        case "give up":
            return moves.give_up(planned)
        case _ as never:
            assert_never(never)


def call(state: State, event: CallMade) -> State:
    """The caller's call is executed next."""
    state = moves.add_usage(state, "caller", event)
    return moves.add_call(state, Action(event.call_id, event.name, event.arguments), event.text)


def record_invalid_call(state: State, event: ToolObserved) -> State:
    """The caller's output is not a valid call; the planner reads why. Raises `IllegalEvent` for other observations."""
    if event.call_id is not None:
        raise IllegalEvent(f"no call {event.call_id!r} is waiting for an observation")
    output = CallOutput(
        usage=event.usage or Usage(),
        latency_ms=event.latency_ms,
        attempts=event.attempts or 0,
        call_unfinished=event.call_unfinished or False,
    )
    state = moves.add_usage(state, "caller", output, unreadable=True)
    return moves.record_call_error(state, event.content, event.text or "")


def answer(state: State, event: AnswerWritten) -> State:
    """The summarizer's answer ends the turn. Its cost is added to the newest step."""
    answered = moves.add_usage(moves.add_answer(state, event.answer), "summarizer", event)
    return ending.end_answered(answered, ending.outcome_of(state), unfinished=event.unfinished)
