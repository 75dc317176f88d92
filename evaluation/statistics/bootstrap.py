"""95 % bootstrap intervals over trajectories.

The steps of one trajectory are dependent. So trajectories are resampled with replacement, and a metric is the sum of
its values over the number of steps that count, in every resample (Davison and Hinkley, Bootstrap Methods and their
Application, 1997: percentiles of a ratio under clustered sampling). The same seed draws the same resamples.

Where all trajectories that count have the same value the bootstrap has no spread. A share of 0 or 1 then has the score
interval (Wilson, Probable inference, the law of succession, and statistical inference, 1927) over the trajectories: the
mean of values in [0, 1] is at most the probability that a value exceeds 0, and at least the probability that it is 1.
The difference of two such shares has the interval of Newcombe (Interval estimation for the difference between
independent proportions, 1998). Any other constant has no interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.95
RESAMPLES = 2_000
SEED = 0
# Resamples per batch; bounds the memory: 8 MB at 10,000 trajectories.
_AT_ONCE = 100
# Smaller differences of resamples are rounding errors.
_ROUNDING = 1e-12
# R-L of two equal texts is 1 less half of this.
_NEARLY = 1e-8

Floats = npt.NDArray[np.float64]
Values = Sequence[float | None]


@dataclass(frozen=True)
class Interval:
    """The confidence interval of a metric, 95 % by default."""

    low: float
    high: float


@dataclass(frozen=True)
class Sums:
    """The resampled data by trajectory (row) and metric (column): the sum of the values, and their number."""

    totals: Floats
    counts: Floats

    @property
    def trajectories(self) -> list[int]:
        """The number of trajectories that count, by metric."""
        return [int(number) for number in (self.counts > 0).sum(axis=0)]


def mean(values: Values) -> float | None:
    """The average of the values that count; None where there is none."""
    pluralize = [value for value in values if value is not None]
    return sum(pluralize) / len(pluralize) if pluralize else None


def sums_by_trajectory(trajectories: Sequence[str], metrics: Sequence[Values]) -> Sums:
    """Sum the values of each metric by trajectory; None does not count."""
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


def interval(samples: Floats, confidence: float = CONFIDENCE) -> Interval | None:
    """The central percentiles of one metric's resamples. None if there are no values, or all are equal."""
    known = samples[~np.isnan(samples)]
    if not known.size or np.ptp(known) < _ROUNDING:
        return None
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high))


def boundary_interval(value: float | None, trajectories: int, confidence: float = CONFIDENCE) -> Interval | None:
    """The score interval of a share that is 0, or 1, in each of `n` trajectories; None for any other value."""
    if value == 0:
        return wilson_interval(0, trajectories, confidence)
    extreme = value is not None and value > 1 - _NEARLY
    return wilson_interval(trajectories, trajectories, confidence) if extreme else None


def wilson_interval(hits: int, n: int, confidence: float = CONFIDENCE) -> Interval:
    """The score interval of a share: `hits` of `n` independent trials."""
    z = _normal(confidence)
    middle, spread = hits + z**2 / 2, z * math.sqrt(hits * (n - hits) / n + z**2 / 4)
    low, high = (middle - spread) / (n + z**2), (middle + spread) / (n + z**2)
    # Exact bounds; the last bit of a rounded root depends on the platform's library.
    return Interval(0.0 if hits == 0 else low, 1.0 if hits == n else high)


def boundary_difference(
    first: float, second: float, trajectories: int, confidence: float = CONFIDENCE
) -> Interval | None:
    """The interval of the second less the first, if both are 0 or 1 in each of `n` trajectories; else None."""
    one = boundary_interval(first, trajectories, confidence)
    other = boundary_interval(second, trajectories, confidence)
    if one is None or other is None:
        return None
    return difference_of_shares(first, one, second, other)


def difference_of_shares(first: float, one: Interval, second: float, other: Interval) -> Interval:
    """The interval of the second share less the first, from the score intervals of both."""
    below = math.hypot(second - other.low, one.high - first)
    above = math.hypot(other.high - second, first - one.low)
    return Interval(second - first - below, second - first + above)


def intervals(sums: Sums, samples: Floats, values: Values, *, shares: Sequence[bool]) -> list[Interval | None]:
    """The interval of each metric: of its resamples (column), its value, and whether that is a share from 0 to 1.

    None where fewer than two trajectories count, or nothing varies.
    """
    results: list[Interval | None] = []
    for column, (value, share, trajectories) in enumerate(zip(values, shares, sums.trajectories, strict=True)):
        known = interval(samples[:, column]) if trajectories > 1 else None
        extreme = boundary_interval(value, trajectories) if share and trajectories > 1 else None
        results.append(known or extreme)
    return results


@cache
def _normal(confidence: float) -> float:
    """The normal quantile of a two-sided interval with this confidence."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _drawn(generator: np.random.Generator, trajectories: int, resamples: int) -> Floats:
    """The multiplicity of each trajectory (column) in each resample (row)."""
    draws = generator.integers(trajectories, size=(resamples, trajectories))
    return np.stack([np.bincount(row, minlength=trajectories) for row in draws]).astype(float)


def _means(sums: Sums, drawn: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        return np.asarray((drawn @ sums.totals) / (drawn @ sums.counts), dtype=float)
