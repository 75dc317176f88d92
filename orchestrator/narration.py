"""Rows of a log as the server-sent events that clients see. Pure: rows go in, events come out.

A row's sequence number is the event's id. Rows of the machine's own bookkeeping are not shown, but count: an id that
was not shown is a place in the log all the same.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from sse_starlette import ServerSentEvent

from alpha_umi.contract.trajectories import LogEventName, as_trajectory
from alpha_umi.trajectory import (
    ActionRequired,
    AnswerWritten,
    BackboneUnreadable,
    Backtracked,
    CallMade,
    CallUnreadable,
    Event,
    Finished,
    MessageAdded,
    ObservationReceived,
    Phase,
    PlannerDecided,
    PlannerUnreadable,
    QuestionAsked,
    State,
    StepTaken,
    advance,
    behind,
    unpack,
)
from orchestrator.live import TextDelta
from orchestrator.store import StoredEvent, TrajectoryRow

SEPARATOR = "\n"


class Narrator:
    """Tells one trajectory, row by row from the first one on. `seq` is the last row told."""

    def __init__(self, trajectory: TrajectoryRow) -> None:
        self.seq = 0
        self._trajectory = trajectory
        self._state = State()

    @property
    def ended(self) -> bool:
        """Whether the last row of all was told."""
        return self._state.phase is Phase.FINISHED

    def tell(self, row: StoredEvent, *, last: bool = True) -> ServerSentEvent | None:
        """The event for the next row; None for a row that is not shown. Raises `UnknownEvent`, `IllegalEvent`.

        An end is shown if it is the `last` row: where a further turn follows, the stream is not over.
        """
        event = unpack(row.type, row.payload)
        before = self._state
        self._state = advance(before, event)
        self.seq = row.seq
        if isinstance(event, Finished):
            return self._shown("trajectory.finished", self._whole(row)) if last else None
        told = _telling(before, self._state, event)
        if told is None:
            return None
        name, data = told
        return self._shown(name, json.dumps({"trajectory_id": self._trajectory.id} | data))

    def _shown(self, name: LogEventName, data: str) -> ServerSentEvent:
        return ServerSentEvent(data, event=name, id=str(self.seq), sep=SEPARATOR)

    def _whole(self, row: StoredEvent) -> str:
        trajectory = self._trajectory
        return as_trajectory(
            trajectory.id,
            self._state,
            created_at=trajectory.created_at,
            finished_at=row.at,
            metadata=trajectory.metadata,
        ).model_dump_json()


def tell_delta(delta: TextDelta) -> ServerSentEvent:
    """Live text. It has no id, because it is not in the log."""
    data = json.dumps({"step": delta.step, "text": delta.text})
    return ServerSentEvent(data, event=f"{delta.role}.delta", sep=SEPARATOR)


def tell_reconnect(reason: str) -> ServerSentEvent:
    """The stream ends here before the trajectory does; another one goes on after the last id."""
    return ServerSentEvent(json.dumps({"reason": reason}), event="reconnect", retry=1_000, sep=SEPARATOR)


def _telling(before: State, state: State, event: Event) -> tuple[LogEventName, dict[str, Any]] | None:
    """Name and data of a row; `state` is the one after it."""
    match event:
        case QuestionAsked():
            return "trajectory.created", {
                "instruction": event.instruction,
                "tools": list(event.tools),
                "strategy": event.strategy,
                **_limits(event),
                "client_tools": [tool.name for tool in event.client_tools],
            }
        case MessageAdded():
            return "trajectory.continued", {"content": event.content}
        case PlannerDecided() | PlannerUnreadable():
            return "planner.decided", _decision(state, event)
        case CallMade():
            return "caller.called", {"step": state.steps[-1].index, **asdict(event)}
        case ActionRequired():
            return "trajectory.requires_action", _required(state, event)
        case ObservationReceived() | CallUnreadable():
            return "tool.observed", _observation(state, event)
        case Backtracked():
            return "search.backtracked", _backtracked(before, event)
        case AnswerWritten():
            return "summarizer.answered", asdict(event)
        case StepTaken() | BackboneUnreadable():
            return "backbone.stepped", _step(before, state, event)
        case _:
            return None


def _limits(event: QuestionAsked) -> dict[str, Any]:
    limits = event.limits
    always = {"max_steps": limits.max_steps, "max_tokens": limits.max_tokens, "max_repeats": limits.max_repeats}
    search = {"max_depth": limits.max_depth, "max_width": limits.max_width}
    return always | (search if event.strategy == "dfsdt" else {})


def _backtracked(before: State, event: Backtracked) -> dict[str, Any]:
    """`step` is the last one of the branch that was left, `abandoned` are those of it that the next one has not."""
    left = [step.index for step in behind(before, event.to)]
    return {"step": left[-1], "to": event.to, "reason": event.reason, "abandoned": left}


def _step(before: State, state: State, event: StepTaken | BackboneUnreadable) -> dict[str, Any]:
    """A whole step of the single model in one event. The fields of what it did not do are null.

    `concludes`: a limit ended the turn, and the model was asked for nothing but an answer.
    """
    taken = {"thought": event.text.strip(), "next": state.limits.on_unreadable, "truncated": False}
    return {
        "step": len(before.steps),
        "concludes": before.phase is Phase.CONCLUDING,
        "call_id": None,
        "name": None,
        "arguments": None,
        "unreadable": isinstance(event, BackboneUnreadable),
        **taken,
        **asdict(event),
        "answer": state.answer,
    }


def _decision(state: State, event: PlannerDecided | PlannerUnreadable) -> dict[str, Any]:
    step = state.steps[-1]
    unreadable = isinstance(event, PlannerUnreadable)
    return {
        "step": step.index,
        "parent": step.parent,
        "thought": step.thought,
        "next": step.next,
        "text": event.text,
        "unreadable": unreadable,
        "reason": event.reason if isinstance(event, PlannerUnreadable) else None,
        "usage": asdict(event.usage),
        "latency_ms": event.latency_ms,
        "truncated": step.truncated,
        "attempts": event.attempts,
    }


def _required(state: State, event: ActionRequired) -> dict[str, Any]:
    step = state.steps[-1]
    if step.action is None:
        raise AssertionError("the call was just made")
    return {
        "step": step.index,
        "call_id": event.call_id,
        "name": step.action.name,
        "arguments": dict(step.action.arguments),
        "expires_at": event.expires_at,
    }


def _observation(state: State, event: ObservationReceived | CallUnreadable) -> dict[str, Any]:
    step = state.steps[-1]
    if step.observation is None:
        raise AssertionError("the step was just observed")
    unreadable = event if isinstance(event, CallUnreadable) else None
    return {
        "step": step.index,
        "call_id": event.call_id if isinstance(event, ObservationReceived) else None,
        **asdict(step.observation),
        "text": unreadable and unreadable.text,
        "usage": unreadable and asdict(unreadable.usage),
        "attempts": unreadable and unreadable.attempts,
        "latency_ms": event.latency_ms,
    }
