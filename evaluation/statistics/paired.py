"""Paired differences of two files over the same trajectories, each with its interval.

Both files are averaged over the same resampled trajectories, so that the difficulty of a trajectory, which both share,
does not hide a difference. Steps and trajectories are compared alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol

from evaluation.statistics.bootstrap import (
    CONFIDENCE,
    Floats,
    Interval,
    Values,
    boundary_difference,
    interval,
    mean,
    resampled_means,
    sums_by_trajectory,
    wilson_interval,
)

Verdict = Literal["better", "worse", "inconclusive"]
# With fewer trajectories the percentiles of the bootstrap are too narrow: between two models that are equally good they
# leave 0 out far more often than the 5 % that they promise, up to 23 % at two trajectories (docs/evaluation.md).
MIN_TRAJECTORIES = 20


class Measure(Protocol):
    """A metric of both files: its name, title and direction, and whether it is a share from 0 to 1."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def better(self) -> Literal["higher", "lower"]: ...

    @property
    def is_share(self) -> bool: ...


@dataclass(frozen=True)
class Difference:
    """A metric in both files. `difference` is the second less the first, None if either has no value.

    `trajectories` is the smaller number of both files. `incomparable`: a file is incomplete, and the metric ignores
    what is missing. `resampled` are the differences of the resamples.
    """

    metric: Measure
    first: float | None
    second: float | None
    trajectories: int
    incomparable: bool
    resampled: Floats = field(repr=False, compare=False)

    @property
    def difference(self) -> float | None:
        """The second less the first."""
        return None if self.first is None or self.second is None else self.second - self.first

    @cached_property
    def interval(self) -> Interval | None:
        """The 95 % interval of the difference."""
        return self.interval_at(CONFIDENCE)

    @property
    def verdict(self) -> Verdict:
        """`better` or `worse` (the second file) if the 95 % interval excludes 0, else `inconclusive`."""
        return self.verdict_at(CONFIDENCE)

    def interval_at(self, confidence: float) -> Interval | None:
        """The interval of the difference; None where fewer than two trajectories count, or nothing varies."""
        if self.first is None or self.second is None or self.trajectories < 2:
            return None
        bounds = interval(self.resampled, confidence)
        if bounds is None and self.metric.is_share:
            return boundary_difference(self.first, self.second, self.trajectories, confidence)
        return bounds

    def verdict_at(self, confidence: float) -> Verdict:
        """The verdict at this confidence."""
        if self.trajectories < MIN_TRAJECTORIES or self.incomparable:
            return "inconclusive"
        bounds = self.interval if confidence == CONFIDENCE else self.interval_at(confidence)
        if bounds is None or bounds.low <= 0 <= bounds.high:
            return "inconclusive"
        return "better" if (bounds.low > 0) == (self.metric.better == "higher") else "worse"

    def minimum_detectable_effect(self, confidence: float) -> float | None:
        """The smallest worsening of the second file that would be `worse`, given the spread of this sample.

        For a share it is at least the upper bound of the score interval of 0 events: with fewer failures some
        resample would contain none, however small the difference is here. None if there is no verdict.
        """
        if self.difference is None or self.trajectories < MIN_TRAJECTORIES or self.incomparable:
            return None
        unseen = wilson_interval(0, self.trajectories, confidence).high if self.metric.is_share else None
        bounds = self.interval_at(confidence)
        if bounds is None:
            return unseen if self.difference == 0 else None
        higher = self.metric.better == "higher"
        spread = bounds.high - self.difference if higher else self.difference - bounds.low
        return spread if unseen is None else max(spread, unseen)


def paired(
    measures: Sequence[Measure],
    trajectories: Sequence[str],
    first: Sequence[Values],
    second: Sequence[Values],
    *,
    incomparable: Sequence[bool],
    resamples: int,
    seed: int,
) -> tuple[Difference, ...]:
    """The difference of each measure: its values in both files, in the order of `trajectories`."""
    sums = sums_by_trajectory(trajectories, [*first, *second])
    samples = resampled_means(sums, resamples=resamples, seed=seed)
    half = len(measures)
    fewer = list(map(min, sums.trajectories[:half], sums.trajectories[half:]))
    return tuple(
        Difference(
            measure, mean(first[place]), mean(second[place]), fewer[place], incomparable[place],
            samples[:, half + place] - samples[:, place],
        )
        for place, measure in enumerate(measures)
    )  # fmt: skip
