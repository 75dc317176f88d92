"""A case: one step of a recorded trajectory, with its history and the reference output."""

from __future__ import annotations

from dataclasses import dataclass

from alpha_umi.roles.caller import Call
from alpha_umi.roles.planner import Decision
from alpha_umi.roles.turns import Tool, Turn


@dataclass(frozen=True)
class Reference:
    """The reference output of a step. The decision `caller` has a `call`, `conclusion` an `answer`."""

    decision: Decision
    rationale: str
    call: Call | None = None
    answer: str | None = None


@dataclass(frozen=True)
class StepCase:
    """A step with its history as the reference has it.

    `id` is unique within a suite; `trajectory` names the trajectory that the step is taken from, and `step` counts its
    steps from 1. The first turn of `history` is the instruction.
    """

    id: str
    trajectory: str
    step: int
    tools: tuple[Tool, ...]
    history: tuple[Turn, ...]
    reference: Reference

    @property
    def instruction(self) -> str:
        """The first user turn; empty if the history has none."""
        return next((turn.content for turn in self.history if turn.role == "user"), "")
