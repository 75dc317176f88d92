"""Progress reports of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class StepRecord:
    """One step: the mean loss of its target tokens (nats), and the totals of the stage so far.

    `tokens` counts prompts and targets of the examples without padding, and `computed_tokens` what was computed for
    them: a common prefix once. `tokens_per_second` is that of the step's examples, over all processes.
    """

    step: int
    loss: float
    lr: float
    gradient_norm: float
    tokens: int
    computed_tokens: int
    tokens_per_second: float
    seconds: float
    dev_loss: float | None = None


class Observer(Protocol):
    """Receives the progress of a run, in the first process only."""

    def on_stage(self, name: str, *, first_step: int, steps: int) -> None:
        """A stage starts, or resumes with `first_step`."""

    def on_step(self, record: StepRecord) -> None:
        """A step is complete."""

    def on_done(self, name: str) -> None:
        """A stage is complete, possibly since an earlier run."""


class NullObserver:
    """Ignores all reports."""

    def on_stage(self, name: str, *, first_step: int, steps: int) -> None:
        """Ignore the report."""

    def on_step(self, record: StepRecord) -> None:
        """Ignore the report."""

    def on_done(self, name: str) -> None:
        """Ignore the report."""
