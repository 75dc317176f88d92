"""The events of a trajectory as the orchestrator tells them, read and checked.

A kind of event that this version does not know is skipped, and so are fields: a newer orchestrator may tell more.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from alpha_umi.contract.trajectories import TokenUsage, Trajectory
from alpha_umi.roles.planner import Decision
from alpha_umi.trajectory.limits import DeadEndReason


class EventNotUnderstood(ValueError):
    """An event is not what it should be, or does not follow from those before it."""


class _Told(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Created(_Told):
    """`trajectory.created`. Limits without a value are those of an orchestrator that does not tell them."""

    trajectory_id: str
    instruction: str
    tools: list[str]
    strategy: str
    max_steps: int
    max_tokens: int | None = None
    max_repeats: int | None = None
    max_depth: int | None = None
    max_width: int | None = None
    client_tools: list[str] = []


class Continued(_Told):
    """`trajectory.continued`: a further user turn."""

    trajectory_id: str
    content: str


class Required(_Told):
    """`trajectory.requires_action`: the application has to execute the call that was just made."""

    trajectory_id: str
    call_id: str
    name: str
    expires_at: str


class Decided(_Told):
    """`planner.decided`. `unreadable`: there was no decision in the text, and `next` is what the policy made of it."""

    step: int
    thought: str
    next: Decision
    text: str
    unreadable: bool = False
    reason: str | None = None
    usage: TokenUsage
    latency_ms: int
    truncated: bool = False
    attempts: int = 0


class Called(_Told):
    """`caller.called`"""

    step: int
    call_id: str
    name: str
    arguments: dict[str, Any]
    text: str
    usage: TokenUsage
    latency_ms: int
    truncated: bool = False
    attempts: int = 0


class Observed(_Told):
    """`tool.observed`. Without a `call_id` no call was made, and the content says why."""

    step: int
    call_id: str | None
    content: str
    is_error: bool
    truncated: bool
    latency_ms: int
    text: str | None = None
    usage: TokenUsage | None = None
    attempts: int | None = None


class WentBack(_Told):
    """`search.backtracked`: a search has left steps of its branch, and goes on behind `to` (None: the question)."""

    to: int | None
    reason: DeadEndReason
    abandoned: list[int]


class Answered(_Told):
    """`summarizer.answered`"""

    answer: str
    usage: TokenUsage
    latency_ms: int
    truncated: bool = False
    attempts: int = 0


class Stepped(_Told):
    """`backbone.stepped`: a whole step of the single model; what it did not do is null.

    `concludes`: a limit ended the turn. `reason` says why there is no call, or why nothing could be read.
    """

    step: int
    concludes: bool
    thought: str
    next: Decision
    text: str
    call_id: str | None
    name: str | None
    arguments: dict[str, Any] | None
    reason: str | None
    answer: str | None
    unreadable: bool = False
    usage: TokenUsage
    latency_ms: int
    truncated: bool = False
    attempts: int = 0


class Ended(_Told):
    """`trajectory.finished`, with the whole trajectory."""

    trajectory: Trajectory


class Written(_Told):
    """`planner.delta`, `summarizer.delta`, `backbone.delta`: text as it is being written."""

    role: str
    step: int
    text: str


class Interrupted(_Told):
    """`reconnect`: the stream ends before the trajectory does."""

    reason: str = ""


Told = (
    Created
    | Continued
    | Decided
    | Called
    | Required
    | Observed
    | WentBack
    | Answered
    | Stepped
    | Ended
    | Written
    | Interrupted
)

_MODELS: dict[str, type[Told]] = {
    "trajectory.created": Created,
    "trajectory.continued": Continued,
    "trajectory.requires_action": Required,
    "planner.decided": Decided,
    "caller.called": Called,
    "tool.observed": Observed,
    "search.backtracked": WentBack,
    "summarizer.answered": Answered,
    "backbone.stepped": Stepped,
    "reconnect": Interrupted,
}


class _Delta(_Told):
    step: int = 0
    text: str = Field(default="")


def read_event(name: str, data: str) -> Told | None:
    """The event of a name and its data; None for a kind that is not known. Raises `EventNotUnderstood`."""
    try:
        if name == "trajectory.finished":
            return Ended(trajectory=Trajectory.model_validate_json(data))
        if name.endswith(".delta"):
            delta = _Delta.model_validate_json(data)
            return Written(role=name.removesuffix(".delta"), step=delta.step, text=delta.text)
        model = _MODELS.get(name)
        return None if model is None else model.model_validate_json(data)
    except ValidationError as error:
        raise EventNotUnderstood(f"the event {name!r} cannot be read: {explain(error)}") from error


def explain(error: ValidationError) -> str:
    """The first thing that is wrong, and where."""
    first = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'document'}: {first['msg']}"
