"""One question to a role, as every attempt at an answer sends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel

from alpha_umi.contract.roles import RoleAnswer
from alpha_umi.trajectory.events import RoleKind

Answer = TypeVar("Answer", bound=RoleAnswer)


@dataclass(frozen=True)
class Question(Generic[Answer]):
    """Who is asked what, the shape of the answer, and the step of the trajectory that it is for."""

    role: RoleKind
    path: str
    body: BaseModel
    answer: type[Answer]
    trajectory_id: str
    step: int

    @property
    def headers(self) -> dict[str, str]:
        """What tells the service where the request belongs."""
        return {
            "X-Request-Id": f"{self.trajectory_id}-{self.step}",
            "X-Trajectory-Id": self.trajectory_id,
            "X-Step": str(self.step),
        }
