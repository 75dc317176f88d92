"""What a run tells whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class StepRecord:
    """One step: the mean loss of its target tokens (nats), and what the stage has spent so far.

    `tokens` counts prompts and targets without padding; `tokens_per_second` is that of the step, over all processes.
    """

    step: int
    loss: float
    lr: float
    gradient_norm: float
    tokens: int
    tokens_per_second: float
    seconds: float
    dev_loss: float | None = None


class Observer(Protocol):
    """Told about the course of a run, in the first process only."""

    def on_stage(self, name: str, *, first_step: int, steps: int) -> None:
        """A stage begins, or goes on with `first_step`."""

    def on_step(self, record: StepRecord) -> None:
        """A step is done."""

    def on_done(self, name: str) -> None:
        """A stage is complete, or was."""


class NullObserver:
    """An observer that looks away."""

    def on_stage(self, name: str, *, first_step: int, steps: int) -> None:
        """Looks away."""

    def on_step(self, record: StepRecord) -> None:
        """Looks away."""

    def on_done(self, name: str) -> None:
        """Looks away."""
