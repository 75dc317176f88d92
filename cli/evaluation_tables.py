"""How scores look on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from cli.figures_view import figures_table, print_figures, print_table, size
from cli.plain_text import plain_line
from cli.run_notes import print_excluded, print_trained_on
from evaluation.metrics import COLUMNS, MISSING_IS_NOTHING
from evaluation.report import ScoreReport

SHOWN_IDS = 5


def print_scores(console: Console, report: ScoreReport) -> None:
    """The figures, the decisions, what is missing, and what was spent."""
    about = f"{plain_line(report.run.suite)}: " if report.run else ""
    console.print(Text(f"{about}{size(report.steps, report.trajectories)}"), soft_wrap=True)
    if report.run:
        print_excluded(console, report.run.excluded)
        print_trained_on(console, report.run.models)
    print_missing(console, report.missing)
    print_figures(console, report.figures)
    _print_decisions(console, report)
    _print_costs(console, report)


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
    print_table(console, table)


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
    print_table(console, table)
