"""Which examples a step is made of, and how a step is divided among processes and rounds.

All of it follows from the seed, so that a run that goes on needs no state of a sampler, and one process and many see
the same steps. Examples of like length lie in one batch, so that little of it is padding.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from training.recipes.model import StageSettings

Batch = tuple[int, ...]
# Among how many batches lengths are sorted: more pads less, and mixes less.
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
        """How many steps there are: whole epochs, or as many as `max_tokens` has room for, at least one."""
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
    # Shuffling decides nothing that anybody could gain by guessing.
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
    """The rounds of a step, in each of them what every process computes: at most `micro_tokens`, padding included.

    A process whose share is used up gets nothing in the last rounds, as all take part in each of them. A single
    example may be longer than `micro_tokens`.
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
