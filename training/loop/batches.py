"""The examples and the learning rate of a step, and the division of a step among processes and rounds.

All follow from the seed and the step, so that a resumed run needs no sampler state, and the steps do not depend on the
number of processes. Examples of similar length are batched together, to reduce padding; or those of some trajectories
of one tool set, which have common prefixes.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from training.recipes.model import StageSettings

Batch = tuple[int, ...]
# The tool set and the trajectory of an example, as numbers.
Origin = tuple[int, int]
# Batches within which lengths are sorted: a larger group has less padding, and less mixing.
GROUP = 32
# Incomplete steps to which a pack may be added.
OPEN = 32


@dataclass(frozen=True)
class StepPlan:
    """The steps of a stage. `lengths` are the examples' tokens; steps count from 1.

    With `pack`, a step consists of packs: the examples of at most `pack` trajectories of one tool set, and of at most
    half of a batch, so that a step mixes. It has `batch` examples or a few less.
    """

    lengths: tuple[int, ...]
    batch: int
    epochs: float
    seed: int
    max_tokens: int | None = None
    pack: int | None = None
    origins: tuple[Origin, ...] = ()

    def steps(self) -> int:
        """The number of steps: all of the epochs, or as many as fit `max_tokens`, at least one."""
        complete, part = divmod(self.epochs, 1)
        most = sum(len(self._epoch(epoch)) for epoch in range(int(complete)))
        most += round(part * len(self._epoch(int(complete)))) if part else 0
        most = max(most, 1)
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
        place = step - 1
        for epoch in range(math.ceil(self.epochs)):
            steps = self._epoch(epoch)
            if place < len(steps):
                return steps[place]
            place -= len(steps)
        raise IndexError(f"there is no step {step}")

    def tokens(self, step: int) -> int:
        """The tokens of a step, without padding."""
        return sum(self.lengths[example] for example in self.examples(step))

    def _epoch(self, epoch: int) -> tuple[Batch, ...]:
        return _epoch(self, epoch)


@lru_cache(maxsize=16)
def _epoch(plan: StepPlan, epoch: int) -> tuple[Batch, ...]:
    # Shuffling needs no secure random numbers.
    rng = random.Random(f"{plan.seed} {epoch}")  # noqa: S311
    if plan.pack is None:
        return _by_length(plan.lengths, plan.batch, rng)
    return _together(_packs(plan.origins, plan.pack, max(plan.batch // 2, 1), rng), plan.batch, rng)


def _by_length(lengths: tuple[int, ...], batch: int, rng: random.Random) -> tuple[Batch, ...]:
    order = list(range(len(lengths)))
    rng.shuffle(order)
    batches: list[Batch] = []
    for start in range(0, len(order), batch * GROUP):
        group = sorted(order[start : start + batch * GROUP], key=lambda example: (lengths[example], example))
        batches += (tuple(group[place : place + batch]) for place in range(0, len(group), batch))
    rng.shuffle(batches)
    return tuple(batches)


def _packs(origins: Sequence[Origin], trajectories: int, most: int, rng: random.Random) -> list[list[int]]:
    """Examples of at most `trajectories` of one tool set, and `most` of them; longer trajectories are divided."""
    tool_sets: dict[int, dict[int, list[int]]] = {}
    for example, (tool_set, trajectory) in enumerate(origins):
        tool_sets.setdefault(tool_set, {}).setdefault(trajectory, []).append(example)
    packs = []
    for members in tool_sets.values():
        order = list(members.values())
        rng.shuffle(order)
        packs += _filled(order, trajectories, most)
    rng.shuffle(packs)
    return packs


def _filled(members: Sequence[list[int]], trajectories: int, most: int) -> list[list[int]]:
    packs: list[list[int]] = []
    taken = trajectories
    for examples in members:
        if taken < trajectories and len(packs[-1]) + len(examples) <= most:
            packs[-1] += examples
            taken += 1
        else:
            packs += [examples[start : start + most] for start in range(0, len(examples), most)]
            taken = 1
    return packs


def _together(packs: Sequence[list[int]], batch: int, rng: random.Random) -> tuple[Batch, ...]:
    """Steps of some packs each: a pack goes to the first step with room."""
    steps: list[list[int]] = []
    for pack in packs:
        room = next((step for step in steps[-OPEN:] if len(step) + len(pack) <= batch), None)
        if room is None:
            steps.append(list(pack))
        else:
            room += pack
    rng.shuffle(steps)
    return tuple(map(tuple, steps))


def rounds(
    examples: Sequence[int], lengths: Sequence[int], *, processes: int, micro_tokens: int, padded: bool = True
) -> list[list[Batch]]:
    """The rounds of a step: in each, one micro-batch for every process, of at most `micro_tokens` with its padding.

    Every process takes part in every round, so that its micro-batch may be empty in the last ones. A single example may
    be longer than `micro_tokens`.
    """
    ordered = sorted(examples, key=lambda example: (-lengths[example], example))
    shares = [_cut(ordered[process::processes], lengths, micro_tokens, padded) for process in range(processes)]
    most = max(map(len, shares))
    return [[share[number] if number < len(share) else () for share in shares] for number in range(most)]


def _cut(examples: Sequence[int], lengths: Sequence[int], micro_tokens: int, padded: bool) -> list[Batch]:
    micros: list[list[int]] = []
    for example in examples:
        together = [lengths[each] for each in (*micros[-1], example)] if micros else []
        # The first one is the longest.
        if micros and (together[0] * len(together) if padded else sum(together)) <= micro_tokens:
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
