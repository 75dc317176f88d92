"""The trajectory state machine. It has no I/O.

`advance` computes the next state from a state and an event; `effect_of` returns the one effect that a state requires.
`TRANSITIONS` lists all legal transitions; any other event raises `IllegalEvent` and changes nothing. Routing depends
only on the planner's decision, never on text in the history.

Strategies are variants of the table: `chain` calls planner, caller and summarizer in turn, `single` calls one model for
all steps (the paper's baseline), `dfsdt` backtracks from dead ends and tries another branch. Each has a module; `moves`
has the transitions that they share, `ending` those that end a turn.

There is no awaiting, clock, randomness or logging here. The orchestrator's driver performs the effects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, assert_never

from alpha_umi.trajectory import chain, ending, moves, search, single
from alpha_umi.trajectory.copies import replace
from alpha_umi.trajectory.effects import (
    AskBackbone,
    AskCaller,
    AskPlanner,
    AskSummarizer,
    AwaitOutput,
    Backtrack,
    Effect,
    Finish,
    RequireAction,
    RunTool,
    effect_key,
)
from alpha_umi.trajectory.errors import IllegalEvent
from alpha_umi.trajectory.events import (
    ActionRequired,
    AnswerWritten,
    Backtracked,
    CallMade,
    Cancelled,
    EffectIntended,
    Event,
    LimitReached,
    MessageAdded,
    PlannerDecided,
    RoleFailed,
    StepTaken,
    ToolObserved,
    TrajectoryCreated,
    TrajectoryFinished,
    TurnResumed,
)
from alpha_umi.trajectory.state import Phase, State

NEW: Final = State()


def advance(state: State, event: Event) -> State:
    """The state after an event. Raises `IllegalEvent`."""
    move = TRANSITIONS.get((state.phase, type(event)))
    if move is None:
        raise IllegalEvent(f"{type(event).__name__} is not legal in the phase {state.phase}")
    return move(state, event)


@dataclass(frozen=True)
class Transition:
    """An event, with the states before and after it."""

    before: State
    event: Event
    after: State


def transitions(events: Iterable[Event], state: State = NEW) -> Iterator[Transition]:
    """The transitions of a log, beginning with `state`. Raises `IllegalEvent` with the event's number."""
    for number, event in enumerate(events, start=1):
        try:
            transition = Transition(state, event, advance(state, event))
        except IllegalEvent as error:
            raise IllegalEvent(
                f"event {number} ({event.type}) does not follow from those before it: {error}"
            ) from error
        yield transition
        state = transition.after


def replay(events: Iterable[Event], state: State = NEW) -> State:
    """The state after a log or a prefix of it. Raises `IllegalEvent` with the event's number."""
    for transition in transitions(events, state):
        state = transition.after
    return state


def effect_of(state: State) -> Effect | None:
    """The next effect; None before the instruction and after the end."""
    step = len(state.steps)
    match state.phase:
        case Phase.NEW | Phase.FINISHED:
            return None
        case Phase.PLANNING:
            return AskPlanner(step)
        case Phase.CALLING:
            return AskCaller(step - 1)
        case Phase.RUNNING_TOOL:
            action = moves.current_action(state)
            return RunTool(step - 1, action.call_id, action.name, action.arguments)
        case Phase.REQUIRING:
            action = moves.current_action(state)
            return RequireAction(step - 1, action.call_id, action.name, action.arguments)
        case Phase.WAITING:
            action = moves.current_action(state)
            return AwaitOutput(step - 1, action.call_id, action.expires_at or "")
        case Phase.BACKTRACKING:
            return Backtrack(step - 1, *search.backtrack_target(state))
        case Phase.SUMMARIZING:
            return AskSummarizer(step)
        case Phase.STEPPING | Phase.CONCLUDING:
            return AskBackbone(step, conclude=state.phase is Phase.CONCLUDING)
        case Phase.ENDING:
            return Finish(ending.outcome_of(state))
        case _ as never:
            assert_never(never)


def _intend(state: State, event: EffectIntended) -> State:
    effect = effect_of(state)
    if effect is None or effect_key(effect) != event.effect:
        raise IllegalEvent(f"the intent {event.effect!r} is not the next effect")
    return replace(state, in_flight=event)


Move = Callable[[State, Any], State]

# Phases whose effect is sent over the network: it has an intent, can time out and can fail.
_SENDING = (
    Phase.PLANNING,
    Phase.CALLING,
    Phase.RUNNING_TOOL,
    Phase.SUMMARIZING,
    Phase.STEPPING,
    Phase.CONCLUDING,
)
_TIMED = (*_SENDING, Phase.BACKTRACKING)
_OPEN = (*_TIMED, Phase.REQUIRING, Phase.WAITING)

TRANSITIONS: dict[tuple[Phase, type[Any]], Move] = {
    (Phase.NEW, TrajectoryCreated): moves.create,
    (Phase.FINISHED, MessageAdded): moves.add_message,
    (Phase.FINISHED, TurnResumed): ending.resume,
    (Phase.PLANNING, PlannerDecided): chain.decide,
    (Phase.CALLING, CallMade): chain.call,
    (Phase.CALLING, ToolObserved): chain.record_invalid_call,
    (Phase.STEPPING, StepTaken): single.take_step,
    (Phase.RUNNING_TOOL, ToolObserved): moves.observe,
    (Phase.REQUIRING, ActionRequired): moves.require_action,
    (Phase.WAITING, ToolObserved): moves.observe,
    (Phase.BACKTRACKING, Backtracked): search.backtrack,
    (Phase.SUMMARIZING, AnswerWritten): chain.answer,
    (Phase.CONCLUDING, StepTaken): single.conclude,
    (Phase.ENDING, TrajectoryFinished): ending.finish,
    **{(phase, EffectIntended): _intend for phase in _SENDING},
    **{(phase, LimitReached): ending.reach_limit for phase in _TIMED},
    **{(phase, RoleFailed): ending.fail for phase in _SENDING},
    **{(phase, Cancelled): ending.cancel for phase in _OPEN},
}
