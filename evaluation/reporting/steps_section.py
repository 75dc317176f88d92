"""A suite of steps: the runs over the same cases side by side, with the numbers that lead to their steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

from evaluation.compare import compare
from evaluation.metrics import COLUMNS, METRICS, Metric
from evaluation.page.blocks import Block, Cell, Chart, Gallery, Paragraph, Row, Section, Table
from evaluation.page.charts import Bar, bars
from evaluation.quantities import pluralize
from evaluation.report import ComparisonReport, CostReport, FigureReport, comparison_report
from evaluation.reporting.drawing import Drawing
from evaluation.reporting.error_classes import CLASSES
from evaluation.reporting.own_command import OF_STEPS, own_remark
from evaluation.reporting.remarks import remarks
from evaluation.reporting.step_groups import groups_table
from evaluation.reporting.steps_behind import (
    IN_ALL,
    StepsBehind,
    class_anchor,
    decision_anchor,
    metric_anchor,
    role_anchor,
)
from evaluation.reporting.written import NO_FIGURE, difference_text, figure_text, number, shade
from evaluation.seal_tools import seal_tools_report

_DRAWN: Final = frozenset(
    {"plan_em", "action_em", "hallu_rate", "f1", "rouge", "decision_accuracy", "call_match", "argument_validity"}
)


def steps_section(title: str, anchor: str, runs: Sequence[StepsBehind], drawing: Drawing) -> Section:
    """Runs over the same cases, with the examples of each."""
    drawn = [metric for metric in METRICS if metric.name in _DRAWN and _has_figure(metric, runs)]
    pictures = [_bars(title, metric, runs) for metric in drawn]
    blocks: list[Block] = [*_about(runs), _figures(title, runs), Gallery(pictures)]
    if len(runs) > 1:
        blocks += [_differences(title, runs, drawing), *_groups(title, runs, drawing)]
    blocks += [*_of_the_suite(title, runs, drawing), *(_decisions(title, each) for each in runs)]
    blocks += [_classes(title, runs), _costs(title, runs)]
    return Section(title, blocks, anchor)


def _about(runs: Sequence[StepsBehind]) -> Iterator[Block]:
    report = runs[0].run.report
    yield Paragraph(
        f"{pluralize(report.steps, 'step')} of {pluralize(report.trajectories, 'trajectory')}, the same for every run "
        "here. Intervals are 95 %, drawn over trajectories; n is the number of steps that count."
    )
    yield from own_remark(runs[0].run.run.about.suite, OF_STEPS)
    yield from remarks([each.run for each in runs])


def _figures(title: str, runs: Sequence[StepsBehind]) -> Table:
    rows: list[Row] = [[_metric_title(metric), *(_figure(each, metric) for each in runs)] for metric in METRICS]
    header = ["metric", *(each.run.named.title for each in runs)]
    return Table(f"{title}: figures, each with its 95 % interval and n", header, rows)


def _metric_title(metric: Metric) -> str:
    return f"{metric.title} (lower is better)" if metric.better == "lower" else metric.title


def _figure(each: StepsBehind, metric: Metric) -> Cell:
    figure = each.run.report.figures[metric.name]
    if figure.value is None:
        return Cell(NO_FIGURE)
    text = figure_text(figure)
    return Cell(text, metric_anchor(each.run, metric.name))


def _has_figure(metric: Metric, runs: Sequence[StepsBehind]) -> bool:
    return any(each.run.report.figures[metric.name].value is not None for each in runs)


def _bars(title: str, metric: Metric, runs: Sequence[StepsBehind]) -> Chart:
    figures = [(each.run.named.title, each.run.report.figures[metric.name]) for each in runs]
    values = [Bar(name, each.value, each.low, each.high, number(each.value)) for name, each in figures]
    return bars(metric.title, values, of=title, maximum=1, axis=f"{metric.better} is better")


def _differences(title: str, runs: Sequence[StepsBehind], drawing: Drawing) -> Table:
    """The paired differences of the others to the first run."""
    first, *others = runs
    found = [
        comparison_report(compare(first.run.pairs, each.run.pairs, resamples=drawing.resamples, seed=drawing.seed))
        for each in others
    ]
    rows: list[Row] = [
        [metric.title, *(_difference(each, metric, told) for each, told in zip(others, found, strict=True))]
        for metric in METRICS
    ]
    header = ["metric", *(each.run.named.title for each in others)]
    return Table(f"{title}: what others differ by from {first.run.named.title}, paired by trajectory", header, rows)


def _groups(title: str, runs: Sequence[StepsBehind], drawing: Drawing) -> Iterator[Table]:
    """Where each of the others differs from the first run."""
    first, *others = runs
    for each in others:
        caption = (
            f"{title}: {each.run.named.title} less {first.run.named.title}, by groups of steps; verdicts after Holm's "
            "correction over the table"
        )
        anchor = partial(metric_anchor, each.run)
        yield groups_table(caption, first.run.pairs, each.run.pairs, drawing, anchor)


def _difference(each: StepsBehind, metric: Metric, told: ComparisonReport) -> Cell:
    text = difference_text(told.differences[metric.name])
    return Cell(text, _figure(each, metric).anchor if text != NO_FIGURE else None)


def _of_the_suite(title: str, runs: Sequence[StepsBehind], drawing: Drawing) -> Iterator[Table]:
    """The figures that a suite is measured by itself."""
    if runs[0].run.run.about.suite.partition(":")[0] != "seal-tools":
        return
    found = [seal_tools_report(each.run.pairs, resamples=drawing.resamples, seed=drawing.seed).figures for each in runs]
    rows: list[Row] = [
        [figure.title, *(_suite_figure(each, told[name]) for each, told in zip(runs, found, strict=True))]
        for name, figure in found[0].items()
    ]
    header = ["figure", *(each.run.named.title for each in runs)]
    yield Table(
        f"{title}: as Seal-Tools itself measures, each with its 95 % interval over requests and n", header, rows
    )


def _suite_figure(each: StepsBehind, figure: FigureReport) -> Cell:
    """It leads to the steps whose calls are not the reference's."""
    return Cell(figure_text(figure), None if figure.value is None else metric_anchor(each.run, "call_match"))


