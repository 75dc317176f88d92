"""What can happen to a trajectory: frozen events, and their form in the log.

Events carry everything the machine needs (ids and durations included), so that it has no clock and no randomness of
its own. `pack` and `unpack` turn an event into the (type, payload) of a log row and back. `attempts` is how often a
role wrote until something came of it, 0 in logs of versions that did not record it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from alpha_umi.roles.planner import Decision
from alpha_umi.roles.turns import Role, Tool
from alpha_umi.trajectory.limits import DeadEndReason, LimitKind, Limits
from alpha_umi.trajectory.reading import made_of


@dataclass(frozen=True)
class Usage:
    """Tokens of one role call."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.prompt_tokens + other.prompt_tokens, self.completion_tokens + other.completion_tokens)


@dataclass(frozen=True)
class QuestionAsked:
    """The user's instruction opens the trajectory; the tools on offer are fixed from here on.

    `tools` are all names in order; `client_tools` defines those of them that the client executes.
    """

    instruction: str
    tools: tuple[str, ...]
    limits: Limits = field(default_factory=Limits)
    strategy: str = "chain"
    client_tools: tuple[Tool, ...] = ()


@dataclass(frozen=True)
class MessageAdded:
    """A further user turn goes on with a trajectory that had ended."""

    content: str


@dataclass(frozen=True)
class Intended:
    """The current effect is about to be performed. Written before the send, so that a crash leaves a trace."""

    effect: str


@dataclass(frozen=True)
class PlannerDecided:
    """The planner wrote a rationale and a decision. `text` is its turn as the history keeps it."""

    thought: str
    next: Decision
    text: str
    usage: Usage = field(default_factory=Usage)
    latency_ms: int = 0
    truncated: bool = False
    attempts: int = 0


@dataclass(frozen=True)
class PlannerUnreadable:
    """The planner's text holds no decision, retries included; the policy in `Limits` decides."""

    text: str
    reason: str
    usage: Usage = field(default_factory=Usage)
    latency_ms: int = 0
    attempts: int = 0


@dataclass(frozen=True)
class CallMade:
    """The caller wrote a call of an offered tool with arguments that its schema allows."""

    call_id: str
    name: str
    arguments: Mapping[str, Any]
    text: str
    usage: Usage = field(default_factory=Usage)
    latency_ms: int = 0
    truncated: bool = False
    attempts: int = 0


@dataclass(frozen=True)
class CallUnreadable:
    """The caller wrote no usable call, repair included. The planner sees the reason as an observation."""

    text: str
    reason: str
    usage: Usage = field(default_factory=Usage)
    latency_ms: int = 0
    attempts: int = 0


@dataclass(frozen=True)
class ActionRequired:
    """The client has to execute the newest call. `expires_at` (ISO 8601, UTC) is when waiting for it ends."""

    call_id: str
    expires_at: str


@dataclass(frozen=True)
class ObservationReceived:
    """The tool answered, or failed: then `is_error`. `truncated` says that the answer was longer.

    `expired`: the client gave no output in time.
    """

    call_id: str
    content: str
    is_error: bool = False
    truncated: bool = False
    latency_ms: int = 0
    expired: bool = False


@dataclass(frozen=True)
class Backtracked:
    """A search has left the end of its branch, for `reason`, and goes on behind step `to` (None: at the question)."""

    to: int | None
    reason: DeadEndReason


@dataclass(frozen=True)
class AnswerWritten:
    """The summarizer wrote the user's answer."""

    answer: str
    usage: Usage = field(default_factory=Usage)
    latency_ms: int = 0
    truncated: bool = False
    attempts: int = 0


@dataclass(frozen=True)
class StepTaken:
    """The single model took a step: rationale and decision, with what the decision needs in the same text.

    For the decision `caller` there is a call (`call_id`, `name`, `arguments`), or a `reason` why there is none that can
    be made; for `conclusion` an `answer`. `text` is what was written for it: the call, or the answer.
    """

    thought: str
    next: Decision
    text: str = ""
    call_id: str | None = None
    name: str | None = None
    arguments: Mapping[str, Any] | None = None
    reason: str | None = None
    answer: str | None = None
    usage: Usage = field(default_factory=Usage)
    latency_ms: int = 0
    truncated: bool = False
    attempts: int = 0


@dataclass(frozen=True)
class BackboneUnreadable:
    """The single model's text holds neither a call nor a conclusion, retries included; the policy decides."""

    text: str
    reason: str
    usage: Usage = field(default_factory=Usage)
    latency_ms: int = 0
    attempts: int = 0


@dataclass(frozen=True)
class LimitReached:
    """A limit that the machine cannot see itself, such as the wall clock, was reached."""

    limit: LimitKind


@dataclass(frozen=True)
class RoleFailed:
    """A role service gave no answer at all: it is down, too slow, or spoke nonsense."""

    role: Role
    reason: str
    latency_ms: int = 0


@dataclass(frozen=True)
class Cancelled:
    """Somebody stopped the trajectory."""

    reason: str = "cancelled by the client"


@dataclass(frozen=True)
class Finished:
    """The end was recorded; only a further user turn can follow."""


Event = (
    QuestionAsked
    | MessageAdded
    | Intended
    | PlannerDecided
    | PlannerUnreadable
    | CallMade
    | CallUnreadable
    | ActionRequired
    | ObservationReceived
    | Backtracked
    | AnswerWritten
    | StepTaken
    | BackboneUnreadable
    | LimitReached
    | RoleFailed
    | Cancelled
    | Finished
)

# Names of the log. Those of the design's event stream are contracts; the others stay inside the log.
LOG_NAMES: dict[type[Any], str] = {
    QuestionAsked: "trajectory.created",
    MessageAdded: "trajectory.continued",
    Intended: "effect.intended",
    PlannerDecided: "planner.decided",
    PlannerUnreadable: "planner.unreadable",
    CallMade: "caller.called",
    CallUnreadable: "caller.unreadable",
    ActionRequired: "trajectory.requires_action",
    ObservationReceived: "tool.observed",
    Backtracked: "search.backtracked",
    AnswerWritten: "summarizer.answered",
    StepTaken: "backbone.stepped",
    BackboneUnreadable: "backbone.unreadable",
    LimitReached: "limit.reached",
    RoleFailed: "role.failed",
    Cancelled: "trajectory.cancelled",
    Finished: "trajectory.finished",
}
_CLASSES = {name: kind for kind, name in LOG_NAMES.items()}


class UnknownEvent(ValueError):
    """A log row whose type or fields no event has: written by a newer version, or damaged."""


def pack(event: Event) -> tuple[str, dict[str, Any]]:
    """Type and JSON payload of the log row that keeps an event."""
    return LOG_NAMES[type(event)], asdict(event)


def unpack(kind: str, payload: Mapping[str, Any]) -> Event:
    """The event of a log row. Raises `UnknownEvent`."""
    event_class = _CLASSES.get(kind)
    if event_class is None:
        raise UnknownEvent(f"no event is called {kind!r}")
    try:
        event: Event = made_of(event_class, payload)
    except (TypeError, ValueError) as error:
        raise UnknownEvent(f"{kind!r} is incomplete or wrong: {error}") from error
    return event
