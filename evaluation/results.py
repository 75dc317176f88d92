"""Scores, trajectory metrics and comparisons as JSON, and the caveats to print next to them.

Caveats (excluded cases, contamination of training data) come from the run's header record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from alpha_umi.contract.roles import WireModel
from alpha_umi.contract.trajectories import Strategy
from alpha_umi.roles.turns import Role
from evaluation.compare import About, Comparison
from evaluation.files.predictions import CostReport
from evaluation.files.step_run import RunRecord
from evaluation.files.trajectory_run import TrajectoryRun, TrajectoryRunRecord
from evaluation.metrics import PUBLISHED
from evaluation.metrics.trajectory import TrajectoryFigure, summarize, trajectory_metric
from evaluation.scoring import Figure, Scores
from evaluation.statistics import Correction
from evaluation.statistics.bootstrap import RESAMPLES, SEED, Interval
from evaluation.statistics.gate import Gate, GatedFigure
from evaluation.statistics.paired import Difference, Verdict
from recordings.contamination import TRAINED_ON_SUITE


class FigureReport(WireModel):
    """A figure over `n` steps with its 95 % interval. All but `n` are null if no step counts; the interval is null if
    nothing varies.
    """

    title: str
    value: float | None
    low: float | None
    high: float | None
    n: int

    @classmethod
    def of(cls, title: str, value: float | None, n: int, interval: Interval | None) -> FigureReport:
        """The report of a figure."""
        low, high = _ends(interval)
        return FigureReport(title=title, value=value, low=low, high=high, n=n)


class ScoreReport(WireModel):
    """`evaluate score`. `decisions` counts predicted decisions (inner names) by the reference's (outer names)."""

    run: RunRecord | None
    steps: int
    trajectories: int
    missing: list[str]
    figures: dict[str, FigureReport]
    decisions: dict[str, dict[str, int]]
    costs: dict[Role, CostReport]
    resamples: int
    seed: int


class ComparedReport(WireModel):
    """The origin of one of two files: the suite, the name of each role's model, constrained or not.

    Only trajectories have a `strategy`. `trained_on` has a sentence for each model that was trained on the suite.
    """

    suite: str
    models: dict[Role, str]
    constrained: bool | None
    strategy: Strategy | None
    trained_on: list[str]


class DifferenceReport(WireModel):
    """A metric in two files: second less first, with its 95 % interval.

    The verdict is `inconclusive`, whatever the interval, if too few `trajectories` count in one of the files, or
    predictions are missing that the metric ignores (`incomparable`).
    """

    title: str
    first: float | None
    second: float | None
    difference: float | None
    low: float | None
    high: float | None
    trajectories: int
    incomparable: bool
    verdict: Verdict


class GatedReport(WireModel):
    """A metric that the gate tested: the interval at its corrected `confidence`, and the verdict.

    `minimum_detectable_effect` is the smallest worsening that this sample can show; null if it can show none.
    """

    verdict: Verdict
    confidence: float
    low: float | None
    high: float | None
    minimum_detectable_effect: float | None


class GateReport(WireModel):
    """`evaluate compare --fail-below`. `passed` is false if one of the `figures` is worse.

    The sample is too small to show a fall of `mde_target` in the `underpowered` ones.
    """

    passed: bool
    correction: Correction
    worse: list[str]
    mde_target: float
    underpowered: list[str]
    figures: dict[str, GatedReport]


class ComparisonReport(WireModel):
    """`evaluate compare`. The origin of a file in the published format is null; only predictions have `steps`.

    `gate` is the result of the release gate, if requested.
    """

    first: ComparedReport | None
    second: ComparedReport | None
    steps: int | None
    trajectories: int
    first_missing: list[str]
    second_missing: list[str]
    differences: dict[str, DifferenceReport]
    resamples: int
    seed: int
    gate: GateReport | None = None


def score_report(scores: Scores, about: RunRecord | None, costs: dict[Role, CostReport]) -> ScoreReport:
    """The report of a score."""
    return ScoreReport(
        run=about,
        steps=scores.steps,
        trajectories=scores.trajectories,
        missing=list(scores.missing),
        figures={figure.metric.name: _figure(figure) for figure in scores.figures},
        decisions={row: dict(columns) for row, columns in scores.decisions.items()},
        costs=costs,
        resamples=scores.resamples,
        seed=scores.seed,
    )


def published_figures(scores: Scores) -> dict[str, float | None]:
    """The seven published figures and nothing else, under their published names."""
    return {metric.name: scores.value(metric.name) for metric in PUBLISHED}


