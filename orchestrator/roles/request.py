"""One request to a role service: what every attempt sends, and the deltas of its streamed text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic

from pydantic import BaseModel

from alpha_umi.contract.roles import Answer, RoleSpec
from alpha_umi.roles.turns import Role

OnDelta = Callable[[str], None]
# Receives the reason why a call begins to wait for its role, and None when it is sent again.
OnWait = Callable[[str | None], None]


@dataclass(frozen=True)
class RoleRequest(Generic[Answer]):
    """A request body for a role, and the step of the trajectory that it belongs to.

    `owner` and `background` decide its turn where the role has no capacity for all requests at once.
    """

    spec: RoleSpec[Any, Answer]
    body: BaseModel
    trajectory_id: str
    step: int
    owner: str = "default"
    background: bool = False

    @property
    def role(self) -> Role:
        """The role that is called."""
        return self.spec.role

    @property
    def headers(self) -> dict[str, str]:
        """The headers that put the ids of trajectory and step into the service's log."""
        return {
            "X-Request-Id": f"{self.trajectory_id}-{self.step}",
            "X-Trajectory-Id": self.trajectory_id,
            "X-Step": str(self.step),
        }


class DeltaDeduplicator:
    """Passes a streamed text on to `emit` without repeating its beginning when a request is retried.

    The emitted pieces, joined, are always a prefix of one attempt's text. Where a retry writes a different text,
    nothing more is emitted: the event in the log has the text that counts.
    """

    def __init__(self, emit: OnDelta) -> None:
        self._emit = emit
        self._emitted = ""
        self._text = ""

    def begin(self) -> None:
        """Start a new attempt with empty text."""
        self._text = ""

    def add(self, delta: str) -> None:
        """Add a piece of the current attempt's text."""
        self._text += delta
        if len(self._text) > len(self._emitted) and self._text.startswith(self._emitted):
            self._emit(self._text[len(self._emitted) :])
            self._emitted = self._text
