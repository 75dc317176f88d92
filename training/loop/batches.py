"""The examples and the learning rate of a step, and the division of a step among processes and rounds.

All follow from the seed and the step, so that a resumed run needs no sampler state, and the steps do not depend on the
number of processes. Examples of similar length are batched together, to reduce padding.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from training.recipes.model import StageSettings

Batch = tuple[int, ...]
# Batches within which lengths are sorted: a larger group has less padding, and less mixing.
GROUP = 32


@dataclass(frozen=True)
class StepPlan:
    """The steps of a stage. `lengths` are the examples' tokens; steps count from 1."""

    lengths: tuple[int, ...]
    batch: int
    epochs: int
    seed: int
    max_tokens: int | None = None

    def steps(self) -> int:
        """The number of steps: complete epochs, or as many as fit `max_tokens`, at least one."""
        most = self.epochs * self._per_epoch()
        if self.max_tokens is None:
            return most
        spent = 0
        for step in range(1, most + 1):
            spent += self.tokens(step)
            if spent > self.max_tokens:
                return max(step - 1, 1)
        return most

    def examples(self, step: int) -> Batch:
        """The examples of a step."""
        epoch, place = divmod(step - 1, self._per_epoch())
        return _epoch(self.lengths, self.batch, self.seed, epoch)[place]

    def tokens(self, step: int) -> int:
        """The tokens of a step, without padding."""
        return sum(self.lengths[example] for example in self.examples(step))

    def _per_epoch(self) -> int:
        return math.ceil(len(self.lengths) / self.batch)


@lru_cache(maxsize=4)
def _epoch(lengths: tuple[int, ...], batch: int, seed: int, epoch: int) -> tuple[Batch, ...]:
    # Shuffling needs no secure random numbers.
    rng = random.Random(f"{seed} {epoch}")  # noqa: S311
    order = list(range(len(lengths)))
    rng.shuffle(order)
    batches: list[Batch] = []
    for start in range(0, len(order), batch * GROUP):
        group = sorted(order[start : start + batch * GROUP], key=lambda example: (lengths[example], example))
        batches += (tuple(group[place : place + batch]) for place in range(0, len(group), batch))
    rng.shuffle(batches)
    return tuple(batches)


def rounds(examples: Sequence[int], lengths: Sequence[int], *, processes: int, micro_tokens: int) -> list[list[Batch]]:
    """The rounds of a step: in each, one micro-batch for every process, of at most `micro_tokens` with padding.

    Every process takes part in every round, so that its micro-batch may be empty in the last ones. A single example may
    be longer than `micro_tokens`.
    """
    ordered = sorted(examples, key=lambda example: (-lengths[example], example))
    shares = [_cut(ordered[process::processes], lengths, micro_tokens) for process in range(processes)]
    most = max(map(len, shares))
    return [[share[number] if number < len(share) else () for share in shares] for number in range(most)]


def _cut(examples: Sequence[int], lengths: Sequence[int], micro_tokens: int) -> list[Batch]:
    micros: list[list[int]] = []
    for example in examples:
        # The first one is the longest.
        if micros and lengths[micros[-1][0]] * (len(micros[-1]) + 1) <= micro_tokens:
            micros[-1].append(example)
        else:
            micros.append([example])
    return [tuple(micro) for micro in micros]


def learning_rate(step: int, steps: int, settings: StageSettings) -> float:
    """Linear warm-up over the share `warmup` of the steps, then decay by the schedule. `step` counts from 1."""
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
