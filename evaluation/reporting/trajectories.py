"""Trajectory runs over the same questions side by side, with their costs per answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from alpha_umi.quantities import pluralize
from evaluation.compare import compare_trajectories
from evaluation.metrics.trajectory import TRAJECTORY_METRICS, trajectory_metric
from evaluation.page.blocks import Block, Cell, Chart, Gallery, Paragraph, Row, Section, Table
from evaluation.page.charts import Bar, bars
from evaluation.reporting.format import (
    NO_FIGURE,
    difference_text,
    figure_text,
    interval_text,
    number,
    shade,
)
from evaluation.reporting.inputs import BootstrapOptions, remarks
from evaluation.reporting.steps import PER_ANSWER, CostFigure, PerAnswer, per_answer
from evaluation.reporting.trajectory_examples import TrajectoryExamples, end_anchor, figure_anchor
from evaluation.results import DifferenceReport, comparison_report

_DRAWN: Final = ("completed", "success", "gave_up")


def trajectories_section(
    title: str, anchor: str, runs: Sequence[TrajectoryExamples], bootstrap: BootstrapOptions
) -> Section:
    """Runs over the same questions, with the examples of each."""
    pictures = [chart for name in _DRAWN if (chart := _bars(title, name, runs)) is not None]
    blocks: list[Block] = [
        *_about(runs),
        _ends(title, runs),
        _figures(title, runs),
        Gallery(pictures),
        *_costs(title, runs, bootstrap),
    ]
    if len(runs) > 1:
        blocks.insert(-2, _differences(title, runs, bootstrap))
    return Section(title, blocks, anchor)


def _about(runs: Sequence[TrajectoryExamples]) -> Iterator[Block]:
    yield Paragraph(
        f"{pluralize(runs[0].run.report.trajectories, 'whole trajectory')} through the orchestrator, the same "
        "questions for every run. Shares are of all of them, everything else is an average per trajectory."
    )
    yield from remarks([each.run for each in runs])


def _ends(title: str, runs: Sequence[TrajectoryExamples]) -> Table:
    ends = sorted({end for each in runs for end in each.run.report.ends})
    rows: list[Row] = [[end, *(_end(each, end) for each in runs)] for end in ends]
    return Table(f"{title}: how trajectories ended", ["end", *(each.run.named.title for each in runs)], rows)


def _end(each: TrajectoryExamples, end: str) -> Cell:
    count = each.run.report.ends.get(end, 0)
    return Cell(f"{count:,}", end_anchor(each.run, end) if count else None, shade(count, each.run.report.trajectories))


def _figures(title: str, runs: Sequence[TrajectoryExamples]) -> Table:
    names = dict.fromkeys(name for each in runs for name, figure in each.run.report.figures.items() if figure.n)
    rows: list[Row] = [[trajectory_metric(name).title, *(_figure(each, name) for each in runs)] for name in names]
    header = ["a trajectory", *(each.run.named.title for each in runs)]
    return Table(f"{title}: figures, each with its 95 % interval and n", header, rows)


def _figure(each: TrajectoryExamples, name: str) -> Cell:
    figure = each.run.report.figures.get(name)
    if figure is None or figure.value is None:
        return Cell(NO_FIGURE)
    return Cell(figure_text(figure), figure_anchor(each.run, name))


def _differences(title: str, runs: Sequence[TrajectoryExamples], bootstrap: BootstrapOptions) -> Table:
    """The paired differences of the other runs from the first, in the metrics that have a better direction."""
    first, *others = runs
    differences = [
        comparison_report(
            compare_trajectories(first.run.run, each.run.run, resamples=bootstrap.resamples, seed=bootstrap.seed)
        ).differences
        for each in others
    ]
    rows: list[Row] = [
        [
            metric.title,
            *(
                _difference(each, metric.name, by_name[metric.name])
                for each, by_name in zip(others, differences, strict=True)
            ),
        ]
        for metric in TRAJECTORY_METRICS
        if metric.gated and all(metric.name in by_name for by_name in differences)
    ]
    header = ["a trajectory", *(each.run.named.title for each in others)]
    return Table(f"{title}: differences from {first.run.named.title}, paired by question", header, rows)


def _difference(each: TrajectoryExamples, name: str, item: DifferenceReport) -> Cell:
    text = difference_text(item)
    return Cell(text, _figure(each, name).anchor if text != NO_FIGURE else None)


def _bars(title: str, name: str, runs: Sequence[TrajectoryExamples]) -> Chart | None:
    figures = [(each.run.named.title, each.run.report.figures[name]) for each in runs]
    if not any(figure.n for _, figure in figures):
        return None
    values = [Bar(run, figure.value, figure.low, figure.high, number(figure.value)) for run, figure in figures]
    return bars(figures[0][1].title, values, of=title, maximum=1)


def _costs(title: str, runs: Sequence[TrajectoryExamples], bootstrap: BootstrapOptions) -> Iterator[Block]:
    """Latency and tokens per answered task."""
    costs = [(each, per_answer(each.run, bootstrap)) for each in runs]
    rows: list[Row] = [[each.run.named.title, *_per_answer(each, cost)] for each, cost in costs]
    header = ["run", "answered", *PER_ANSWER.values(), "tokens of all, for each answered"]
    yield Table(f"{title}: cost per answered task", header, rows)
    figures = {each.run.named.title: cost.figures for each, cost in costs}
    yield Gallery(
        [_cost_bars(title, name, {run: costs_of[name] for run, costs_of in figures.items()}) for name in PER_ANSWER]
    )


def _per_answer(each: TrajectoryExamples, cost: PerAnswer) -> list[Cell]:
    """The cells of a run, all of them about its completed trajectories."""
    anchor = end_anchor(each.run, "completed") if cost.answered else None
    texts = [
        f"{cost.answered:,} of {cost.trajectories:,}",
        *map(_cost, cost.figures.values()),
        number(cost.tokens_for_each),
    ]
    return [Cell(text, anchor) for text in texts]


def _cost(figure: CostFigure) -> str:
    return NO_FIGURE if figure.value is None else f"{number(figure.value)} {interval_text(figure)}"


def _cost_bars(title: str, name: str, figures: Mapping[str, CostFigure]) -> Chart:
    values = [Bar(run, each.value, each.low, each.high, number(each.value)) for run, each in figures.items()]
    return bars(f"{PER_ANSWER[name]} per answered task", values, of=title)
