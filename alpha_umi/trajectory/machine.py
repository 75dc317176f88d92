"""The trajectory machine: a protocol without I/O.

An event and a state give the next state (`advance`); a state wants exactly one effect (`effect_of`). All legal moves
stand in `TRANSITIONS`; an event that is not listed for a phase raises `IllegalEvent` and changes nothing. Routing
depends on the planner's own decision alone, never on text in the history.

Strategies are variants of the table, not loops of their own: `chain` asks planner, caller and summarizer in turn,
`single` asks one model for all of it (the paper's baseline). They share what follows a call.

Left out on purpose: awaiting, clocks, randomness, logging. The orchestrator's driver performs the effects.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, assert_never

from alpha_umi.roles.planner import Decision, write_plan
from alpha_umi.roles.turns import Turn
from alpha_umi.trajectory.effects import (
    AskBackbone,
    AskCaller,
    AskPlanner,
    AskSummarizer,
    AwaitOutput,
    Effect,
    Finish,
    RequireAction,
    RunTool,
    Status,
)
from alpha_umi.trajectory.events import (
    ActionRequired,
    AnswerWritten,
    BackboneUnreadable,
    CallMade,
    CallUnreadable,
    Cancelled,
    Event,
    Finished,
    Intended,
    LimitReached,
    MessageAdded,
    ObservationReceived,
    PlannerDecided,
    PlannerUnreadable,
    QuestionAsked,
    RoleFailed,
    StepTaken,
)
from alpha_umi.trajectory.state import Action, Failure, Latency, Message, Observation, Phase, State, Step

STRATEGIES = ("chain", "single")
# How the published preprocessing writes an answer that was not given.
NO_ANSWER = "none"


class IllegalEvent(Exception):
    """The event does not belong to the state; the state is as it was."""


def advance(state: State, event: Event) -> State:
    """The state after one event. Raises `IllegalEvent`."""
    transition = TRANSITIONS.get((state.phase, type(event)))
    if transition is None:
        raise IllegalEvent(f"{type(event).__name__} cannot happen while {state.phase}")
    return transition(state, event)


def replay(events: Iterable[Event]) -> State:
    """The state after a whole log, or any prefix of one."""
    state = State()
    for event in events:
        state = advance(state, event)
    return state


def effect_of(state: State) -> Effect | None:
    """What is to be done now; None before the question and after the end."""
    step = len(state.steps)
    match state.phase:
        case Phase.NEW | Phase.FINISHED:
            return None
        case Phase.PLANNING:
            return AskPlanner(step)
        case Phase.CALLING:
            return AskCaller(step - 1)
        case Phase.RUNNING_TOOL:
            action = _current_action(state)
            return RunTool(step - 1, action.call_id, action.name, action.arguments)
        case Phase.REQUIRING:
            action = _current_action(state)
            return RequireAction(step - 1, action.call_id, action.name, action.arguments)
        case Phase.WAITING:
            action = _current_action(state)
            return AwaitOutput(step - 1, action.call_id, action.expires_at or "")
        case Phase.SUMMARIZING:
            return AskSummarizer(step)
        case Phase.STEPPING | Phase.CONCLUDING:
            return AskBackbone(step, conclude=state.phase is Phase.CONCLUDING)
        case Phase.ENDING:
            return Finish(_outcome(state))
        case _ as never:
            assert_never(never)


def _ask(state: State, event: QuestionAsked) -> State:
    if event.strategy not in STRATEGIES:
        raise IllegalEvent(f"no strategy {event.strategy!r}; known: {', '.join(STRATEGIES)}")
    opened = replace(
        state,
        instruction=event.instruction,
        tools=event.tools,
        client_tools=event.client_tools,
        strategy=event.strategy,
        limits=event.limits,
    )
    return _begin_turn(opened, event.instruction)


def _go_on(state: State, event: MessageAdded) -> State:
    unanswered = state.answer is None and state.strategy == "chain"
    history = (*state.history, Turn("conclusion", NO_ANSWER)) if unanswered else state.history
    return _begin_turn(replace(state, history=history, answer=None, error=None, outcome=None), event.content)


def _begin_turn(state: State, content: str) -> State:
    return replace(
        state,
        phase=_thinking(state),
        history=(*state.history, Turn("user", content)),
        messages=(*state.messages, Message("user", content)),
        turn_start=len(state.steps),
    )


def _thinking(state: State) -> Phase:
    """The phase in which the next step is decided."""
    return Phase.STEPPING if state.strategy == "single" else Phase.PLANNING


def _intend(state: State, event: Intended) -> State:
    effect = effect_of(state)
    if effect is None or effect.key != event.effect:
        raise IllegalEvent(f"{event.effect!r} is not what comes next")
    return replace(state, in_flight=event.effect)


def _decide(state: State, event: PlannerDecided) -> State:
    step = _new_step(state, event.thought, event.next, event)
    return _route(_planned(state, replace(step, truncated=event.truncated), event.text))


def _decide_by_policy(state: State, event: PlannerUnreadable) -> State:
    decision, thought = state.limits.on_unreadable, event.text.strip()
    return _route(_planned(state, _new_step(state, thought, decision, event), write_plan(thought, decision)))


def _new_step(state: State, thought: str, decision: Decision, event: PlannerDecided | PlannerUnreadable) -> Step:
    return Step(len(state.steps), thought, decision, latency_ms=Latency(planner=event.latency_ms), usage=event.usage)


def _planned(state: State, step: Step, text: str) -> State:
    """The state with a decision; `text` is the turn in which it was written."""
    return replace(state, steps=(*state.steps, step), history=(*state.history, Turn("planner", text)), in_flight=None)


def _route(planned: State) -> State:
    match planned.steps[-1].next:
        case "caller":
            return replace(planned, phase=Phase.CALLING)
        case "conclusion":
            return replace(planned, phase=Phase.SUMMARIZING, outcome="completed")
        case "give up":
            return _give_up(planned)
        case _ as never:
            assert_never(never)


def _give_up(state: State) -> State:
    return _end(state, "gave_up", Failure("gave_up", "the planner gave up"))


def _call(state: State, event: CallMade) -> State:
    noted = state.with_last_step(
        latency_ms=replace(state.steps[-1].latency_ms, caller=event.latency_ms),
        usage=state.steps[-1].usage + event.usage,
        truncated=state.steps[-1].truncated or event.truncated,
    )
    return _called(noted, Action(event.call_id, event.name, event.arguments), event.text)


def _called(state: State, action: Action, text: str) -> State:
    """The state with a call, which is for the client where the tool is the client's."""
    for_client = any(tool.name == action.name for tool in state.client_tools)
    return replace(
        state.with_last_step(action=action),
        phase=Phase.REQUIRING if for_client else Phase.RUNNING_TOOL,
        history=(*state.history, Turn("caller", text)),
        in_flight=None,
    )