def _decisions(title: str, each: StepsBehind) -> Table:
    """The confusion matrix; the darker a cell, the larger its part of the row."""
    rows: list[Row] = []
    for row, counts in each.run.report.decisions.items():
        total = sum(counts.values())
        cells = [_count(counts[name], decision_anchor(each.run, row, name), total) for name in COLUMNS]
        rows.append([row, *cells, _count(total, decision_anchor(each.run, row, IN_ALL), 0)])
    caption = f"{title}, {each.run.named.title}: right decisions (rows) and predicted ones (columns)"
    return Table(caption, ["right", *COLUMNS, IN_ALL], rows)


def _count(count: int, anchor: str, total: int) -> Cell:
    return Cell(f"{count:,}", anchor if count else None, shade(count, total))


def _classes(title: str, runs: Sequence[StepsBehind]) -> Table:
    rows: list[Row] = []
    for name, meaning in CLASSES.items():
        counts = [(each, each.classes.count(name)) for each in runs]
        cells = [_count(count, class_anchor(each.run, name), len(each.classes)) for each, count in counts]
        rows.append([name, meaning, *cells])
    header = ["class", "what it is", *(each.run.named.title for each in runs)]
    return Table(f"{title}: what went wrong, every step in one class", header, rows, (0, 1))


def _costs(title: str, runs: Sequence[StepsBehind]) -> Table:
    rows: list[Row] = [
        [f"{each.run.named.title}, {role}", *_counts(cost, role_anchor(each.run, role))]
        for each in runs
        for role, cost in each.run.report.costs.items()
    ]
    header = ["role", "texts", "prompt tokens", "written tokens", "shortened", "again", "failed", "median ms", "p95 ms"]
    return Table(f"{title}: what each role wrote", header, rows)


def _counts(cost: CostReport, anchor: str) -> list[Cell]:
    tokens = (cost.texts, cost.prompt_tokens, cost.completion_tokens)
    counts = (*tokens, cost.truncated, cost.again, cost.failed, round(cost.median_ms), round(cost.p95_ms))
    return [Cell(f"{count:,}", anchor if count else None) for count in counts]
