"""What the machine wants done next: exactly one effect at a time, or none when the trajectory is over.

`key` names an effect within its trajectory. It stands in the log before the effect is performed and makes the
idempotency key of a tool call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from alpha_umi.trajectory.limits import DeadEndReason

Status = Literal["running", "requires_action", "completed", "gave_up", "failed", "cancelled", "exhausted"]
FINAL: frozenset[Status] = frozenset({"completed", "gave_up", "failed", "cancelled", "exhausted"})


@dataclass(frozen=True)
class AskPlanner:
    """Ask the planner what to do next."""

    step: int

    @property
    def key(self) -> str:
        """Unique within the trajectory."""
        return f"planner:{self.step}"


@dataclass(frozen=True)
class AskCaller:
    """Ask the caller to turn the current rationale into one call."""

    step: int

    @property
    def key(self) -> str:
        """Unique within the trajectory."""
        return f"caller:{self.step}"


@dataclass(frozen=True)
class RunTool:
    """Send one call to its tool."""

    step: int
    call_id: str
    name: str
    arguments: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Unique within the trajectory."""
        return f"tool:{self.step}"


@dataclass(frozen=True)
class RequireAction:
    """Record that the client has to execute a call, and until when."""

    step: int
    call_id: str
    name: str
    arguments: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Unique within the trajectory."""
        return f"require:{self.step}"


@dataclass(frozen=True)
class AwaitOutput:
    """Wait for the client's output of a call, until `expires_at` (ISO 8601, UTC)."""

    step: int
    call_id: str
    expires_at: str

    @property
    def key(self) -> str:
        """Unique within the trajectory."""
        return f"await:{self.step}"


@dataclass(frozen=True)
class Backtrack:
    """Record that a search leaves its branch after `step`, and goes on behind step `to` (None: at the question)."""

    step: int
    to: int | None
    reason: DeadEndReason

    @property
    def key(self) -> str:
        """Unique within the trajectory."""
        return f"backtrack:{self.step}"


@dataclass(frozen=True)
class AskBackbone:
    """Ask the single model for its next step. `conclude`: a limit ended the run, only an answer is wanted."""

    step: int
    conclude: bool = False

    @property
    def key(self) -> str:
        """Unique within the trajectory."""
        return f"backbone:{self.step}:conclude" if self.conclude else f"backbone:{self.step}"


@dataclass(frozen=True)
class AskSummarizer:
    """Ask the summarizer for the answer, or for what is known when a limit ended the run."""

    step: int

    @property
    def key(self) -> str:
        """Unique within the trajectory."""
        return f"summarizer:{self.step}"


@dataclass(frozen=True)
class Finish:
    """Record the end."""

    status: Status

    @property
    def key(self) -> str:
        """Unique within the trajectory."""
        return "finish"


Effect = (
    AskPlanner | AskCaller | RunTool | RequireAction | AwaitOutput | Backtrack | AskSummarizer | AskBackbone | Finish
)