def _note_bad_call(state: State, event: CallUnreadable) -> State:
    noted = state.with_last_step(
        latency_ms=replace(state.steps[-1].latency_ms, caller=event.latency_ms),
        usage=state.steps[-1].usage + event.usage,
    )
    return _not_called(noted, event.reason, event.text)


def _not_called(state: State, reason: str, text: str) -> State:
    """The planner reads why there was no call, and may think again."""
    noted = state.with_last_step(observation=Observation(f"No call was made: {reason}", is_error=True))
    return _after_observation(replace(noted, history=(*state.history, Turn("caller", text))))


def _require(state: State, event: ActionRequired) -> State:
    action = _action_called(state, event.call_id)
    waiting = state.with_last_step(action=replace(action, expires_at=event.expires_at))
    return replace(waiting, phase=Phase.WAITING)


def _observe(state: State, event: ObservationReceived) -> State:
    action = _action_called(state, event.call_id)
    return _after_observation(
        state.with_last_step(
            action=replace(action, expires_at=None),
            observation=Observation(event.content, event.is_error, event.truncated),
            latency_ms=replace(state.steps[-1].latency_ms, tool=event.latency_ms),
        )
    )


def _action_called(state: State, call_id: str) -> Action:
    action = _current_action(state)
    if call_id != action.call_id:
        raise IllegalEvent(f"no call {call_id!r} is waiting for an observation")
    return action


def _after_observation(state: State) -> State:
    """On to the next step, unless a limit ends the turn: then the answer says what is known."""
    observation = state.steps[-1].observation
    content = observation.content if observation else ""
    observed = replace(state, history=(*state.history, Turn("observation", content)), in_flight=None)
    if _repeats(state) >= state.limits.max_repeats:
        return _exhaust(observed, Failure("repeated_call", "the same call brought the same result again and again"))
    if len(state.turn_steps) >= state.limits.max_steps:
        return _exhaust(observed, Failure("max_steps", f"the limit of {state.limits.max_steps} steps was reached"))
    return replace(observed, phase=_thinking(observed))


def _repeats(state: State) -> int:
    """How many steps of this turn look exactly like the newest one: same call, same observation."""
    newest = _signature(state.steps[-1])
    return sum(_signature(step) == newest for step in state.turn_steps)


def _signature(step: Step) -> str:
    action = None if step.action is None else [step.action.name, step.action.arguments]
    return json.dumps([action, step.observation and step.observation.content], sort_keys=True)


def _answer(state: State, event: AnswerWritten) -> State:
    answered = _answered(state, event.answer)
    if answered.steps:
        answered = answered.with_last_step(
            latency_ms=replace(answered.steps[-1].latency_ms, summarizer=event.latency_ms),
            usage=answered.steps[-1].usage + event.usage,
            truncated=answered.steps[-1].truncated or event.truncated,
        )
    return _end(answered, _outcome(state), state.error)


def _answered(state: State, answer: str) -> State:
    return replace(
        state,
        answer=answer,
        history=(*state.history, Turn("conclusion", answer)),
        messages=(*state.messages, Message("assistant", answer)),
    )


