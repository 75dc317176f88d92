"""The moves of the strategy `chain`: planner, caller and summarizer in turn."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from alpha_umi.roles.planner import Decision, write_plan
from alpha_umi.trajectory import ending, moves
from alpha_umi.trajectory.events import AnswerWritten, CallMade, CallUnreadable, PlannerDecided, PlannerUnreadable
from alpha_umi.trajectory.state import Action, Latency, Phase, RoleUse, State, Step


def decide(state: State, event: PlannerDecided) -> State:
    """The planner's decision says who is asked next."""
    step = _new_step(state, event.thought, event.next, event)
    return _route(moves.planned(state, replace(step, truncated=event.truncated), event.text))


def decide_by_policy(state: State, event: PlannerUnreadable) -> State:
    """The policy decides where the planner did not."""
    decision, thought = state.limits.on_unreadable, event.text.strip()
    return _route(moves.planned(state, _new_step(state, thought, decision, event), write_plan(thought, decision)))


def _new_step(state: State, thought: str, decision: Decision, event: PlannerDecided | PlannerUnreadable) -> Step:
    return Step(
        len(state.steps),
        thought,
        decision,
        latency_ms=Latency(planner=event.latency_ms),
        usage=event.usage,
        roles={"planner": RoleUse().and_then(event, unreadable=isinstance(event, PlannerUnreadable))},
    )


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
    noted = state.with_last_step(
        latency_ms=replace(state.steps[-1].latency_ms, caller=event.latency_ms),
        usage=state.steps[-1].usage + event.usage,
        truncated=state.steps[-1].truncated or event.truncated,
        roles=moves.wrote(state.steps[-1], "caller", event),
    )
    return moves.called(noted, Action(event.call_id, event.name, event.arguments), event.text)


def note_bad_call(state: State, event: CallUnreadable) -> State:
    """There is no call, for a reason that the planner reads."""
    noted = state.with_last_step(
        latency_ms=replace(state.steps[-1].latency_ms, caller=event.latency_ms),
        usage=state.steps[-1].usage + event.usage,
        roles=moves.wrote(state.steps[-1], "caller", event, unreadable=True),
    )
    return moves.not_called(noted, event.reason, event.text)


def answer(state: State, event: AnswerWritten) -> State:
    """The summarizer's answer ends the turn. Its cost is told on the newest step."""
    answered = moves.answered(state, event.answer)
    if answered.steps:
        answered = answered.with_last_step(
            latency_ms=replace(answered.steps[-1].latency_ms, summarizer=event.latency_ms),
            usage=answered.steps[-1].usage + event.usage,
            truncated=answered.steps[-1].truncated or event.truncated,
            roles=moves.wrote(answered.steps[-1], "summarizer", event),
        )
    return ending.end(answered, ending.outcome_of(state), state.error)
