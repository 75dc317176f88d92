"""What more data brought: metrics over the tokens that a variant was trained with, suite by suite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from evaluation.metrics import METRICS, Metric
from evaluation.page.blocks import Block, Chart, Gallery, Paragraph, Section
from evaluation.page.charts import Line, lines
from evaluation.report import FigureReport
from evaluation.reporting.given import StepsRun
from evaluation.reporting.trainings import Training, training_of

_DRAWN: Final = frozenset({"plan_em", "action_em", "f1", "rouge"})
Made = tuple[StepsRun, Training]


def scaling_section(runs: Sequence[StepsRun], trainings: Sequence[Training]) -> Section:
    """The curves, or how to have them."""
    made = [(run, training) for run in runs if (training := training_of(run, trainings)) is not None]
    curves = [chart for metric in METRICS if metric.name in _DRAWN for chart in _curves(metric, made)]
    blocks: list[Block] = [Gallery(curves)] if curves else [Paragraph(_HOW)]
    return Section("More data: figures over the amount of training", blocks, "scaling")


def _curves(metric: Metric, made: Sequence[Made]) -> Iterator[Chart]:
    """One for each suite: only runs over the same cases stand in one picture."""
    for (suite, cases), of_suite in groupby(sorted(made, key=_cases), _cases):
        if series := list(_series(metric, list(of_suite))):
            of = f"{suite}, cases {cases[:8]}"
            yield lines(f"{suite}: {metric.title}", series, of=of, x="tokens of training, all stages", y=metric.title)


def _series(metric: Metric, made: Sequence[Made]) -> Iterator[Line]:
    """A line for each variant and mode of which at least two amounts are there."""
    for name, group in groupby(sorted(made, key=lambda each: (_told(each), each[1].costs.tokens)), _told):
        points = [(training.costs.tokens, run.report.figures[metric.name]) for run, training in group]
        if len({tokens for tokens, figure in points if figure.value is not None}) > 1:
            yield _line(name, [(tokens, figure) for tokens, figure in points if figure.value is not None])


def _line(name: str, points: Sequence[tuple[int, FigureReport]]) -> Line:
    figures = [figure for _, figure in points]
    values = [figure.value or 0.0 for figure in figures]
    lows = [value if figure.low is None else figure.low for figure, value in zip(figures, values, strict=True)]
    highs = [value if figure.high is None else figure.high for figure, value in zip(figures, values, strict=True)]
    return Line(name, [tokens for tokens, _ in points], values, lows, highs)


def _cases(each: Made) -> tuple[str, str]:
    return each[0].run.about.suite, each[0].cases_digest


def _told(each: Made) -> str:
    return f"{each[1].costs.variant}, {each[0].mode}"


_HOW = (
    "No curve: it takes runs over the same steps, of one variant that was trained with different amounts. Train the "
    "variant more than once with another --max-tokens, generate a run for each, and give all of them together with "
    "--training FOLDER for each training. Runs find their trainings by what the manifests of their models say."
)
