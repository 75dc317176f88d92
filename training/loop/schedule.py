"""The learning rate of a step: a function of the step alone, so that a checkpoint has nothing to remember of it."""

from __future__ import annotations

import math

from training.recipes.model import StageSettings


def learning_rate(step: int, steps: int, settings: StageSettings) -> float:
    """Rises in a line over the share `warmup` of the steps, then falls as the schedule says. `step` counts from 1."""
    warm = round(settings.warmup * steps)
    if step <= warm:
        return settings.learning_rate * step / warm
    done = (step - warm - 1) / max(steps - warm, 1)
    match settings.schedule:
        case "cosine":
            return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
        case "linear":
            return settings.learning_rate * (1 - done)
        case "constant":
            return settings.learning_rate
