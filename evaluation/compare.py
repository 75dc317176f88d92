"""Compare two sets of predictions for the same cases: each difference with a 95 % interval.

The bootstrap is paired: both are scored on the same drawn trajectories, so that what makes a trajectory hard for both
does not hide a difference between them. Where too few trajectories count, and where a metric does not notice that
predictions are missing, there is no verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from evaluation.errors import CasesDiffer, some
from evaluation.intervals import (
    RESAMPLES,
    SEED,
    Floats,
    Interval,
    Sums,
    extreme_difference,
    interval,
    mean,
    resampled_means,
    sums_by_trajectory,
)
from evaluation.metrics import METRICS, Metric
from evaluation.pairs import Pair
from evaluation.score import metric_values

Verdict = Literal["better", "worse", "open"]
# With fewer trajectories the percentiles of the bootstrap are too narrow: between two models that are equally good they
# leave 0 out far more often than the 5 % that they promise, up to 23 % at two trajectories (docs/evaluation.md).
FEWEST_TRAJECTORIES = 20
REMEDY = "compare two files that were generated from the same suite"


@dataclass(frozen=True)
class Difference:
    """A metric in both files. `difference` is the second less the first, None where one of them has no figure.

    `trajectories` count in the file in which fewer do. `hidden`: predictions are missing, and the metric counts them
    as nothing.
    """

    metric: Metric
    first: float | None
    second: float | None
    difference: float | None
    interval: Interval | None
    trajectories: int
    hidden: bool

    @property
    def verdict(self) -> Verdict:
        """`better` or `worse` when the interval leaves 0 out, for the second; else, or if it cannot be told, `open`."""
        if self.trajectories < FEWEST_TRAJECTORIES or self.hidden:
            return "open"
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
    differences = samples[:, half:] - samples[:, :half]
    incomplete = bool(_missing(first) or _missing(second))
    return tuple(
        _difference(metric, mean(firsts[place]), mean(seconds[place]), differences[:, place], fewer, incomplete)
        for place, (metric, fewer) in enumerate(zip(METRICS, _fewer(sums, half), strict=True))
    )


def _fewer(sums: Sums, half: int) -> list[int]:
    """How many trajectories count for each metric in the file in which fewer do."""
    return list(map(min, sums.trajectories[:half], sums.trajectories[half:]))


def _difference(
    metric: Metric, first: float | None, second: float | None, samples: Floats, trajectories: int, incomplete: bool
) -> Difference:
    hidden = incomplete and metric.missing == "nothing"
    if first is None or second is None:
        return Difference(metric, first, second, None, None, trajectories, hidden)
    found = interval(samples) or extreme_difference(first, second, trajectories) if trajectories > 1 else None
    return Difference(metric, first, second, second - first, found, trajectories, hidden)


def _matched(first: Sequence[Pair], second: Sequence[Pair]) -> list[Pair]:
    """The pairs of the second file in the order of the first."""
    by_id = {pair.case.id: pair for pair in second}
    only_first = [pair.case.id for pair in first if pair.case.id not in by_id]
    only_second = sorted(by_id.keys() - {pair.case.id for pair in first})
    if only_first or only_second:
        one, name = ("first", only_first) if only_first else ("second", only_second)
        raise CasesDiffer(f"only the {one} file has the case {some(name)}", remedy=REMEDY)
    matched = [by_id[pair.case.id] for pair in first]
    for what, differ in _PARTS.items():
        others = [one.case.id for one, other in zip(first, matched, strict=True) if differ(one, other)]
        if others:
            raise CasesDiffer(f"the files have other {what} for the case {some(others)}", remedy=REMEDY)
    return matched


def _other_history(one: Pair, other: Pair) -> bool:
    """No figure needs a history, and what others write in the published format may lack it."""
    histories = one.case.history, other.case.history
    return all(histories) and histories[0] != histories[1]


# What has to be the same, and when it is not.
_PARTS: Final[dict[str, Callable[[Pair, Pair], bool]]] = {
    "references": lambda one, other: one.published_reference != other.published_reference,
    "tools": lambda one, other: one.case.tools != other.case.tools,
    "histories": _other_history,
}


def _missing(pairs: Sequence[Pair]) -> tuple[str, ...]:
    return tuple(pair.case.id for pair in pairs if pair.prediction is None)
