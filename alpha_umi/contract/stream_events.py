"""The wire form of a trajectory's stream: server-sent events, written by the orchestrator and read by its clients.

The data of an event has the fields of the event (`alpha_umi.trajectory.events`) and context from the state, for clients
that have no state. `event_data` writes both; `read_stream_event` separates them without loss:
`replay(machine_events(stream))` is the orchestrator's state.

The stream sends every event of the log but `effect.intended`, and `trajectory.finished` of the newest turn only.
Between them it sends text while a role writes it, `role.unavailable` and `role.available` around a wait for a role, and
`reconnect` where it has to stop early; those have no id.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from alpha_umi.contract.trajectories import Trajectory
from alpha_umi.contract.validation import explain
from alpha_umi.roles.turns import Role
from alpha_umi.trajectory import (
    EVENT_TYPES,
    ActionRequired,
    Backtracked,
    CallMade,
    EffectIntended,
    Event,
    MessageAdded,
    Phase,
    PlannerDecided,
    State,
    StepTaken,
    ToolObserved,
    TrajectoryCreated,
    TrajectoryFinished,
    Transition,
    TurnResumed,
    UnknownEvent,
    dump_event,
    parse_event,
    steps_after,
)

# Roles whose text is streamed. An incomplete call is useless, so the caller's is not.
WritingRole = Literal["planner", "summarizer", "backbone"]
_DELTA = ".delta"
_RECONNECT = "reconnect"
_UNAVAILABLE: Final = "role.unavailable"
_AVAILABLE: Final = "role.available"
_LOG_ONLY = EffectIntended("").type
EVENT_NAMES: tuple[str, ...] = (
    *(name for name in EVENT_TYPES if name != _LOG_ONLY),
    *(f"{role}{_DELTA}" for role in get_args(WritingRole)),
    _UNAVAILABLE,
    _AVAILABLE,
    _RECONNECT,
)


_ROLE: TypeAdapter[Role] = TypeAdapter(Role)


class EventNotUnderstood(ValueError):
    """An event is of no known kind, has wrong fields, or does not follow from those before it."""


@dataclass(frozen=True)
class TextDelta:
    """A piece of text that a role just wrote. A preview: the event that follows has the text that counts."""

    role: WritingRole
    step: int
    text: str

    @property
    def name(self) -> str:
        """Its name in the stream."""
        return f"{self.role}{_DELTA}"


@dataclass(frozen=True)
class RoleOutage:
    """The trajectory begins to wait for a role whose service is unavailable."""

    role: Role
    reason: str = ""
    name: Literal["role.unavailable"] = _UNAVAILABLE


@dataclass(frozen=True)
class RoleRecovered:
    """The trajectory waits no longer: it calls the role again."""

    role: Role
    name: Literal["role.available"] = _AVAILABLE


# What is sent between the events of the log.
LiveEvent = TextDelta | RoleOutage | RoleRecovered


@dataclass(frozen=True)
class Reconnect:
    """The stream ends before the trajectory does; a new one resumes after the last id."""

    reason: str = ""
    name: Literal["reconnect"] = "reconnect"


@dataclass(frozen=True)
class UnknownKind:
    """An event of a kind that this version does not know. A viewer may skip it, a replay cannot."""

    name: str


class EventContext(BaseModel):
    """What the stream adds to an event. `step` is the index of its step; `abandoned` are the steps that a search left.

    `concludes`: a limit ended the turn, and only an answer was requested. `trajectory` comes with the end.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    trajectory_id: str = ""
    step: int = 0
    concludes: bool = False
    abandoned: tuple[int, ...] = ()
    trajectory: Trajectory | None = None


@dataclass(frozen=True)
class StreamEvent:
    """An event as a client receives it. `id` is its row in the log, empty for what is not in the log."""

    event: Event | LiveEvent | Reconnect | UnknownKind
    context: EventContext = field(default_factory=EventContext)
    id: str = ""


def event_data(transition: Transition, trajectory_id: str) -> dict[str, Any] | None:
    """The data of an event; None for one that stays in the log. The end has the trajectory instead."""
    if isinstance(transition.event, EffectIntended | TrajectoryFinished):
        return None
    fields = dump_event(transition.event)
    # The result before it was shortened stays in the log.
    fields.pop("body", None)
    return {"trajectory_id": trajectory_id, **fields, **_context(transition)}


