"""How drift looks on a terminal: the windows, what is worse, and every figure of the window that counts."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from cli.figures_view import NO_FIGURE, figures_table, print_table
from evaluation.counted import counted
from evaluation.drift.report import DriftReport, format_figure, format_interval, format_time, messages

SHOWN_WINDOWS = 14
STYLES = {"wrong": "red", "well": "green", "unsure": "yellow", "note": "dim"}


def print_drift(console: Console, report: DriftReport) -> None:
    """All of it but the figures of older windows, which the page and the JSON have."""
    _print_windows(console, report)
    _print_alarms(console, report)
    _print_figures(console, report)
    for each in messages(report):
        console.print(Text(each.text, style=STYLES[each.kind]), soft_wrap=True)


def _print_windows(console: Console, report: DriftReport) -> None:
    table = figures_table("window, UTC", "ended", "n", "alarms", right_from=2)
    hidden = len(report.windows) - SHOWN_WINDOWS
    for window in report.windows[-SHOWN_WINDOWS:]:
        ended = ", ".join(f"{status} {count:,}" for status, count in window.statuses.items())
        alarms = "reference" if window.is_reference else f"{len(window.alarms)}" if window.told else NO_FIGURE
        table.add_row(format_time(window.began), ended, f"{window.trajectories:,}", alarms)
    print_table(console, table)
    if hidden > 0:
        console.print(Text(f"and {counted(hidden, 'window')} before them", style="dim"))
    if report.left_out:
        reasons = ", ".join(f"{reason} ({count:,})" for reason, count in report.left_out.items())
        console.print(Text(f"left out: {reasons}", style="yellow"), soft_wrap=True)


def _print_alarms(console: Console, report: DriftReport) -> None:
    rows = [(window, alarm) for window in report.windows[-SHOWN_WINDOWS:] for alarm in window.alarms]
    if not rows:
        return
    console.print()
    table = figures_table("worse in", "role", "figure", "reference", "then", "difference", right_from=3)
    for window, alarm in rows:
        name = f"{alarm.role}.{alarm.figure}"
        figures = (format_figure(alarm.reference, name), format_figure(alarm.value, name), format_interval(alarm, name))
        table.add_row(format_time(window.began), alarm.role, alarm.figure, *figures)
    print_table(console, table)


def _print_figures(console: Console, report: DriftReport) -> None:
    """Of the newest window that goes wrong, else of the newest full one."""
    judged, reference = report.judged_windows or report.windows[-1:], report.reference
    shown_window = next((window for window in reversed(judged) if window.alarms), judged[0])
    console.print()
    table = figures_table("role", "figure", "reference", format_time(shown_window.began), "95 %", "n", right_from=2)
    for name, figure in shown_window.figures.items():
        role, _, key = name.partition(".")
        before = reference.figures.get(name)
        shown = NO_FIGURE if before is None else format_figure(before.value, name)
        table.add_row(
            role, key, shown, format_figure(figure.value, name), format_interval(figure, name), f"{figure.n:,}"
        )
    print_table(console, table)
