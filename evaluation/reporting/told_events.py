"""The events of a trajectory's stream as the machine's own, so that the machine goes through the trajectory once more.

A stream tells what the log holds under the names of its readers, and leaves out what only the orchestrator needs. What
of that matters here follows from what comes next: a limit that the orchestrator saw is followed by a closing answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from alpha_umi.contract.trajectories import StepModel, Trajectory, as_trajectory
from alpha_umi.trajectory import (
    AnswerWritten,
    BackboneUnreadable,
    Backtracked,
    CallMade,
    CallUnreadable,
    Event,
    IllegalEvent,
    LimitReached,
    Limits,
    ObservationReceived,
    PlannerDecided,
    PlannerUnreadable,
    QuestionAsked,
    State,
    StepTaken,
    UnknownEvent,
    advance,
    unpack,
)
from alpha_umi.trajectory.events import LOG_NAMES
from alpha_umi.trajectory.moves import NO_CALL
from evaluation.whole_run import EventRecord

Data = Mapping[str, Any]


class NotRetold(ValueError):
    """The events of a trajectory cannot be gone through again, or do not lead to its steps."""


@dataclass(frozen=True)
class Moment:
    """An event, and the state in which it came."""

    before: State
    event: Event


@dataclass(frozen=True)
class Retold:
    """The events of a trajectory in order, and the state after the last one that was told."""

    moments: tuple[Moment, ...]
    end: State


def retold(told: Trajectory, events: Sequence[EventRecord]) -> Retold:
    """The trajectory as the machine goes through it. Raises `NotRetold`."""
    state, moments = State(), []
    try:
        for record in events:
            event = _event_of(record, events)
            if _closes(record) and not state.is_closing:
                state = advance(state, LimitReached("deadline"))
            moments.append(Moment(state, event))
            state = advance(state, event)
    except (UnknownEvent, IllegalEvent) as error:
        raise NotRetold(f"its events cannot be gone through again: {error}") from error
    if _steps_of(state, told) != [_shown(step) for step in told.steps]:
        raise NotRetold("its events do not lead to its steps")
    return Retold(tuple(moments), state)


def _closes(record: EventRecord) -> bool:
    return record.name == "summarizer.answered" or bool(record.data.get("concludes"))


def _steps_of(state: State, told: Trajectory) -> list[tuple[Any, ...]]:
    again = as_trajectory(told.id, state, created_at=told.created_at, finished_at=None, metadata={})
    return [_shown(step) for step in again.steps]


def _shown(step: StepModel) -> tuple[Any, ...]:
    """What of a step decides what models are shown later."""
    return step.thought, step.next, step.action, step.observation, step.parent, step.abandoned


def _event_of(record: EventRecord, events: Sequence[EventRecord]) -> Event:
    """Raises `UnknownEvent`."""
    if record.name == "trajectory.created":
        return _question(record.data, _on_unreadable(events))
    found = _KINDS.get(record.name)
    if found is None:
        raise UnknownEvent(f"nothing is known of {record.name!r}")
    return _made(found(record.data), record.data)


def _made(kind: type[Any], data: Data) -> Event:
    """What was told has more fields than the event has; why a call could not be made is in the observation."""
    told = {"reason": str(data["content"]).removeprefix(NO_CALL), **data} if "content" in data else data
    names = [field.name for field in fields(kind)]
    return unpack(LOG_NAMES[kind], {name: told[name] for name in names if name in told})


def _question(data: Data, on_unreadable: object) -> Event:
    names = [field.name for field in fields(Limits) if data.get(field.name) is not None]
    limits = {name: data[name] for name in names} | {"on_unreadable": on_unreadable}
    known = {name: data[name] for name in ("instruction", "tools", "strategy") if name in data}
    return unpack(LOG_NAMES[QuestionAsked], known | {"limits": limits})


def _on_unreadable(events: Sequence[EventRecord]) -> object:
    """The decision that stood in for those that could not be read."""
    stood_in = (event.data.get("next") for event in events if event.data.get("unreadable"))
    return next(stood_in, Limits().on_unreadable)


def _observed(data: Data) -> type[Any]:
    return ObservationReceived if data.get("call_id") else CallUnreadable


_KINDS: Final[Mapping[str, Callable[[Data], type[Any]]]] = {
    "planner.decided": lambda data: PlannerUnreadable if data.get("unreadable") else PlannerDecided,
    "caller.called": lambda _: CallMade,
    "tool.observed": _observed,
    "search.backtracked": lambda _: Backtracked,
    "summarizer.answered": lambda _: AnswerWritten,
    "backbone.stepped": lambda data: BackboneUnreadable if data.get("unreadable") else StepTaken,
}
