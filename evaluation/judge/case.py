"""The input of a judge's procedure, and its result."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from alpha_umi.contract.trajectories import Trajectory
from evaluation.judge.questions import JudgeSession


@dataclass(frozen=True)
class GoldenSolution:
    """ToolAlpaca's data on an instruction: the description of its API, and the golden calls (name, arguments)."""

    documentation: str
    calls: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Case:
    """A trajectory to judge, and the data of its procedure: the offered `tools`, another trajectory as `reference`,
    `golden` calls.

    In a comparison of two runs either trajectory may be missing.
    """

    recorded: str
    candidate: Trajectory | None
    reference: Trajectory | None = None
    tools: Sequence[Mapping[str, Any]] = ()
    golden: GoldenSolution | None = None

    @property
    def instruction(self) -> str:
        """The instruction."""
        trajectory = self.candidate or self.reference
        return "" if trajectory is None else trajectory.instruction

    def rng(self, repeat: int) -> random.Random:
        """A random generator seeded by the verdict, so that repeated runs agree."""
        return random.Random(f"{self.recorded} {repeat}")  # noqa: S311


# The labels of a verdict. A verdict without questions follows from a rule.
Labels = dict[str, str]


class Procedure(Protocol):
    """A judging procedure. It fills `labels` step by step, so that results before an error remain."""

    async def __call__(self, session: JudgeSession, case: Case, repeat: int, labels: Labels) -> None:
        """Judge. Raises what `JudgeSession.ask` raises."""
