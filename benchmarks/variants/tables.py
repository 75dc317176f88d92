"""Variants side by side as Markdown: what they did on a suite."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final

from alpha_umi.roles.planner import DECISIONS
from benchmarks.results.tables import NO_FIGURE, difference_cell, figure_cells, table
from benchmarks.variants.figures import Measured
from benchmarks.variants.runs import SINGLE
from evaluation.files.published import Pair
from evaluation.metrics import COLUMNS, METRICS, PUBLISHED, Metric
from evaluation.results import DifferenceReport, FigureReport
from evaluation.statistics.paired import Verdict

# The paper's, and whether what was called can be executed; the parts of Arg. F1 stand in the whole reports.
_SHOWN = ("plan_em", "action_em", "hallu_rate", "f1", "rouge", "argument_validity")
SHOWN: Final[tuple[Metric[Pair], ...]] = tuple(metric for metric in METRICS if metric.name in _SHOWN)
PAPER: Final[tuple[str, ...]] = tuple(metric.title for metric in SHOWN if metric in PUBLISHED)
PLACES: Final[dict[Verdict, str]] = {"better": "**ahead**", "worse": "**behind**", "inconclusive": "open"}


def variants_table(found: Sequence[Measured], *, seeds: bool) -> str:
    """Every variant, and below each how it differs from Single-LLM; `seeds` tells them apart by their seed, too."""
    header = ["variant", *(f"{metric.title} (95 %; n)" for metric in SHOWN)]
    return table(header, [row for each in found for row in _rows(each, seeds)])


def decisions_table(found: Sequence[Measured], *, seeds: bool) -> str:
    """What was decided, by what would have been right: `caller / conclusion / give up / unreadable / missing`."""
    header = ["decided", *(f"where {decision} was right" for decision in DECISIONS)]
    rows = [[_name(each, seeds), *(_decided(each, decision) for decision in DECISIONS)] for each in found]
    return table(header, rows)


def seeds_table(found: Sequence[Measured]) -> str:
    """The mean over the seeds of a variant, the lowest and the highest, and how often it is ahead of Single-LLM."""
    ordered = sorted(found, key=lambda each: each.mode)
    groups = groupby(ordered, key=lambda each: (each.mode, each.run.variant))
    rows = [[f"{mode}: {variant}", *_over_seeds(list(group))] for (mode, variant), group in groups]
    return table(["variant", "seeds", *(f"{metric.title} (lowest to highest)" for metric in SHOWN)], rows)


def _rows(each: Measured, seeds: bool) -> Iterator[list[str]]:
    yield [_name(each, seeds), *(_figure(each.scores.figures[metric.name]) for metric in SHOWN)]
    if each.beside is not None:
        differences = (each.beside.differences[metric.name] for metric in SHOWN)
        yield [f"less {SINGLE}", *map(_difference, differences)]


def _name(each: Measured, seeds: bool) -> str:
    return f"{each.mode}: {each.run.variant}" + (f", seed {each.run.seed}" if seeds else "")


def _figure(figure: FigureReport) -> str:
    value, ends, n = figure_cells(figure)
    return f"{value} ({ends}; {n})"


def _difference(item: DifferenceReport) -> str:
    ends = None if item.low is None or item.high is None else (item.low, item.high)
    return difference_cell(item.difference, ends, PLACES[item.verdict])


def _decided(each: Measured, right: str) -> str:
    counts = each.scores.decisions[right]
    return " / ".join(f"{counts[column]:,}" for column in COLUMNS)


def _over_seeds(found: Sequence[Measured]) -> Iterable[str]:
    yield f"{len(found)}"
    for metric in SHOWN:
        values = [value for each in found if (value := each.scores.figures[metric.name].value) is not None]
        yield _spread(values) + _ahead(found, metric.name)


def _spread(values: Sequence[float]) -> str:
    if not values:
        return NO_FIGURE
    return f"{100 * statistics.mean(values):.1f} ({100 * min(values):.1f} to {100 * max(values):.1f})"


def _ahead(found: Sequence[Measured], metric: str) -> str:
    compared = [each.beside.differences[metric].verdict for each in found if each.beside is not None]
    return f", ahead in {compared.count('better')} of {len(compared)}" if compared else ""
