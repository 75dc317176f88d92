"""A suite of step runs: the runs side by side, and the cost per answered task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from alpha_umi.quantities import pluralize
from evaluation.compare import compare
from evaluation.files.predictions import CostReport
from evaluation.files.published import Pair
from evaluation.files.trajectory_run import TrajectoryRecord
from evaluation.metrics import COLUMNS, METRICS, Metric
from evaluation.official.seal_tools import seal_tools_report
from evaluation.page.blocks import Block, Cell, Chart, Gallery, Paragraph, Row, Section, Table
from evaluation.page.charts import Bar, bars
from evaluation.reporting.format import (
    NO_FIGURE,
    difference_text,
    figure_text,
    number,
    shade,
    suite_command_note,
)
from evaluation.reporting.inputs import BootstrapOptions, TrajectoriesRun, remarks
from evaluation.reporting.step_examples import (
    CLASSES,
    IN_ALL,
    StepExamples,
    class_anchor,
    decision_anchor,
    metric_anchor,
    role_anchor,
)
from evaluation.reporting.step_groups import groups_table
from evaluation.results import ComparisonReport, FigureReport, comparison_report
from evaluation.statistics.bootstrap import intervals, mean, resampled_means, sums_by_trajectory

_DRAWN: Final = frozenset(
    {"plan_em", "action_em", "hallu_rate", "f1", "rouge", "decision_accuracy", "call_match", "argument_validity"}
)


def steps_section(title: str, anchor: str, runs: Sequence[StepExamples], bootstrap: BootstrapOptions) -> Section:
    """Runs over the same cases, with the examples of each."""
    drawn = [metric for metric in METRICS if metric.name in _DRAWN and _has_figure(metric, runs)]
    pictures = [_bars(title, metric, runs) for metric in drawn]
    blocks: list[Block] = [*_about(runs), _figures(title, runs), Gallery(pictures)]
    if len(runs) > 1:
        blocks += [_differences(title, runs, bootstrap), *_groups(title, runs, bootstrap)]
    blocks += [*_of_the_suite(title, runs, bootstrap), *(_decisions(title, each) for each in runs)]
    blocks += [_classes(title, runs), _costs(title, runs)]
    return Section(title, blocks, anchor)


def _about(runs: Sequence[StepExamples]) -> Iterator[Block]:
    report = runs[0].run.report
    yield Paragraph(
        f"{pluralize(report.steps, 'step')} of {pluralize(report.trajectories, 'trajectory')}, the same for every run "
        "here. Intervals are 95 %, drawn over trajectories; n is the number of steps that count."
    )
    yield from suite_command_note(runs[0].run.run.about.suite)
    yield from remarks([each.run for each in runs])


def _figures(title: str, runs: Sequence[StepExamples]) -> Table:
    rows: list[Row] = [[_metric_title(metric), *(_figure(each, metric) for each in runs)] for metric in METRICS]
    header = ["metric", *(each.run.named.title for each in runs)]
    return Table(f"{title}: figures, each with its 95 % interval and n", header, rows)


def _metric_title(metric: Metric[Pair]) -> str:
    return f"{metric.title} (lower is better)" if metric.better == "lower" else metric.title


def _figure(each: StepExamples, metric: Metric[Pair]) -> Cell:
    figure = each.run.report.figures[metric.name]
    if figure.value is None:
        return Cell(NO_FIGURE)
    text = figure_text(figure)
    return Cell(text, metric_anchor(each.run, metric.name))


def _has_figure(metric: Metric[Pair], runs: Sequence[StepExamples]) -> bool:
    return any(each.run.report.figures[metric.name].value is not None for each in runs)


def _bars(title: str, metric: Metric[Pair], runs: Sequence[StepExamples]) -> Chart:
    figures = [(each.run.named.title, each.run.report.figures[metric.name]) for each in runs]
    values = [Bar(name, each.value, each.low, each.high, number(each.value)) for name, each in figures]
    return bars(metric.title, values, of=title, maximum=1, axis=f"{metric.better} is better")


def _differences(title: str, runs: Sequence[StepExamples], bootstrap: BootstrapOptions) -> Table:
    """The paired differences of the others to the first run."""
    first, *others = runs
    reports = [
        comparison_report(compare(first.run.pairs, each.run.pairs, resamples=bootstrap.resamples, seed=bootstrap.seed))
        for each in others
    ]
    rows: list[Row] = [
        [metric.title, *(_difference(each, metric, report) for each, report in zip(others, reports, strict=True))]
        for metric in METRICS
    ]
    header = ["metric", *(each.run.named.title for each in others)]
    return Table(f"{title}: differences from {first.run.named.title}, paired by trajectory", header, rows)


def _groups(title: str, runs: Sequence[StepExamples], bootstrap: BootstrapOptions) -> Iterator[Table]:
    """The differences of each other run from the first one, by groups of steps."""
    first, *others = runs
    for each in others:
        caption = (
            f"{title}: {each.run.named.title} less {first.run.named.title}, by groups of steps; verdicts after Holm's "
            "correction over the table"
        )
        anchor = partial(metric_anchor, each.run)
        yield groups_table(caption, first.run.pairs, each.run.pairs, bootstrap, anchor)


def _difference(each: StepExamples, metric: Metric[Pair], report: ComparisonReport) -> Cell:
    text = difference_text(report.differences[metric.name])
    return Cell(text, _figure(each, metric).anchor if text != NO_FIGURE else None)


def _of_the_suite(title: str, runs: Sequence[StepExamples], bootstrap: BootstrapOptions) -> Iterator[Table]:
    """The suite's own figures."""
    if runs[0].run.run.about.suite.partition(":")[0] != "seal-tools":
        return
    figures = [
        seal_tools_report(each.run.pairs, resamples=bootstrap.resamples, seed=bootstrap.seed).figures for each in runs
    ]
    rows: list[Row] = [
        [figure.title, *(_suite_figure(each, of_run[name]) for each, of_run in zip(runs, figures, strict=True))]
        for name, figure in figures[0].items()
    ]
    header = ["figure", *(each.run.named.title for each in runs)]
    yield Table(f"{title}: Seal-Tools' own figures, each with its 95 % interval over requests and n", header, rows)


