"""The events of a trajectory. The machine consumes them, the log stores them, the stream sends them.

One frozen dataclass per kind; `type` is its name in the log, in the stream and in files. Events contain all
input of the machine (ids and durations included), so that it needs no clock and no randomness. `dump_event` and
`parse_event` define the JSON format.

Fields that a later version added have defaults, so that earlier rows can be read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, is_dataclass
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import Field, TypeAdapter, ValidationError

from alpha_umi.roles.planner import Decision
from alpha_umi.roles.turns import Role, Tool, Turn
from alpha_umi.trajectory.limits import DeadEndReason, LimitKind, Limits


@dataclass(frozen=True)
class Usage:
    """Tokens of one role call."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.prompt_tokens + other.prompt_tokens, self.completion_tokens + other.completion_tokens)


@dataclass(frozen=True, kw_only=True)
class RoleOutput:
    """Cost of one role call: tokens, milliseconds, and generations (0 in logs of versions that did not record it).

    `truncated`: the role saw a shortened history.
    """

    usage: Usage = field(default_factory=Usage)
    latency_ms: int = 0
    truncated: bool = False
    attempts: int = 0


@dataclass(frozen=True, kw_only=True)
class CallOutput(RoleOutput):
    """The cost of a role call that can end in a call. `call_unfinished`: the token limit cut an attempt at one."""

    call_unfinished: bool = False


@dataclass(frozen=True, kw_only=True)
class TurnOptions:
    """What a request sets for its turn. Each default leaves the choice to the orchestrator and the role services.

    `instructions` stand before the user's message in the history, but not in `State.messages`. `temperature`, `top_p`
    and `seed` are those of every role, `stop` ends an answer. `max_output_tokens` bounds the completion tokens of all
    roles in the turn. `answer_schema` is a JSON Schema that the answer matches.

    `tools` are the names that the turn is offered; None: all of the trajectory's. `must_call`: the turn calls a tool
    before it can conclude, one of `first_tools` if they are given.
    """

    instructions: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    max_output_tokens: int | None = None
    answer_schema: Mapping[str, Any] | None = None
    tools: tuple[str, ...] | None = None
    must_call: bool = False
    first_tools: tuple[str, ...] | None = None


@dataclass(frozen=True)
class TrajectoryCreated:
    """The user's instruction starts the trajectory; its tools are fixed.

    `tools` are all names in order; `client_tool_definitions` are those of them that the client executes. `tool_set` is
    the digest of the others as they were then (None in logs of versions that did not record it). `retrieve` says
    whether each step is offered a part of them; None: if there are too many for a prompt.

    `history` is a conversation that the client continues. It ends with the user's message, which is then the
    `instruction`, or with the observation of a call. Empty: the instruction alone. `options` are those of the first
    turn.
    """

    type: Literal["trajectory.created"] = field(default="trajectory.created", kw_only=True)
    instruction: str
    tools: tuple[str, ...]
    limits: Limits = field(default_factory=Limits)
    strategy: str = "chain"
    client_tool_definitions: tuple[Tool, ...] = ()
    tool_set: str | None = None
    retrieve: bool | None = None
    history: tuple[Turn, ...] = ()
    options: TurnOptions | None = None


@dataclass(frozen=True)
class TurnResumed:
    """A turn that failed because a role was unavailable continues where it was."""

    type: Literal["trajectory.resumed"] = field(default="trajectory.resumed", kw_only=True)


@dataclass(frozen=True)
class MessageAdded:
    """A further user turn continues a finished trajectory. `limits` are its limits; None: those of the turn before."""

    type: Literal["trajectory.continued"] = field(default="trajectory.continued", kw_only=True)
    content: str
    limits: Limits | None = None
    options: TurnOptions | None = None


@dataclass(frozen=True)
class EffectIntended:
    """Intent: the current effect is about to be performed. It is committed before the request is sent.

    `effect_class` is that of a tool call when it was intended (None for roles, and in logs of versions that did not
    record it). The stream does not send this kind, because it changes only `State.in_flight`.
    """

    type: Literal["effect.intended"] = field(default="effect.intended", kw_only=True)
    effect: str
    effect_class: Literal["read", "keyed_write", "unkeyed_write"] | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class PlannerDecided(RoleOutput):
    """The planner wrote a rationale and a decision. `text` is its output.

    `unreadable`: the output holds no decision, retries included; `reason` says why, and `next` is `on_unreadable` of
    the trajectory's limits. `tools_offered` are the tools of the step, for the caller as well; None: all of them.
    """

    type: Literal["planner.decided"] = field(default="planner.decided", kw_only=True)
    thought: str
    next: Decision
    text: str
    unreadable: bool = field(default=False, kw_only=True)
    reason: str | None = field(default=None, kw_only=True)
    tools_offered: tuple[str, ...] | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class CallMade(CallOutput):
    """The caller wrote a call of an offered tool with arguments that its schema allows."""

    type: Literal["caller.called"] = field(default="caller.called", kw_only=True)
    call_id: str
    name: str
    arguments: Mapping[str, Any]
    text: str


@dataclass(frozen=True)
class ActionRequired:
    """The client must execute the newest call until `expires_at` (ISO 8601, UTC)."""

    type: Literal["trajectory.requires_action"] = field(default="trajectory.requires_action", kw_only=True)
    call_id: str
    expires_at: str


