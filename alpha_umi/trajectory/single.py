"""The moves of the strategy `single`: one model decides, calls and answers (the paper's baseline)."""

from __future__ import annotations

from dataclasses import replace

from alpha_umi.roles.planner import Decision, write_plan
from alpha_umi.trajectory import ending, moves
from alpha_umi.trajectory.errors import IllegalEvent
from alpha_umi.trajectory.events import BackboneUnreadable, StepTaken
from alpha_umi.trajectory.state import Action, Latency, RoleUse, State, Step


def take_step(state: State, event: StepTaken) -> State:
    """The single model's step: decision, and call or answer, at once."""
    step = _backbone_step(state, event.thought, event.next, event)
    planned = moves.planned(state, replace(step, truncated=event.truncated), write_plan(event.thought, event.next))
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
    planned = moves.planned(state, _backbone_step(state, text, decision, event), write_plan(text, decision))
    if decision == "caller":
        return moves.not_called(planned, event.reason, "")
    if decision == "conclusion" and text:
        return ending.end(moves.answered(planned, text), "completed", None)
    return moves.give_up(planned)


def _backbone_step(state: State, thought: str, decision: Decision, event: StepTaken | BackboneUnreadable) -> Step:
    return Step(
        len(state.steps),
        thought,
        decision,
        latency_ms=Latency(backbone=event.latency_ms),
        usage=event.usage,
        roles={"backbone": RoleUse().and_then(event, unreadable=isinstance(event, BackboneUnreadable))},
    )


def conclude(state: State, event: StepTaken | BackboneUnreadable) -> State:
    """What the single model says after a limit counts only if it is an answer."""
    told, truncated = state, False
    if isinstance(event, StepTaken):
        told, truncated = state if event.answer is None else moves.answered(state, event.answer), event.truncated
    if told.steps:
        last = told.steps[-1]
        told = told.with_last_step(
            latency_ms=replace(last.latency_ms, backbone=last.latency_ms.backbone + event.latency_ms),
            usage=last.usage + event.usage,
            truncated=last.truncated or truncated,
            roles=moves.wrote(last, "backbone", event, unreadable=isinstance(event, BackboneUnreadable)),
        )
    return ending.end(told, ending.outcome_of(state), state.error)