def live_data(event: LiveEvent) -> dict[str, Any]:
    """The data of live text, or of a role's availability."""
    match event:
        case TextDelta():
            return {"step": event.step, "text": event.text}
        case RoleOutage():
            return {"role": event.role, "reason": event.reason}
        case RoleRecovered():
            return {"role": event.role}


def read_stream_event(name: str, data: str, event_id: str = "") -> StreamEvent:
    """The event of a name and its data. Raises `EventNotUnderstood`, which names the event and the field at fault."""
    try:
        if name == TrajectoryFinished().type:
            trajectory = Trajectory.model_validate_json(data)
            context = EventContext(trajectory_id=trajectory.id, trajectory=trajectory)
            return StreamEvent(TrajectoryFinished(), context, event_id)
        if name not in EVENT_NAMES:
            return StreamEvent(UnknownKind(name), id=event_id)
        values = _object(data)
        if name == _RECONNECT:
            return StreamEvent(Reconnect(str(values.get("reason", ""))))
        if name in (_UNAVAILABLE, _AVAILABLE):
            role = _ROLE.validate_python(values.get("role"))
            return StreamEvent(
                RoleOutage(role, str(values.get("reason", ""))) if name == _UNAVAILABLE else RoleRecovered(role)
            )
        context = EventContext.model_validate(values)
        if name.endswith(_DELTA):
            writer: Any = name.removesuffix(_DELTA)
            return StreamEvent(TextDelta(writer, context.step, str(values.get("text", ""))))
        return StreamEvent(parse_event({**values, "type": name}, ignore_unknown_fields=True), context, event_id)
    except ValidationError as error:
        raise EventNotUnderstood(f"the event {name!r} cannot be read: {explain(error)}") from error
    except (UnknownEvent, ValueError, RecursionError) as error:
        raise EventNotUnderstood(f"the event {name!r} cannot be read: {error}") from error


def machine_events(stream: Iterable[StreamEvent]) -> Iterator[Event]:
    """The events of a stream that begins with the trajectory's creation, without the intents.

    Raises `EventNotUnderstood` for an unknown kind, which may have changed the state.
    """
    ended = True
    for item in stream:
        match item.event:
            case TextDelta() | RoleOutage() | RoleRecovered() | Reconnect():
                continue
            case UnknownKind(name=name):
                where = f" (id {item.id})" if item.id else ""
                raise EventNotUnderstood(
                    f"the event {name!r}{where} has an unknown kind: use the version of the orchestrator that sent it"
                )
            case MessageAdded() | TurnResumed() if not ended:
                # A turn begins, or is resumed, only after the end of the one before, which the stream does not repeat.
                yield TrajectoryFinished()
                yield item.event
            case event:
                yield event
        ended = isinstance(item.event, TrajectoryFinished)


def _context(transition: Transition) -> dict[str, Any]:
    event, before, after = transition.event, transition.before, transition.after
    match event:
        case TrajectoryCreated():
            return {**_flat_limits(event), "client_tools": [tool.name for tool in event.client_tool_definitions]}
        case PlannerDecided():
            return {"step": after.steps[-1].index, "parent": after.steps[-1].parent}
        case CallMade() | ToolObserved():
            return {"step": after.steps[-1].index}
        case ActionRequired():
            return _required_call(after)
        case Backtracked():
            left = [step.index for step in steps_after(before, event.to)]
            return {"step": left[-1], "abandoned": left}
        case StepTaken():
            return {"step": len(before.steps), "concludes": before.phase is Phase.CONCLUDING}
        case _:
            return {}


def _flat_limits(event: TrajectoryCreated) -> dict[str, Any]:
    limits = event.limits
    always = {"max_steps": limits.max_steps, "max_tokens": limits.max_tokens, "max_repeats": limits.max_repeats}
    search = {"max_depth": limits.max_depth, "max_width": limits.max_width}
    return always | (search if event.strategy == "dfsdt" else {})


def _required_call(state: State) -> dict[str, Any]:
    step = state.steps[-1]
    if step.action is None:
        raise AssertionError("an action is required only after a call was made")
    return {"step": step.index, "name": step.action.name, "arguments": dict(step.action.arguments)}


def _object(data: str) -> Mapping[str, Any]:
    value = json.loads(data)
    if not isinstance(value, dict):
        raise ValueError("its data is no JSON object")
    return value
