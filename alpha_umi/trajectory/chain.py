"""The moves of the strategy `chain`: planner, caller and summarizer in turn."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from alpha_umi.roles.planner import write_plan
from alpha_umi.trajectory import ending, moves
from alpha_umi.trajectory.events import AnswerWritten, CallMade, CallUnreadable, PlannerDecided, PlannerUnreadable
from alpha_umi.trajectory.state import Action, Phase, State, Step


def decide(state: State, event: PlannerDecided) -> State:
    """The planner's decision says who is asked next."""
    step = Step(len(state.steps), event.thought, event.next).written("planner", event, truncated=event.truncated)
    return _route(moves.planned(state, step, event.text))


def decide_by_policy(state: State, event: PlannerUnreadable) -> State:
    """The policy decides where the planner did not."""
    decision, thought = state.limits.on_unreadable, event.text.strip()
    step = Step(len(state.steps), thought, decision).written("planner", event, unreadable=True)
    return _route(moves.planned(state, step, write_plan(thought, decision)))


def _route(planned: State) -> State:
    match planned.steps[-1].next:
        case "caller":
            return replace(planned, phase=Phase.CALLING)
        case "conclusion":
            return replace(planned, phase=Phase.SUMMARIZING, outcome="completed")
        case "give up":
            return moves.give_up(planned)
        case _ as never:
            assert_never(never)


def call(state: State, event: CallMade) -> State:
    """The caller's call, to be made next."""
    told = moves.written(state, "caller", event, truncated=event.truncated)
    return moves.called(told, Action(event.call_id, event.name, event.arguments), event.text)


def note_bad_call(state: State, event: CallUnreadable) -> State:
    """There is no call, for a reason that the planner reads."""
    return moves.not_called(moves.written(state, "caller", event, unreadable=True), event.reason, event.text)


def answer(state: State, event: AnswerWritten) -> State:
    """The summarizer's answer ends the turn. Its cost is told on the newest step."""
    told = moves.written(moves.answered(state, event.answer), "summarizer", event, truncated=event.truncated)
    return ending.end(told, ending.outcome_of(state), state.error)
