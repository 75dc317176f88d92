"""What the machine wants done next: exactly one effect at a time, or none when the trajectory is over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from alpha_umi.roles.turns import Role
from alpha_umi.trajectory.limits import DeadEndReason

Status = Literal["running", "requires_action", "completed", "gave_up", "failed", "cancelled", "exhausted"]
FINAL: frozenset[Status] = frozenset({"completed", "gave_up", "failed", "cancelled", "exhausted"})


@dataclass(frozen=True)
class AskPlanner:
    """Ask the planner what to do next."""

    step: int


@dataclass(frozen=True)
class AskCaller:
    """Ask the caller to turn the current rationale into one call."""

    step: int


@dataclass(frozen=True)
class RunTool:
    """Send one call to its tool."""

    step: int
    call_id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class RequireAction:
    """Record that the client has to execute a call, and until when."""

    step: int
    call_id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class AwaitOutput:
    """Wait for the client's output of a call, until `expires_at` (ISO 8601, UTC)."""

    step: int
    call_id: str
    expires_at: str


@dataclass(frozen=True)
class Backtrack:
    """Record that a search leaves its branch after `step`, and continues after step `to` (None: at the question)."""

    step: int
    to: int | None
    reason: DeadEndReason


@dataclass(frozen=True)
class AskBackbone:
    """Ask the single model for its next step. `conclude`: a limit ended the run, only an answer is expected."""

    step: int
    conclude: bool = False


@dataclass(frozen=True)
class AskSummarizer:
    """Ask the summarizer for the answer, or for what is known when a limit ended the run."""

    step: int


@dataclass(frozen=True)
class Finish:
    """Record the end."""

    status: Status


RoleEffect = AskPlanner | AskCaller | AskSummarizer | AskBackbone
SendEffect = RoleEffect | RunTool
Effect = SendEffect | RequireAction | AwaitOutput | Backtrack | Finish

_ROLES: Final[dict[type[Any], Role]] = {
    AskPlanner: "planner",
    AskCaller: "caller",
    AskSummarizer: "summarizer",
    AskBackbone: "backbone",
}
_KEYS: Final[dict[type[Any], str]] = {
    **_ROLES,
    RunTool: "tool",
    RequireAction: "require",
    AwaitOutput: "await",
    Backtrack: "backtrack",
}


def role_of(effect: RoleEffect) -> Role:
    """The role that the effect calls."""
    return _ROLES[type(effect)]


def effect_key(effect: Effect) -> str:
    """The effect's name, unique within its trajectory.

    It is in the log before the effect is performed, and part of the idempotency key of a tool call.
    """
    if isinstance(effect, Finish):
        return "finish"
    key = f"{_KEYS[type(effect)]}:{effect.step}"
    return f"{key}:conclude" if isinstance(effect, AskBackbone) and effect.conclude else key