def _step(state: State, event: StepTaken) -> State:
    """The single model's step: decision, and call or answer, at once."""
    step = _backbone_step(state, event.thought, event.next, event)
    planned = _planned(state, replace(step, truncated=event.truncated), write_plan(event.thought, event.next))
    match event:
        case StepTaken(next="caller", call_id=str(call_id), name=str(name), arguments=arguments) if (
            arguments is not None
        ):
            return _called(planned, Action(call_id, name, arguments), event.text)
        case StepTaken(next="caller", reason=str(reason)):
            return _not_called(planned, reason, event.text)
        case StepTaken(next="conclusion", answer=str(answer)):
            return _end(_answered(planned, answer), "completed", None)
        case StepTaken(next="give up"):
            return _give_up(planned)
        case _:
            raise IllegalEvent(f"a step for {event.next!r} lacks its call, its reason or its answer")


def _step_by_policy(state: State, event: BackboneUnreadable) -> State:
    """The unreadable text itself is the answer where the policy is to conclude."""
    decision, text = state.limits.on_unreadable, event.text.strip()
    planned = _planned(state, _backbone_step(state, text, decision, event), write_plan(text, decision))
    if decision == "caller":
        return _not_called(planned, event.reason, "")
    if decision == "conclusion" and text:
        return _end(_answered(planned, text), "completed", None)
    return _give_up(planned)


def _backbone_step(state: State, thought: str, decision: Decision, event: StepTaken | BackboneUnreadable) -> Step:
    return Step(len(state.steps), thought, decision, latency_ms=Latency(backbone=event.latency_ms), usage=event.usage)


def _conclude(state: State, event: StepTaken | BackboneUnreadable) -> State:
    """What the single model says after a limit counts only if it is an answer."""
    told, truncated = state, False
    if isinstance(event, StepTaken):
        told, truncated = state if event.answer is None else _answered(state, event.answer), event.truncated
    if told.steps:
        last = told.steps[-1]
        told = told.with_last_step(
            latency_ms=replace(last.latency_ms, backbone=last.latency_ms.backbone + event.latency_ms),
            usage=last.usage + event.usage,
            truncated=last.truncated or truncated,
        )
    return _end(told, _outcome(state), state.error)


def _limit(state: State, event: LimitReached) -> State:
    if state.is_closing:
        return _end(state, "exhausted", state.error or _failure_of(event))
    return _exhaust(state, _failure_of(event))


def _failure_of(event: LimitReached) -> Failure:
    return Failure(event.limit, "the time limit of the trajectory was reached")


def _fail(state: State, event: RoleFailed) -> State:
    return _end(state, "failed", Failure(f"{event.role}_failed", event.reason))


def _cancel(state: State, event: Cancelled) -> State:
    return _end(state, "cancelled", Failure("cancelled", event.reason))


def _finish(state: State, event: Finished) -> State:
    return replace(state, phase=Phase.FINISHED)


def _exhaust(state: State, why: Failure) -> State:
    closing = Phase.CONCLUDING if state.strategy == "single" else Phase.SUMMARIZING
    return replace(state, phase=closing, outcome="exhausted", error=why, in_flight=None)


def _end(state: State, outcome: Status, error: Failure | None) -> State:
    return replace(state, phase=Phase.ENDING, outcome=outcome, error=error, in_flight=None)


def _current_action(state: State) -> Action:
    action = state.steps[-1].action
    if action is None:
        raise AssertionError("a tool runs only after a call was made")
    return action


def _outcome(state: State) -> Status:
    if state.outcome is None:
        raise AssertionError("a trajectory ends only with an outcome")
    return state.outcome


Transition = Callable[[State, Any], State]

# Phases in which somebody is asked, so that an effect can be intended, take too long or fail.
_ASKING = (
    Phase.PLANNING,
    Phase.CALLING,
    Phase.RUNNING_TOOL,
    Phase.SUMMARIZING,
    Phase.STEPPING,
    Phase.CONCLUDING,
)
_OPEN = (*_ASKING, Phase.REQUIRING, Phase.WAITING)

TRANSITIONS: dict[tuple[Phase, type[Any]], Transition] = {
    (Phase.NEW, QuestionAsked): _ask,
    (Phase.FINISHED, MessageAdded): _go_on,
    (Phase.PLANNING, PlannerDecided): _decide,
    (Phase.PLANNING, PlannerUnreadable): _decide_by_policy,
    (Phase.CALLING, CallMade): _call,
    (Phase.CALLING, CallUnreadable): _note_bad_call,
    (Phase.STEPPING, StepTaken): _step,
    (Phase.STEPPING, BackboneUnreadable): _step_by_policy,
    (Phase.RUNNING_TOOL, ObservationReceived): _observe,
    (Phase.REQUIRING, ActionRequired): _require,
    (Phase.WAITING, ObservationReceived): _observe,
    (Phase.SUMMARIZING, AnswerWritten): _answer,
    (Phase.CONCLUDING, StepTaken): _conclude,
    (Phase.CONCLUDING, BackboneUnreadable): _conclude,
    (Phase.ENDING, Finished): _finish,
    **{(phase, Intended): _intend for phase in _ASKING},
    **{(phase, LimitReached): _limit for phase in _ASKING},
    **{(phase, RoleFailed): _fail for phase in _ASKING},
    **{(phase, Cancelled): _cancel for phase in _OPEN},
}