@dataclass(frozen=True)
class ToolObserved:
    """The result of a tool call. `is_error`: it failed.

    `truncated`: `content` is a shortened form of the result, and `body` the result itself, up to the orchestrator's
    cap. The log alone has `body`; it is None in streams and for a result that was not shortened.

    `limits` and `options` are those of the request that submits the output, for the rest of the turn; None: those that
    the turn has.

    `expired`: the client submitted no output before the deadline. Without a `call_id` no call was made, because the
    caller's output was not a valid call even after a repair: `content` is the reason for the planner, and `text`,
    `usage`, `attempts` and `call_unfinished` are those of the caller.
    """

    type: Literal["tool.observed"] = field(default="tool.observed", kw_only=True)
    call_id: str | None
    content: str
    is_error: bool = False
    truncated: bool = False
    latency_ms: int = 0
    expired: bool = False
    text: str | None = None
    usage: Usage | None = None
    attempts: int | None = None
    call_unfinished: bool | None = None
    body: str | None = field(default=None, repr=False)
    limits: Limits | None = field(default=None, kw_only=True)
    options: TurnOptions | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Backtracked:
    """A search has left the end of its branch, for `reason`, and continues after step `to` (None: the instruction)."""

    type: Literal["search.backtracked"] = field(default="search.backtracked", kw_only=True)
    to: int | None
    reason: DeadEndReason


@dataclass(frozen=True)
class AnswerWritten(RoleOutput):
    """The summarizer wrote the user's answer. `unfinished`: the token limit cut it."""

    type: Literal["summarizer.answered"] = field(default="summarizer.answered", kw_only=True)
    answer: str
    unfinished: bool = field(default=False, kw_only=True)


@dataclass(frozen=True)
class StepTaken(CallOutput):
    """The single model wrote a step: rationale and decision, with call or answer.

    With the decision `caller` there is a call (`call_id`, `name`, `arguments`), or the `reason` why it is invalid; with
    `conclusion` an `answer`. `text` is the output after the rationale. `unfinished`: the token limit cut the answer.

    `unreadable`: the output has neither a call nor a conclusion, retries included. `reason` says why; `next` is
    `on_unreadable` of the trajectory's limits; if that is `conclusion`, the output is the answer. `tools_offered` as in
    `PlannerDecided`.
    """

    type: Literal["backbone.stepped"] = field(default="backbone.stepped", kw_only=True)
    thought: str
    next: Decision
    text: str = ""
    call_id: str | None = None
    name: str | None = None
    arguments: Mapping[str, Any] | None = None
    reason: str | None = field(default=None, kw_only=True)
    answer: str | None = None
    unfinished: bool = field(default=False, kw_only=True)
    unreadable: bool = field(default=False, kw_only=True)
    tools_offered: tuple[str, ...] | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class LimitReached:
    """A limit that depends on the clock was reached."""

    type: Literal["limit.reached"] = field(default="limit.reached", kw_only=True)
    limit: LimitKind


@dataclass(frozen=True)
class RoleFailed:
    """A role call failed: the service refused it, or its response is invalid.

    `unavailable`: the role was away, and the time limit of the trajectory was reached while it waited.
    """

    type: Literal["role.failed"] = field(default="role.failed", kw_only=True)
    role: Role
    reason: str
    latency_ms: int = 0
    unavailable: bool = False


@dataclass(frozen=True)
class Cancelled:
    """The trajectory was cancelled."""

    type: Literal["trajectory.cancelled"] = field(default="trajectory.cancelled", kw_only=True)
    reason: str = "cancelled by the client"


@dataclass(frozen=True)
class TrajectoryFinished:
    """The end was recorded; only a further user turn can follow."""

    type: Literal["trajectory.finished"] = field(default="trajectory.finished", kw_only=True)


Event = (
    TrajectoryCreated
    | MessageAdded
    | TurnResumed
    | EffectIntended
    | PlannerDecided
    | CallMade
    | ActionRequired
    | ToolObserved
    | Backtracked
    | AnswerWritten
    | StepTaken
    | LimitReached
    | RoleFailed
    | Cancelled
    | TrajectoryFinished
)
EVENT_TYPES: Final = tuple(str(kind.__dataclass_fields__["type"].default) for kind in get_args(Event))
_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="type")])


class UnknownEvent(ValueError):
    """An event with an unknown kind or unknown fields: written by a newer version, or damaged."""


def dump_event(event: Event) -> dict[str, Any]:
    """The event as a JSON object, `type` included."""
    document: dict[str, Any] = _plain(event)
    return document


def _plain(value: Any) -> Any:
    # What `dataclasses.asdict` does, without copying texts and numbers.
    if isinstance(value, str | int | float | None):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if is_dataclass(value):
        # In the order of the class: that of the attributes depends on who made the event.
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    return {name: _plain(item) for name, item in value.items()} if isinstance(value, dict | Mapping) else value


def parse_event(value: Mapping[str, Any], *, ignore_unknown_fields: bool = False) -> Event:
    """The event of a JSON object. Raises `UnknownEvent`, which names the kind, and the field at fault.

    `ignore_unknown_fields` is for events of a stream, which have additional context.
    """
    kind = value.get("type")
    if kind not in EVENT_TYPES:
        raise UnknownEvent(f"unknown event kind {kind!r}: read it with the version that wrote it")
    try:
        # As JSON text, because only there a list is a tuple and an object a dataclass while everything else is strict.
        text = json.dumps(value, allow_nan=False)
        return _EVENT.validate_json(text, strict=True, extra="ignore" if ignore_unknown_fields else "forbid")
    except ValidationError as error:
        raise UnknownEvent(f"{kind!r} is incomplete or wrong: {_first(error)}") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise UnknownEvent(f"{kind!r} has no JSON form: {error}") from error


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        # `json.dumps` writes two things that the parser refuses.
        if "recursion" in first["msg"]:
            return "it is nested too deeply"
        return "a text has half of a surrogate pair, which is no Unicode"
    place = ".".join(str(part) for part in first["loc"][1:])
    return f"{place}: {first['msg']}" if place else first["msg"]
