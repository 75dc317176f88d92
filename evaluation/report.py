"""Scores and comparisons as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alpha_umi.contract.roles import WireModel
from alpha_umi.roles.turns import RoleName
from evaluation.compare import Comparison, Difference, Verdict
from evaluation.costs import RoleCost
from evaluation.intervals import Interval
from evaluation.metrics import PUBLISHED
from evaluation.records import RunRecord
from evaluation.score import Figure, Scores


class FigureReport(WireModel):
    """A figure over `n` steps with its 95 % interval. All but `n` are null where nothing counts or nothing varies."""

    title: str
    value: float | None
    low: float | None
    high: float | None
    n: int


class CostReport(WireModel):
    """What a role cost: sums, and milliseconds a text. `again` texts took more than one attempt, `failed` were none."""

    texts: int
    prompt_tokens: int
    completion_tokens: int
    truncated: int
    again: int
    failed: int
    median_ms: float
    p95_ms: float


class ScoreReport(WireModel):
    """`evaluate score`. `decisions` counts predicted decisions (inner names) by the reference's (outer names)."""

    run: RunRecord | None
    steps: int
    trajectories: int
    missing: list[str]
    figures: dict[str, FigureReport]
    decisions: dict[str, dict[str, int]]
    costs: dict[RoleName, CostReport]
    resamples: int
    seed: int


class ComparedReport(WireModel):
    """What one of two files is of: the suite, the name of each role's model, inside grammars or not."""

    suite: str
    models: dict[RoleName, str]
    constrained: bool


class DifferenceReport(WireModel):
    """A metric in two files: second less first, with its 95 % interval.

    The verdict is `open` whatever the interval where too few `trajectories` count in one of the files, and where
    predictions are missing that the metric does not count (`hidden`).
    """

    title: str
    first: float | None
    second: float | None
    difference: float | None
    low: float | None
    high: float | None
    trajectories: int
    hidden: bool
    verdict: Verdict


class ComparisonReport(WireModel):
    """`evaluate compare`. Of a file in the published format nothing is known (null)."""

    first: ComparedReport | None
    second: ComparedReport | None
    steps: int
    trajectories: int
    first_missing: list[str]
    second_missing: list[str]
    differences: dict[str, DifferenceReport]
    resamples: int
    seed: int


def score_report(scores: Scores, about: RunRecord | None, costs: dict[RoleName, RoleCost]) -> ScoreReport:
    """All of a score."""
    return ScoreReport(
        run=about,
        steps=scores.steps,
        trajectories=scores.trajectories,
        missing=list(scores.missing),
        figures={figure.metric.name: _figure(figure) for figure in scores.figures},
        decisions={row: dict(columns) for row, columns in scores.decisions.items()},
        costs={role: CostReport(**vars(cost)) for role, cost in costs.items()},
        resamples=scores.resamples,
        seed=scores.seed,
    )


def published_figures(scores: Scores) -> dict[str, float | None]:
    """The seven published figures and nothing else, under their published names."""
    return {metric.name: scores.value(metric.name) for metric in PUBLISHED}


def comparison_report(
    comparison: Comparison, first: RunRecord | None = None, second: RunRecord | None = None
) -> ComparisonReport:
    """All of a comparison, and what is known of both files."""
    return ComparisonReport(
        first=_compared(first),
        second=_compared(second),
        steps=comparison.steps,
        trajectories=comparison.trajectories,
        first_missing=list(comparison.first_missing),
        second_missing=list(comparison.second_missing),
        differences={item.metric.name: _difference(item) for item in comparison.differences},
        resamples=comparison.resamples,
        seed=comparison.seed,
    )


def _compared(about: RunRecord | None) -> ComparedReport | None:
    if about is None:
        return None
    models = {role: _name(model) for role, model in about.models.items()}
    return ComparedReport(suite=about.suite, models=models, constrained=about.constrained)


def _name(model: Mapping[str, Any]) -> str:
    return str(model.get("id") or model.get("name") or "unnamed")


def _figure(figure: Figure) -> FigureReport:
    low, high = _ends(figure.interval)
    return FigureReport(title=figure.metric.title, value=figure.value, low=low, high=high, n=figure.n)


def _difference(item: Difference) -> DifferenceReport:
    low, high = _ends(item.interval)
    return DifferenceReport(
        title=item.metric.title,
        first=item.first,
        second=item.second,
        difference=item.difference,
        low=low,
        high=high,
        trajectories=item.trajectories,
        hidden=item.hidden,
        verdict=item.verdict,
    )


def _ends(interval: Interval | None) -> tuple[float, float] | tuple[None, None]:
    return (None, None) if interval is None else (interval.low, interval.high)
