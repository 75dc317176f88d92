"""Score predictions: every metric with its number of steps and a 95 % interval. No model runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.files.published import Pair
from evaluation.metrics import METRICS, Confusion, Metric, decision_confusion
from evaluation.statistics.bootstrap import (
    RESAMPLES,
    SEED,
    Interval,
    Values,
    intervals,
    mean,
    resampled_means,
    sums_by_trajectory,
)
from recordings.errors import EmptySuite


@dataclass(frozen=True)
class Figure:
    """A metric's average over the `n` steps that count for it; None without any."""

    metric: Metric[Pair]
    value: float | None
    n: int
    interval: Interval | None


@dataclass(frozen=True)
class Scores:
    """The scores of a file. `missing` lists the cases without a prediction; `Metric.missing` defines how they count."""

    figures: tuple[Figure, ...]
    decisions: Confusion
    steps: int
    trajectories: int
    missing: tuple[str, ...]
    resamples: int
    seed: int

    def value(self, name: str) -> float | None:
        """The value of a figure. Raises `KeyError` for a name that no metric has."""
        return {figure.metric.name: figure.value for figure in self.figures}[name]


def score(pairs: Sequence[Pair], *, resamples: int = RESAMPLES, seed: int = SEED) -> Scores:
    """Score every pair with every metric. Raises `EmptySuite` when there is none."""
    values = metric_values(pairs)
    trajectories = [pair.case.trajectory for pair in pairs]
    sums = sums_by_trajectory(trajectories, values)
    samples = resampled_means(sums, resamples=resamples, seed=seed)
    spreads = intervals(
        sums, samples, [mean(column) for column in values], shares=[metric.is_share for metric in METRICS]
    )
    return Scores(
        figures=tuple(map(_figure, METRICS, values, spreads)),
        decisions=decision_confusion(pairs),
        steps=len(pairs),
        trajectories=len(set(trajectories)),
        missing=tuple(pair.case.id for pair in pairs if pair.prediction is None),
        resamples=resamples,
        seed=seed,
    )


def metric_values(pairs: Sequence[Pair]) -> list[Values]:
    """The values of every metric for every pair, by metric. Raises `EmptySuite` if there is no pair."""
    if not pairs:
        raise EmptySuite("there is no step to score", remedy="name a file with at least one case")
    return [[metric.of(pair) for pair in pairs] for metric in METRICS]


def _figure(metric: Metric[Pair], values: Values, spread: Interval | None) -> Figure:
    return Figure(metric, mean(values), sum(value is not None for value in values), spread)