def comparison_report(
    comparison: Comparison,
    first: About = None,
    second: About = None,
    gate: Gate | None = None,
    *,
    mde_target: float = 0.05,
) -> ComparisonReport:
    """The report of a comparison with the origin of both files, and the gate if one was requested.

    The gate lists shares in which it could not have shown a fall of `mde_target`.
    """
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
        gate=None if gate is None else _gate(gate, mde_target),
    )


def _gate(gate: Gate, mde_target: float) -> GateReport:
    return GateReport(
        passed=not gate.worse,
        correction=gate.correction,
        worse=[figure.item.metric.name for figure in gate.worse],
        mde_target=mde_target,
        underpowered=[figure.item.metric.name for figure in gate.figures if figure.is_underpowered(mde_target)],
        figures={figure.item.metric.name: _gated(figure) for figure in gate.figures},
    )


def _gated(figure: GatedFigure) -> GatedReport:
    low, high = _ends(figure.interval)
    return GatedReport(
        verdict=figure.verdict,
        confidence=figure.confidence,
        low=low,
        high=high,
        minimum_detectable_effect=figure.minimum_detectable_effect,
    )


def _compared(about: About) -> ComparedReport | None:
    if about is None:
        return None
    models = {role: _name(model) for role, model in about.models.items()}
    strategy = about.strategy if isinstance(about, TrajectoryRunRecord) else None
    return ComparedReport(
        suite=about.suite,
        models=models,
        constrained=about.constrained,
        strategy=strategy,
        trained_on=trained_on_sentences(about.models),
    )


def _name(model: Mapping[str, Any]) -> str:
    return str(model.get("id") or model.get("name") or "unnamed")


def _figure(figure: Figure) -> FigureReport:
    return FigureReport.of(figure.metric.title, figure.value, figure.n, figure.interval)


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
        incomparable=item.incomparable,
        verdict=item.verdict,
    )


def _ends(interval: Interval | None) -> tuple[float, float] | tuple[None, None]:
    return (None, None) if interval is None else (interval.low, interval.high)


class TrajectoryReport(WireModel):
    """`evaluate trajectories`. `ends` counts outcomes, `not_run` the trajectories without a line.

    The latter count as failed in `completed`, `success` and `right`.
    """

    run: TrajectoryRunRecord
    trajectories: int
    not_run: int
    ends: dict[str, int]
    figures: dict[str, FigureReport]
    resamples: int
    seed: int


def trajectory_report(run: TrajectoryRun, *, resamples: int = RESAMPLES, seed: int = SEED) -> TrajectoryReport:
    """The report of a file. Raises `EmptySuite` if it has no trajectory."""
    measured = run.measured()
    not_run = run.about.trajectories - len(measured)
    figures = summarize(measured, not_run, resamples=resamples, seed=seed)
    return TrajectoryReport(
        run=run.about,
        trajectories=len(measured),
        not_run=not_run,
        ends=_statuses(run),
        figures=_trajectory_figures(figures),
        resamples=resamples,
        seed=seed,
    )


def _statuses(run: TrajectoryRun) -> dict[str, int]:
    """Outcomes by status, with the reason if any."""
    ends = Counter(
        record.trajectory.status + (f": {record.trajectory.error.code}" if record.trajectory.error else "")
        for record in run.records
    )
    return dict(sorted(ends.items()))


def _trajectory_figures(figures: Sequence[TrajectoryFigure]) -> dict[str, FigureReport]:
    """Metrics by name, without optional ones that no trajectory counts for."""
    metrics = {figure.name: trajectory_metric(figure.name) for figure in figures}
    return {
        figure.name: FigureReport.of(metrics[figure.name].title, figure.value, figure.n, figure.interval)
        for figure in figures
        if figure.n or not metrics[figure.name].optional
    }


def excluded_sentence(excluded: Mapping[str, int]) -> str | None:
    """A sentence on the excluded cases of a suite, by reason; None if there are none."""
    if not excluded:
        return None
    reasons = ", ".join(f"{reason} ({count:,})" for reason, count in sorted(excluded.items()))
    return f"excluded from the suite, because it cannot be measured: {reasons}"


def trained_on_sentences(models: Mapping[Role, Mapping[str, Any]]) -> list[str]:
    """A sentence for each role whose model was trained on instructions of the suite, with their number."""
    # The manifests in a header record are not validated.
    findings = {role: model.get(TRAINED_ON_SUITE) for role, model in models.items()}
    return [
        f"the {role}'s model was trained on {check.get('instructions')} of "
        f"the suite's {check.get('total')} instructions"
        for role, check in findings.items()
        if isinstance(check, dict) and check.get("verdict") == "listed"
    ]
