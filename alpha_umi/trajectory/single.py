"""The moves of the strategy `single`: one model decides, calls and answers (the paper's baseline)."""

from __future__ import annotations

from alpha_umi.roles.planner import write_plan
from alpha_umi.trajectory import ending, moves
from alpha_umi.trajectory.errors import IllegalEvent
from alpha_umi.trajectory.events import BackboneUnreadable, StepTaken
from alpha_umi.trajectory.state import Action, State, Step


def take_step(state: State, event: StepTaken) -> State:
    """The single model's step: decision, and call or answer, at once."""
    step = Step(len(state.steps), event.thought, event.next).written("backbone", event, truncated=event.truncated)
    planned = moves.planned(state, step, write_plan(event.thought, event.next))
    match event:
        case StepTaken(next="caller", call_id=str(call_id), name=str(name), arguments=arguments) if (
            arguments is not None
        ):
            return moves.called(planned, Action(call_id, name, arguments), event.text)
        case StepTaken(next="caller", reason=str(reason)):
            return moves.not_called(planned, reason, event.text)
        case StepTaken(next="conclusion", answer=str(answer)):
            return ending.end(moves.answered(planned, answer), "completed", None)
        case StepTaken(next="give up"):
            return moves.give_up(planned)
        case _:
            raise IllegalEvent(f"a step for {event.next!r} lacks its call, its reason or its answer")


def take_step_by_policy(state: State, event: BackboneUnreadable) -> State:
    """The unreadable text itself is the answer where the policy is to conclude."""
    decision, text = state.limits.on_unreadable, event.text.strip()
    step = Step(len(state.steps), text, decision).written("backbone", event, unreadable=True)
    planned = moves.planned(state, step, write_plan(text, decision))
    if decision == "caller":
        return moves.not_called(planned, event.reason, "")
    if decision == "conclusion" and text:
        return ending.end(moves.answered(planned, text), "completed", None)
    return moves.give_up(planned)


def conclude(state: State, event: StepTaken | BackboneUnreadable) -> State:
    """What the single model says after a limit counts only if it is an answer."""
    if isinstance(event, StepTaken):
        told = moves.written(state, "backbone", event, truncated=event.truncated)
        told = told if event.answer is None else moves.answered(told, event.answer)
    else:
        told = moves.written(state, "backbone", event, unreadable=True)
    return ending.end(told, ending.outcome_of(state), state.error)
