"""How whole trajectories look on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.text import Text

from cli.figures_view import NO_FIGURE, figures_table, print_table
from cli.options import output
from cli.plain_text import plain_line
from cli.run_notes import print_excluded, print_trained_on
from cli.written_report import written_report
from evaluation.quantities import pluralize

if TYPE_CHECKING:
    from evaluation.report import FigureReport
    from evaluation.whole_report import WholeReport

# What can be told only where the right answer is known.
JUDGED: Final = ("success", "right")


def print_report(report: WholeReport, file: Path | None, *, as_json: bool) -> None:
    """Write a report to a file, where one is named, and print it."""
    if not written_report(report, file, as_json=as_json):
        print_whole(output(), report)


def print_whole(console: Console, report: WholeReport) -> None:
    """How they ended, and the figures."""
    how_many = pluralize(report.trajectories, "trajectory")
    about = f"{plain_line(report.run.suite)}: {how_many}, strategy {report.run.strategy}"
    console.print(Text(about), soft_wrap=True)
    print_excluded(console, report.run.excluded)
    print_trained_on(console, report.run.models)
    if report.not_asked:
        told = f"not asked yet, counted as neither completed nor right: {report.not_asked:,}"
        console.print(Text(told, style="yellow"), soft_wrap=True)
    ends = ", ".join(f"{plain_line(end)} {count:,}" for end, count in report.ends.items())
    console.print(Text(f"ended: {ends}"), soft_wrap=True)
    whole = figures_table("trajectories", "name", "figure", "95 %", "n")
    roles = figures_table("role", "each trajectory", "figure", "95 %", "n")
    for name, figure in report.figures.items():
        if name in JUDGED and not figure.n:
            continue
        role, dot, _ = name.partition(".")
        words = (role, figure.title) if dot else (figure.title, name)
        numbers = (_number(name, figure.value), _interval(name, figure), f"{figure.n:,}")
        (roles if dot else whole).add_row(*words, *numbers)
    print_table(console, whole)
    console.print()
    print_table(console, roles)


def print_calls(console: Console, counts: Mapping[str, int]) -> None:
    """How calls of a tool server ended, in its own words."""
    told = ", ".join(f"{plain_line(how)} {count:,}" for how, count in sorted(counts.items()))
    console.print(Text(f"calls of the tool server: {told or 'none'}"), soft_wrap=True)


def _number(name: str, value: float | None) -> str:
    from evaluation.whole import SHARES

    if value is None:
        return NO_FIGURE
    if name in SHARES:
        return f"{value:.4f}"
    return f"{value:,.0f}" if name.endswith(("tokens", "_ms")) else f"{value:,.2f}"


def _interval(name: str, figure: FigureReport) -> str:
    if figure.low is None or figure.high is None:
        return NO_FIGURE
    return f"{_number(name, figure.low)} to {_number(name, figure.high)}"
