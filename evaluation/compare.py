"""Compare two sets of predictions for the same cases: each difference with a 95 % interval.

The bootstrap is paired: both are scored on the same drawn trajectories, so that what makes a trajectory hard for both
does not hide a difference between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from evaluation.errors import CasesDiffer, some
from evaluation.intervals import RESAMPLES, SEED, Interval, intervals, mean, resampled_means, sums_by_trajectory
from evaluation.metrics import METRICS, Metric
from evaluation.pairs import Pair
from evaluation.score import metric_values

Verdict = Literal["better", "worse", "open"]
REMEDY = "compare two files that were generated from the same suite"


@dataclass(frozen=True)
class Difference:
    """A metric in both files. `difference` is the second less the first, None where one of them has no figure."""

    metric: Metric
    first: float | None
    second: float | None
    difference: float | None
    interval: Interval | None

    @property
    def verdict(self) -> Verdict:
        """`better` or `worse` when the interval leaves 0 out, for the second; else `open`."""
        if self.interval is None or self.interval.low <= 0 <= self.interval.high:
            return "open"
        return "better" if (self.interval.low > 0) == (self.metric.better == "higher") else "worse"


@dataclass(frozen=True)
class Comparison:
    """All metrics of two files over the same cases, and which cases lack a prediction in each."""

    differences: tuple[Difference, ...]
    steps: int
    trajectories: int
    first_missing: tuple[str, ...]
    second_missing: tuple[str, ...]
    resamples: int
    seed: int


def compare(
    first: Sequence[Pair], second: Sequence[Pair], *, resamples: int = RESAMPLES, seed: int = SEED
) -> Comparison:
    """Compare predictions of the same cases, in any order. Raises `CasesDiffer` or `EmptySuite`."""
    matched = _matched(first, second)
    trajectories = [pair.case.trajectory for pair in first]
    return Comparison(
        differences=_differences(first, matched, trajectories, resamples, seed),
        steps=len(first),
        trajectories=len(set(trajectories)),
        first_missing=_missing(first),
        second_missing=_missing(matched),
        resamples=resamples,
        seed=seed,
    )


def _differences(
    first: Sequence[Pair], second: Sequence[Pair], trajectories: Sequence[str], resamples: int, seed: int
) -> tuple[Difference, ...]:
    firsts, seconds = metric_values(first), metric_values(second)
    sums = sums_by_trajectory(trajectories, [*firsts, *seconds])
    samples = resampled_means(sums, resamples=resamples, seed=seed)
    half = len(METRICS)
    found = intervals(sums.counts[:, :half], samples[:, half:] - samples[:, :half])
    return tuple(
        _difference(metric, mean(one), mean(other), interval)
        for metric, one, other, interval in zip(METRICS, firsts, seconds, found, strict=True)
    )


def _difference(metric: Metric, first: float | None, second: float | None, interval: Interval | None) -> Difference:
    if first is None or second is None:
        return Difference(metric, first, second, None, None)
    return Difference(metric, first, second, second - first, interval)


def _matched(first: Sequence[Pair], second: Sequence[Pair]) -> list[Pair]:
    """The pairs of the second file in the order of the first."""
    by_id = {pair.case.id: pair for pair in second}
    only_first = [pair.case.id for pair in first if pair.case.id not in by_id]
    only_second = sorted(by_id.keys() - {pair.case.id for pair in first})
    if only_first or only_second:
        one, name = ("first", only_first) if only_first else ("second", only_second)
        raise CasesDiffer(f"only the {one} file has the case {some(name)}", remedy=REMEDY)
    others = [pair.case.id for pair in first if pair.published_reference != by_id[pair.case.id].published_reference]
    if others:
        raise CasesDiffer(f"the files have other references for the case {some(others)}", remedy=REMEDY)
    return [by_id[pair.case.id] for pair in first]


def _missing(pairs: Sequence[Pair]) -> tuple[str, ...]:
    return tuple(pair.case.id for pair in pairs if pair.prediction is None)
