"""How scores and comparisons look on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.plain_text import plain_line
from cli.run_notes import print_left_out, print_trained_on
from evaluation.compare import FEWEST_TRAJECTORIES
from evaluation.metrics import COLUMNS, MISSING_IS_NOTHING
from evaluation.report import ComparedReport, ComparisonReport, DifferenceReport, FigureReport, ScoreReport

SHOWN_IDS = 5
NO_FIGURE = "–"
_VERDICT_STYLES = {"better": "green", "worse": "red", "open": "dim"}


def print_scores(console: Console, report: ScoreReport) -> None:
    """The figures, the decisions, what is missing, and what was spent."""
    about = f"{plain_line(report.run.suite)}: " if report.run else ""
    console.print(Text(f"{about}{_size(report.steps, report.trajectories)}"), soft_wrap=True)
    if report.run:
        print_left_out(console, report.run.left_out)
        print_trained_on(console, report.run.models)
    print_missing(console, report.missing)
    table = figures_table("metric", "name", "figure", "95 %", "n")
    for name, figure in report.figures.items():
        table.add_row(figure.title, name, _number(figure.value), _interval(figure), f"{figure.n:,}")
    console.print(table)
    _print_decisions(console, report)
    _print_costs(console, report)


def print_comparison(console: Console, report: ComparisonReport) -> None:
    """What both are, the figures of both, and the differences."""
    console.print(Text(_size(report.steps, report.trajectories)))
    _print_compared(console, "first", report.first)
    _print_compared(console, "second", report.second)
    print_missing(console, report.first_missing, " in the first")
    print_missing(console, report.second_missing, " in the second")
    table = figures_table("name", "first", "second", "difference", "95 %", "second is", right_from=1)
    for name, item in report.differences.items():
        figures = (name, _number(item.first), _number(item.second))
        verdict = Text(item.verdict, style=_VERDICT_STYLES[item.verdict])
        table.add_row(*figures, _number(item.difference, signed=True), _interval(item, signed=True), verdict)
    console.print(table)
    _print_few(console, report)


def print_missing(console: Console, missing: Sequence[str], where: str = "") -> None:
    """Which cases lack a prediction, and where that is not counted."""
    if missing:
        ids = ", ".join(plain_line(name) for name in missing[:SHOWN_IDS])
        more = ", ..." if len(missing) > SHOWN_IDS else ""
        told = f"without a prediction{where}, counted as wrong: {len(missing):,} ({ids}{more})"
        console.print(Text(told, style="yellow"), soft_wrap=True)
        uncounted = f"  {', '.join(MISSING_IS_NOTHING)} do not count them{', and stay open' if where else ''}"
        console.print(Text(uncounted, style="yellow"), soft_wrap=True)


def _print_compared(console: Console, which: str, compared: ComparedReport | None) -> None:
    if compared is not None:
        models = ", ".join(f"{role} {plain_line(name)}" for role, name in compared.models.items())
        how = "constrained" if compared.constrained else "free"
        console.print(Text(f"{which}: {plain_line(compared.suite)}, {how}; {models}"), soft_wrap=True)


def _print_few(console: Console, report: ComparisonReport) -> None:
    few = [name for name, item in report.differences.items() if item.trajectories < FEWEST_TRAJECTORIES]
    if few:
        which = "all" if len(few) == len(report.differences) else ", ".join(few)
        told = f"open, as fewer than {FEWEST_TRAJECTORIES} trajectories count: {which}"
        console.print(Text(told, style="yellow"), soft_wrap=True)


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


def _size(steps: int, trajectories: int) -> str:
    return f"{steps:,} steps of {trajectories:,} trajectories"


def _number(value: float | None, *, signed: bool = False) -> str:
    return NO_FIGURE if value is None else f"{value:{'+' if signed else ''}.4f}"


def _interval(figure: FigureReport | DifferenceReport, *, signed: bool = False) -> str:
    if figure.low is None or figure.high is None:
        return NO_FIGURE
    return f"{_number(figure.low, signed=signed)} to {_number(figure.high, signed=signed)}"
