"""How a comparison looks on a terminal, and what a gate says of it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from cli.evaluation_tables import SHOWN_IDS, print_missing
from cli.figures_view import NO_FIGURE, ends, figures_table, number, print_table, size
from cli.plain_text import plain_line
from evaluation.counted import counted
from evaluation.report import ComparedReport, ComparisonReport, GateReport
from evaluation.statistics import Correction
from evaluation.statistics.paired import FEWEST_TRAJECTORIES

_VERDICT_STYLES = {"better": "green", "worse": "red", "open": "dim"}


def print_comparison(console: Console, report: ComparisonReport) -> None:
    """What both are, the figures of both, and the differences."""
    whole = report.steps is None
    told = counted(report.trajectories, "whole trajectory") if whole else size(report.steps or 0, report.trajectories)
    console.print(Text(told))
    _print_compared(console, "first", report.first)
    _print_compared(console, "second", report.second)
    print_lacking = _print_not_asked if whole else print_missing
    print_lacking(console, report.first_missing, " in the first")
    print_lacking(console, report.second_missing, " in the second")
    table = figures_table("name", "first", "second", "difference", "95 %", "second is", right_from=1)
    for name, item in report.differences.items():
        figures = (name, number(item.first), number(item.second))
        verdict = Text(item.verdict, style=_VERDICT_STYLES[item.verdict])
        table.add_row(*figures, number(item.difference, signed=True), ends(item, signed=True), verdict)
    print_table(console, table)
    _print_few(console, report)


def print_gate(console: Console, compared: ComparisonReport, report: GateReport) -> None:
    """Whether it is passed, by how much it is not, and what the sample was too small for."""
    looks = "1 figure" if len(report.figures) == 1 else f"{len(report.figures)} figures"
    how = " after Holm's correction" if report.correction is Correction.HOLM and len(report.figures) > 1 else ""
    if report.passed:
        console.print(Text(f"gate passed: none of {looks} is worse beyond the interval{how}", style="green"))
    else:
        console.print(Text(f"gate failed: {len(report.worse)} of {looks} worse beyond the interval{how}", style="red"))
    for name in report.worse:
        console.print(Text(f"  {_worse(name, compared, report)}", style="red"), soft_wrap=True)
    table = figures_table("name", "gate", "interval", "held to", "shows a fall of", right_from=2)
    for name, figure in report.figures.items():
        held, smallest = f"{100 * figure.confidence:.1f} %", number(figure.smallest_fall)
        verdict = Text(figure.verdict, style=_VERDICT_STYLES[figure.verdict])
        table.add_row(name, verdict, ends(figure, signed=True), held, smallest)
    print_table(console, table)
    if report.unnoticed:
        which = "any figure" if len(report.unnoticed) == len(report.figures) else ", ".join(report.unnoticed)
        told = (
            f"too few trajectories to show a fall of {100 * report.notice:g} points in {which}: a larger --limit would"
        )
        console.print(Text(told, style="yellow"), soft_wrap=True)


def _worse(name: str, compared: ComparisonReport, report: GateReport) -> str:
    """By how much a figure is worse."""
    item = compared.differences[name]
    way = f"{number(item.first)} to {number(item.second)}"
    interval = ends(report.figures[name], signed=True)
    return f"{name} is worse by {number(abs(item.difference or 0))}: {way}, interval of the difference {interval}"


def _print_compared(console: Console, which: str, compared: ComparedReport | None) -> None:
    if compared is None:
        return
    models = ", ".join(f"{role} {plain_line(name)}" for role, name in compared.models.items()) or NO_FIGURE
    grammars = {True: "constrained", False: "free", None: "inside grammars or not is unknown"}[compared.constrained]
    how = grammars if compared.strategy is None else f"strategy {compared.strategy}, {grammars}"
    console.print(Text(f"{which}: {plain_line(compared.suite)}, {how}; {models}"), soft_wrap=True)


def _print_not_asked(console: Console, missing: Sequence[str], where: str) -> None:
    if missing:
        ids = ", ".join(plain_line(name) for name in missing[:SHOWN_IDS])
        more = ", ..." if len(missing) > SHOWN_IDS else ""
        told = f"not asked{where}, counted as neither completed nor right: {len(missing):,} ({ids}{more})"
        console.print(Text(told, style="yellow"), soft_wrap=True)
        console.print(Text("  all other figures stay open", style="yellow"), soft_wrap=True)


def _print_few(console: Console, report: ComparisonReport) -> None:
    few = [name for name, item in report.differences.items() if item.trajectories < FEWEST_TRAJECTORIES]
    if few:
        which = "all" if len(few) == len(report.differences) else ", ".join(few)
        told = f"open, as fewer than {FEWEST_TRAJECTORIES} trajectories count: {which}"
        console.print(Text(told, style="yellow"), soft_wrap=True)
