"""What a verdict is about, and what it comes to."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from alpha_umi.contract.trajectories import Trajectory
from evaluation.judge.questions import JudgeSession


@dataclass(frozen=True)
class GoldenSolution:
    """What ToolAlpaca knows of an instruction: its API in words, and the calls that meet it (name, arguments)."""

    documentation: str
    calls: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Case:
    """A trajectory to judge, and whatever its procedure needs: `tools` on offer, another `reference`, `golden` calls.

    Where two runs are compared, either may lack it.
    """

    recorded: str
    candidate: Trajectory | None
    reference: Trajectory | None = None
    tools: Sequence[Mapping[str, Any]] = ()
    golden: GoldenSolution | None = None

    @property
    def instruction(self) -> str:
        """What the user wants."""
        trajectory = self.candidate or self.reference
        return "" if trajectory is None else trajectory.instruction

    def rng(self, repeat: int) -> random.Random:
        """What is left to chance in a verdict; the same each time."""
        return random.Random(f"{self.recorded} {repeat}")  # noqa: S311


# What a verdict comes to; without a question it followed from a rule.
Labels = dict[str, str]


class Procedure(Protocol):
    """A way to judge. It writes into `labels` as it goes, so that what it found stays where it cannot go on."""

    async def __call__(self, session: JudgeSession, case: Case, repeat: int, labels: Labels) -> None:
        """Judge. Raises what `JudgeSession.put` raises."""
