"""The trajectory machine: a protocol without I/O.

An event and a state give the next state (`advance`); a state wants exactly one effect (`effect_of`). All legal moves
stand in `TRANSITIONS`; an event that is not listed for a phase raises `IllegalEvent` and changes nothing. Routing
depends on the planner's own decision alone, never on text in the history.

Left out on purpose: awaiting, clocks, randomness, logging. The orchestrator's driver performs the effects.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, assert_never

from alpha_umi.roles.planner import Decision, write_plan
from alpha_umi.roles.turns import Turn
from alpha_umi.trajectory.effects import AskCaller, AskPlanner, AskSummarizer, Effect, Finish, RunTool, Status
from alpha_umi.trajectory.events import (
    AnswerWritten,
    CallMade,
    CallUnreadable,
    Cancelled,
    Event,
    Finished,
    Intended,
    LimitReached,
    ObservationReceived,
    PlannerDecided,
    PlannerUnreadable,
    QuestionAsked,
    RoleFailed,
    Usage,
)
from alpha_umi.trajectory.state import Action, Failure, Latency, Observation, Phase, State, Step

STRATEGIES = ("chain",)


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
        case Phase.SUMMARIZING:
            return AskSummarizer(step)
        case Phase.ENDING:
            return Finish(_outcome(state))
        case _ as never:
            assert_never(never)


def _ask(state: State, event: QuestionAsked) -> State:
    if event.strategy not in STRATEGIES:
        raise IllegalEvent(f"no strategy {event.strategy!r}; known: {', '.join(STRATEGIES)}")
    return replace(
        state,
        phase=Phase.PLANNING,
        instruction=event.instruction,
        tools=event.tools,
        strategy=event.strategy,
        limits=event.limits,
        history=(Turn("user", event.instruction),),
    )


def _intend(state: State, event: Intended) -> State:
    effect = effect_of(state)
    if effect is None or effect.key != event.effect:
        raise IllegalEvent(f"{event.effect!r} is not what comes next")
    return replace(state, in_flight=event.effect)


def _decide(state: State, event: PlannerDecided) -> State:
    step = _new_step(state, event.thought, event.next, event.usage, event.latency_ms)
    return _route(state, replace(step, truncated=event.truncated), event.text)


def _decide_by_policy(state: State, event: PlannerUnreadable) -> State:
    decision = state.limits.on_unreadable
    step = _new_step(state, event.text.strip(), decision, event.usage, event.latency_ms)
    return _route(state, step, write_plan(event.text.strip(), decision))


def _new_step(state: State, thought: str, decision: Decision, usage: Usage, latency_ms: int) -> Step:
    return Step(len(state.steps), thought, decision, latency_ms=Latency(planner=latency_ms), usage=usage)


def _route(state: State, step: Step, text: str) -> State:
    planned = replace(
        state,
        steps=(*state.steps, step),
        history=(*state.history, Turn("planner", text)),
        in_flight=None,
    )
    match step.next:
        case "caller":
            return replace(planned, phase=Phase.CALLING)
        case "conclusion":
            return replace(planned, phase=Phase.SUMMARIZING, outcome="completed")
        case "give up":
            return _end(planned, "gave_up", Failure("gave_up", "the planner gave up"))
        case _ as never:
            assert_never(never)


def _call(state: State, event: CallMade) -> State:
    called = state.with_last_step(
        action=Action(event.call_id, event.name, event.arguments),
        latency_ms=replace(state.steps[-1].latency_ms, caller=event.latency_ms),
        usage=state.steps[-1].usage + event.usage,
        truncated=state.steps[-1].truncated or event.truncated,
    )
    return replace(
        called,
        phase=Phase.RUNNING_TOOL,
        history=(*state.history, Turn("caller", event.text)),
        in_flight=None,
    )


def _note_bad_call(state: State, event: CallUnreadable) -> State:
    """The planner reads why there was no call, and may think again."""
    noted = state.with_last_step(
        observation=Observation(f"No call was made: {event.reason}", is_error=True),
        latency_ms=replace(state.steps[-1].latency_ms, caller=event.latency_ms),
        usage=state.steps[-1].usage + event.usage,
    )
    return _after_observation(replace(noted, history=(*state.history, Turn("caller", event.text))))


def _observe(state: State, event: ObservationReceived) -> State:
    if event.call_id != _current_action(state).call_id:
        raise IllegalEvent(f"no call {event.call_id!r} is waiting for an observation")
    return _after_observation(
        state.with_last_step(
            observation=Observation(event.content, event.is_error, event.truncated),
            latency_ms=replace(state.steps[-1].latency_ms, tool=event.latency_ms),
        )
    )


def _after_observation(state: State) -> State:
    """Back to the planner, unless a limit ends the run: then the summarizer says what is known."""
    observation = state.steps[-1].observation
    content = observation.content if observation else ""
    observed = replace(state, history=(*state.history, Turn("observation", content)), in_flight=None)
    if _repeats(state) >= state.limits.max_repeats:
        return _exhaust(observed, Failure("repeated_call", "the same call brought the same result again and again"))
    if len(state.steps) >= state.limits.max_steps:
        return _exhaust(observed, Failure("max_steps", f"the limit of {state.limits.max_steps} steps was reached"))
    return replace(observed, phase=Phase.PLANNING)


def _repeats(state: State) -> int:
    """How many steps look exactly like the newest one: same call, same observation."""
    newest = _signature(state.steps[-1])
    return sum(_signature(step) == newest for step in state.steps)


def _signature(step: Step) -> str:
    action = None if step.action is None else [step.action.name, step.action.arguments]
    return json.dumps([action, step.observation and step.observation.content], sort_keys=True)


def _answer(state: State, event: AnswerWritten) -> State:
    answered = replace(state, answer=event.answer, history=(*state.history, Turn("conclusion", event.answer)))
    if answered.steps:
        answered = answered.with_last_step(
            latency_ms=replace(answered.steps[-1].latency_ms, summarizer=event.latency_ms),
            usage=answered.steps[-1].usage + event.usage,
            truncated=answered.steps[-1].truncated or event.truncated,
        )
    return _end(answered, _outcome(state), state.error)


def _limit(state: State, event: LimitReached) -> State:
    if state.phase is Phase.SUMMARIZING:
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
    return replace(state, phase=Phase.SUMMARIZING, outcome="exhausted", error=why, in_flight=None)


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

_OPEN = (Phase.PLANNING, Phase.CALLING, Phase.RUNNING_TOOL, Phase.SUMMARIZING)

TRANSITIONS: dict[tuple[Phase, type[Any]], Transition] = {
    (Phase.NEW, QuestionAsked): _ask,
    (Phase.PLANNING, PlannerDecided): _decide,
    (Phase.PLANNING, PlannerUnreadable): _decide_by_policy,
    (Phase.CALLING, CallMade): _call,
    (Phase.CALLING, CallUnreadable): _note_bad_call,
    (Phase.RUNNING_TOOL, ObservationReceived): _observe,
    (Phase.SUMMARIZING, AnswerWritten): _answer,
    (Phase.ENDING, Finished): _finish,
    **{(phase, Intended): _intend for phase in _OPEN},
    **{(phase, LimitReached): _limit for phase in _OPEN},
    **{(phase, RoleFailed): _fail for phase in _OPEN},
    **{(phase, Cancelled): _cancel for phase in _OPEN},
}
