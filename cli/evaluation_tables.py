"""How scores look on a terminal, and the parts that tables of figures share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.plain_text import plain_line
from cli.run_notes import print_left_out, print_trained_on
from evaluation.counted import counted
from evaluation.metrics import COLUMNS, MISSING_IS_NOTHING
from evaluation.report import DifferenceReport, FigureReport, GatedReport, ScoreReport

SHOWN_IDS = 5
NO_FIGURE = "–"


def print_scores(console: Console, report: ScoreReport) -> None:
    """The figures, the decisions, what is missing, and what was spent."""
    about = f"{plain_line(report.run.suite)}: " if report.run else ""
    console.print(Text(f"{about}{size(report.steps, report.trajectories)}"), soft_wrap=True)
    if report.run:
        print_left_out(console, report.run.left_out)
        print_trained_on(console, report.run.models)
    print_missing(console, report.missing)
    print_figures(console, report.figures)
    _print_decisions(console, report)
    _print_costs(console, report)


def print_figures(console: Console, figures: Mapping[str, FigureReport]) -> None:
    """Figures by their names, each with its interval and what it is an average of."""
    table = figures_table("metric", "name", "figure", "95 %", "n")
    for name, figure in figures.items():
        table.add_row(figure.title, name, number(figure.value), ends(figure), f"{figure.n:,}")
    console.print(table)


def print_missing(console: Console, missing: Sequence[str], where: str = "") -> None:
    """Which cases lack a prediction, and where that is not counted."""
    if missing:
        ids = ", ".join(plain_line(name) for name in missing[:SHOWN_IDS])
        more = ", ..." if len(missing) > SHOWN_IDS else ""
        told = f"without a prediction{where}, counted as wrong: {len(missing):,} ({ids}{more})"
        console.print(Text(told, style="yellow"), soft_wrap=True)
        uncounted = f"  {', '.join(MISSING_IS_NOTHING)} do not count them{', and stay open' if where else ''}"
        console.print(Text(uncounted, style="yellow"), soft_wrap=True)


def _print_decisions(console: Console, report: ScoreReport) -> None:
    console.print(Text("\nright decision (rows), predicted decision (columns)", style="dim"))
    table = figures_table("", *COLUMNS, right_from=1)
    for row, counts in report.decisions.items():
        table.add_row(row, *(f"{counts[column]:,}" for column in COLUMNS))
    console.print(table)


def _print_costs(console: Console, report: ScoreReport) -> None:
    if not report.costs:
        return
    console.print()
    counted = ("texts", "tokens in", "out", "shortened", "again", "failed")
    table = figures_table("role", *counted, "median ms", "p95 ms", right_from=1)
    for role, cost in report.costs.items():
        tokens = (cost.texts, cost.prompt_tokens, cost.completion_tokens)
        counts = (*tokens, cost.truncated, cost.again, cost.failed)
        table.add_row(role, *(f"{count:,}" for count in (*counts, round(cost.median_ms), round(cost.p95_ms))))
    console.print(table)


def figures_table(*columns: str, right_from: int = 2) -> Table:
    """A table whose first columns are words, and the others numbers."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place >= right_from else "left", no_wrap=True)
    return table


def size(steps: int, trajectories: int) -> str:
    """How much was measured."""
    return f"{counted(steps, 'step')} of {counted(trajectories, 'trajectory')}"


def number(value: float | None, *, signed: bool = False) -> str:
    """A figure with four digits, or the mark of none."""
    return NO_FIGURE if value is None else f"{value:{'+' if signed else ''}.4f}"


def ends(figure: FigureReport | DifferenceReport | GatedReport, *, signed: bool = False) -> str:
    """The ends of its interval."""
    if figure.low is None or figure.high is None:
        return NO_FIGURE
    return f"{number(figure.low, signed=signed)} to {number(figure.high, signed=signed)}"
