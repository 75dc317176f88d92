"""95 % intervals by the bootstrap, over trajectories.

The steps of one trajectory go right or wrong together, so whole trajectories are drawn, with replacement, and a figure
is the sum of its values over the number of steps that count, anew in every resample (Davison and Hinkley, Bootstrap
Methods and their Application, 1997: percentiles of a ratio under clustered sampling). The same seed draws the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.95
RESAMPLES = 2_000
SEED = 0
# Resamples that are drawn at once, which bounds the memory: at 10,000 trajectories 8 MB.
_AT_ONCE = 100

Floats = npt.NDArray[np.float64]
Values = Sequence[float | None]


@dataclass(frozen=True)
class Interval:
    """Where a figure lies with 95 % confidence."""

    low: float
    high: float


@dataclass(frozen=True)
class Sums:
    """What is resampled, by trajectory (row) and metric (column): the sum of the values, and how many there are."""

    totals: Floats
    counts: Floats


def mean(values: Values) -> float | None:
    """The average of the values that count; None where there is none."""
    counted = [value for value in values if value is not None]
    return sum(counted) / len(counted) if counted else None


def sums_by_trajectory(trajectories: Sequence[str], metrics: Sequence[Values]) -> Sums:
    """Sum up by trajectory what each metric says of each step; None does not count."""
    rows = {name: row for row, name in enumerate(dict.fromkeys(trajectories))}
    row_of_step = np.array([rows[name] for name in trajectories], dtype=np.intp)
    values = np.array([[np.nan if value is None else value for value in metric] for metric in metrics], dtype=float)
    totals = [np.bincount(row_of_step, np.nan_to_num(metric), len(rows)) for metric in values]
    counts = [np.bincount(row_of_step, ~np.isnan(metric), len(rows)) for metric in values]
    return Sums(np.stack(totals, axis=1), np.stack(counts, axis=1))


def resampled_means(sums: Sums, *, resamples: int = RESAMPLES, seed: int = SEED) -> Floats:
    """Each metric's average (column) in each resample (row); NaN where a resample has no step that counts."""
    generator = np.random.default_rng(seed)
    trajectories = len(sums.totals)
    drawn = (_drawn(generator, trajectories, min(_AT_ONCE, resamples - done)) for done in range(0, resamples, _AT_ONCE))
    return np.concatenate([_means(sums, counts) for counts in drawn])


def interval(samples: Floats) -> Interval | None:
    """The middle 95 % of one metric's resampled figures. None where no resample has one."""
    known = samples[~np.isnan(samples)]
    if not known.size:
        return None
    low, high = np.quantile(known, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(low), float(high))


def intervals(counts: Floats, samples: Floats) -> list[Interval | None]:
    """The interval of each metric (column of both); None where fewer than two trajectories count: nothing varies."""
    enough = (counts > 0).sum(axis=0) > 1
    return [interval(samples[:, column]) if known else None for column, known in enumerate(enough)]


def _drawn(generator: np.random.Generator, trajectories: int, resamples: int) -> Floats:
    """How often each trajectory (column) stands in each resample (row)."""
    draws = generator.integers(trajectories, size=(resamples, trajectories))
    return np.stack([np.bincount(row, minlength=trajectories) for row in draws]).astype(float)


def _means(sums: Sums, drawn: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        return np.asarray((drawn @ sums.totals) / (drawn @ sums.counts), dtype=float)
