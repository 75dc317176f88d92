"""A whole trajectory once more through the machine, from the events that a file keeps of its stream."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from alpha_umi.contract.retelling import moves_of_stream
from alpha_umi.contract.told_events import EventNotUnderstood, Observed, Told, read_event
from alpha_umi.contract.trajectories import StepModel, Trajectory, as_trajectory
from alpha_umi.trajectory import Event, State
from evaluation.whole_run import EventRecord


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
    try:
        moves = moves_of_stream(list(_read(events)))
    except EventNotUnderstood as error:
        raise NotRetold(f"its events cannot be gone through again: {error}") from error
    states = [State(), *(move.state for move in moves)]
    if _steps_of(states[-1], told) != [_shown(step) for step in told.steps]:
        raise NotRetold("its events do not lead to its steps")
    return Retold(tuple(Moment(before, move.event) for before, move in zip(states, moves, strict=False)), states[-1])


def _read(events: Sequence[EventRecord]) -> Iterator[Told]:
    """Raises `EventNotUnderstood`, also for a kind that this version does not know: it may have changed the steps."""
    for record in events:
        event = read_event(record.name, json.dumps(record.data))
        if event is None:
            raise EventNotUnderstood(f"nothing is known of {record.name!r}")
        if isinstance(event, Observed) and event.call_id is None and event.text is None:
            raise EventNotUnderstood("what the caller wrote that was no call is not told, as by an earlier version")
        yield event


def _steps_of(state: State, told: Trajectory) -> list[tuple[Any, ...]]:
    again = as_trajectory(told.id, state, created_at=told.created_at, finished_at=None, metadata={})
    return [_shown(step) for step in again.steps]


def _shown(step: StepModel) -> tuple[Any, ...]:
    """What of a step decides what models are shown later."""
    return step.thought, step.next, step.action, step.observation, step.parent, step.abandoned
