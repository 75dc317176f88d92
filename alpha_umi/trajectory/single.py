"""Transitions of the strategy `single`: one model decides, calls and answers (the paper's baseline)."""

from __future__ import annotations

from alpha_umi.roles.caller import NO_CALL
from alpha_umi.roles.planner import write_plan
from alpha_umi.trajectory import ending, moves
from alpha_umi.trajectory.errors import IllegalEvent
from alpha_umi.trajectory.events import StepTaken
from alpha_umi.trajectory.state import Action, State, Step


def take_step(state: State, event: StepTaken) -> State:
    """A step of the single model: decision with call or answer. Raises `IllegalEvent`."""
    moves.check_policy(state, event)
    step = Step(len(state.steps), event.thought, event.next, tools_offered=event.tools_offered)
    step = step.with_usage("backbone", event, unreadable=event.unreadable)
    planned = moves.add_step(state, step, write_plan(event.thought, event.next))
    match event:
        case StepTaken(next="caller", call_id=str(call_id), name=str(name), arguments=arguments) if (
            arguments is not None
        ):
            return moves.add_call(planned, Action(call_id, name, arguments), event.text)
        case StepTaken(next="caller", reason=str(reason)):
            # An unreadable output is the thought already.
            return moves.record_call_error(planned, NO_CALL + reason, "" if event.unreadable else event.text)
        case StepTaken(next="conclusion", answer=str(answer)):
            return ending.end_answered(moves.add_answer(planned, answer), "completed", unfinished=event.unfinished)
        case StepTaken(next="give up") | StepTaken(next="conclusion", unreadable=True):
            return moves.give_up(planned)
        case _:
            raise IllegalEvent(f"a step for {event.next!r} lacks its call, its reason or its answer")


def conclude(state: State, event: StepTaken) -> State:
    """The single model's output after a limit; it is used only if it is an answer."""
    concluded = moves.add_usage(state, "backbone", event, unreadable=event.unreadable)
    if event.answer is not None and not event.unreadable:
        concluded = moves.add_answer(concluded, event.answer)
    return ending.end(concluded, ending.outcome_of(state), state.error)