def _suite_figure(each: StepExamples, figure: FigureReport) -> Cell:
    """A cell that links to the steps whose calls differ from the reference's."""
    return Cell(figure_text(figure), None if figure.value is None else metric_anchor(each.run, "call_match"))


def _decisions(title: str, each: StepExamples) -> Table:
    """The confusion matrix; a cell is darker, the larger its share of the row."""
    rows: list[Row] = []
    for row, counts in each.run.report.decisions.items():
        total = sum(counts.values())
        cells = [_count(counts[name], decision_anchor(each.run, row, name), total) for name in COLUMNS]
        rows.append([row, *cells, _count(total, decision_anchor(each.run, row, IN_ALL), 0)])
    caption = f"{title}, {each.run.named.title}: right decisions (rows) and predicted ones (columns)"
    return Table(caption, ["right", *COLUMNS, IN_ALL], rows)


def _count(count: int, anchor: str, total: int) -> Cell:
    return Cell(f"{count:,}", anchor if count else None, shade(count, total))


def _classes(title: str, runs: Sequence[StepExamples]) -> Table:
    rows: list[Row] = []
    for name, meaning in CLASSES.items():
        counts = [(each, each.classes.count(name)) for each in runs]
        cells = [_count(count, class_anchor(each.run, name), len(each.classes)) for each, count in counts]
        rows.append([name, meaning, *cells])
    header = ["class", "what it is", *(each.run.named.title for each in runs)]
    return Table(f"{title}: error classes, one per step", header, rows, (0, 1))


def _costs(title: str, runs: Sequence[StepExamples]) -> Table:
    rows: list[Row] = [
        [f"{each.run.named.title}, {role}", *_counts(cost, role_anchor(each.run, role))]
        for each in runs
        for role, cost in each.run.report.costs.items()
    ]
    header = ["role", "texts", "prompt tokens", "written tokens", "shortened", "again", "failed", "median ms", "p95 ms"]
    return Table(f"{title}: tokens and times of each role", header, rows)


def _counts(cost: CostReport, anchor: str) -> list[Cell]:
    tokens = (cost.texts, cost.prompt_tokens, cost.completion_tokens)
    counts = (*tokens, cost.truncated, cost.again, cost.failed, round(cost.median_ms), round(cost.p95_ms))
    return [Cell(f"{count:,}", anchor if count else None) for count in counts]


PER_ANSWER: Final = {
    "seconds": "seconds",
    "prompt_tokens": "prompt tokens",
    "completion_tokens": "written tokens",
}


@dataclass(frozen=True)
class CostFigure:
    """An average over the answered tasks; without answered tasks it has neither value nor interval."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class PerAnswer:
    """The cost of an answered task. `tokens_for_each` is the tokens of all trajectories per answered one."""

    trajectories: int
    answered: int
    figures: Mapping[str, CostFigure]
    tokens_for_each: float | None


def per_answer(run: TrajectoriesRun, bootstrap: BootstrapOptions) -> PerAnswer:
    """The costs of a run. Seconds are those of roles and tools."""
    answered = [record for record in run.run.records if record.trajectory.status == "completed"]
    spent = [sum(_tokens(record)) for record in run.run.records]
    return PerAnswer(
        trajectories=len(run.run.records),
        answered=len(answered),
        figures=_answer_figures(answered, bootstrap) if answered else dict.fromkeys(PER_ANSWER, CostFigure(None)),
        tokens_for_each=sum(spent) / len(answered) if answered else None,
    )


def _answer_figures(answered: list[TrajectoryRecord], bootstrap: BootstrapOptions) -> dict[str, CostFigure]:
    tokens = [[float(_tokens(record)[side]) for record in answered] for side in (0, 1)]
    columns = [list(map(_seconds, answered)), *tokens]
    sums = sums_by_trajectory([record.recorded for record in answered], columns)
    samples = resampled_means(sums, resamples=bootstrap.resamples, seed=bootstrap.seed)
    means = list(map(mean, columns))
    spreads = intervals(sums, samples, means, shares=[False] * len(columns))
    return {
        name: CostFigure(value, spread.low if spread else None, spread.high if spread else None)
        for name, value, spread in zip(PER_ANSWER, means, spreads, strict=True)
    }


def _seconds(record: TrajectoryRecord) -> float:
    return sum(sum(step.latency_ms.model_dump().values()) for step in record.trajectory.steps) / 1000


def _tokens(record: TrajectoryRecord) -> tuple[int, int]:
    return record.trajectory.usage.prompt_tokens, record.trajectory.usage.completion_tokens
