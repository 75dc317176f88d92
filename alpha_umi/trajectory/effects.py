"""Effects: what the state machine wants next. There is one effect at a time, and none after the end."""

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
    """Request the next decision from the planner."""

    step: int


@dataclass(frozen=True)
class AskCaller:
    """Request one call for the current rationale from the caller."""

    step: int


@dataclass(frozen=True)
class RunTool:
    """Call a tool."""

    step: int
    call_id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class RequireAction:
    """Record that the client must execute a call, with the deadline."""

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
    """Record that a search leaves its branch after `step` and continues after step `to` (None: at the instruction)."""

    step: int
    to: int | None
    reason: DeadEndReason


@dataclass(frozen=True)
class AskBackbone:
    """Request the next step from the single model. `conclude`: a limit was reached, only an answer is expected."""

    step: int
    conclude: bool = False


@dataclass(frozen=True)
class AskSummarizer:
    """Request the answer from the summarizer; after a limit, an answer from what is known."""

    step: int


@dataclass(frozen=True)
class Finish:
    """Record the end of the turn."""

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

    It is written to the log before the effect is performed, and is part of a tool call's idempotency key.
    """
    if isinstance(effect, Finish):
        return "finish"
    key = f"{_KEYS[type(effect)]}:{effect.step}"
    return f"{key}:conclude" if isinstance(effect, AskBackbone) and effect.conclude else key
