"""Drift as an HTML page: alarms with example trajectories, and every metric over time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Final

from alpha_umi.contract.trajectories import StepModel, Trajectory
from evaluation.drift.report import (
    NO_FIGURE,
    AlarmReport,
    DriftReport,
    WindowReport,
    format_figure,
    format_interval,
    format_time,
    messages,
)
from evaluation.drift.windows import Drift, Window, figure_of
from evaluation.page.blocks import Block, Cell, Chart, Fold, Gallery, Paragraph, Section, Table, verbatim
from evaluation.page.charts import Line, lines
from evaluation.page.html import render_page
from evaluation.results import FigureReport

EXAMPLES: Final = 3
RULE: Final = (
    "A role has an alarm where one of its figures is worse than in the reference, and the interval of the difference "
    "excludes 0. All figures of a window are tested as one family (Holm's procedure), so that few windows that are "
    "like the reference raise an alarm. Below 20 trajectories there is no verdict. The newest full window counts: "
    "its time is over, and it has 20 trajectories. A window that still runs can add an alarm, and remove none."
)


def drift_page(drift: Drift, report: DriftReport) -> str:
    """The HTML page."""
    return render_page("Live traffic", list(_sections(drift, report)))


def _sections(drift: Drift, report: DriftReport) -> Iterator[Section]:
    yield Section("What goes wrong", [Paragraph(RULE), *_messages(report), *_alarms(drift, report)], anchor="alarms")
    yield Section("Windows", [_windows_table(report), *_excluded(report)], anchor="windows")
    roles = dict.fromkeys(name.partition(".")[0] for window in report.windows for name in window.figures)
    for role in roles:
        title = "Whole trajectories" if role == "all" else f"The {role}"
        yield Section(title, list(_role(role, report)), anchor=f"role-{role}")


def _messages(report: DriftReport) -> Iterator[Block]:
    for each in messages(report):
        yield Paragraph(f"{each.text[0].upper()}{each.text[1:]}.", warning=each.kind in ("alarm", "inconclusive"))


def _alarms(drift: Drift, report: DriftReport) -> Iterator[Block]:
    rows, folds = [], []
    newest_first = reversed(list(enumerate(zip(drift.windows, report.windows, strict=True))))
    for place, (window, record) in newest_first:
        for alarm in record.alarms:
            anchor = f"alarm-{place}-{alarm.role}-{alarm.figure}"
            rows.append(_alarm_row(record, alarm, anchor))
            folds.append(
                Fold(f"{format_time(record.began)}, {alarm.role}: {alarm.title}", _examples(window, alarm), anchor)
            )
    if rows:
        yield Table("Alarms", ("window", "role", "figure", "reference", "now", "difference"), rows, texts=(0, 1, 2))
        yield from folds


def _alarm_row(window: WindowReport, alarm: AlarmReport, anchor: str) -> list[Cell | str]:
    name = f"{alarm.role}.{alarm.figure}"
    numbers = [format_figure(alarm.reference, name), format_figure(alarm.value, name), format_interval(alarm, name)]
    return [format_time(window.began), alarm.role, Cell(alarm.title, anchor), *numbers]


def _examples(window: Window, alarm: AlarmReport) -> list[Block]:
    """The trajectories with the highest values."""
    of = figure_of(f"{alarm.role}.{alarm.figure}").of
    pluralize = sorted(((of(each)[0], each) for each in window.trajectories), key=lambda pair: -pair[0])
    shown = [each for much, each in pluralize if much][:EXAMPLES]
    return [Fold(f"{each.id}: {each.status}", list(_trajectory(each))) for each in shown]


def _trajectory(trajectory: Trajectory) -> Iterator[Block]:
    yield verbatim("Instruction", trajectory.instruction)
    for step in trajectory.steps:
        yield verbatim(f"Step {step.index + 1}: {step.next}", _step(step))
    if trajectory.answer is not None:
        yield verbatim("Answer", trajectory.answer)
    if trajectory.error is not None:
        yield verbatim("Error", f"{trajectory.error.code}: {trajectory.error.detail}")


def _step(step: StepModel) -> str:
    parts = [step.thought]
    if step.action is not None:
        parts.append(f"{step.action.name}({json.dumps(step.action.arguments, ensure_ascii=False)})")
    if step.observation is not None:
        parts.append(("error: " if step.observation.is_error else "") + step.observation.content)
    return "\n".join(parts)


def _windows_table(report: DriftReport) -> Table:
    rows = [
        [format_time(window.began), f"{window.trajectories:,}", _statuses(window), _verdict(window)]
        for window in reversed(report.windows)
    ]
    reference = report.reference
    period = f"{format_time(reference.began)} to {format_time(reference.ends)}"
    rows.insert(0, [f"reference: {period}", f"{reference.trajectories:,}", _statuses(reference), ""])
    return Table("Windows by the time at which trajectories began, UTC", ("began", "n", "ended", ""), rows, (0, 2, 3))


def _excluded(report: DriftReport) -> Iterator[Block]:
    if report.excluded:
        reasons = ", ".join(f"{reason} ({count:,})" for reason, count in report.excluded.items())
        yield Paragraph(f"Left out: {reasons}.")


def _role(role: str, report: DriftReport) -> Iterator[Block]:
    names = dict.fromkeys(name for window in report.windows for name in window.figures if name.startswith(f"{role}."))
    charts = [chart for name in names if (chart := _chart(name, report)) is not None]
    if charts:
        yield Gallery(charts)
    header = ("figure", "reference", *(format_time(window.began) for window in reversed(report.windows)))
    yield Table(f"{role}: each figure with its 95 % interval and n", header, [_row(name, report) for name in names])


def _row(name: str, report: DriftReport) -> list[Cell | str]:
    cells = [Cell(_cell(report.reference.figures.get(name), name))]
    for window in reversed(report.windows):
        alarmed = any(f"{alarm.role}.{alarm.figure}" == name for alarm in window.alarms)
        cells.append(Cell(_cell(window.figures.get(name), name), shade=4 if alarmed else 0))
    return [figure_of(name).title, *cells]


def _chart(name: str, report: DriftReport) -> Chart | None:
    """A metric over time with the reference; None with fewer than two values, or if all are 0."""
    figure = figure_of(name)
    points = [
        (window.began, figure_at) for window in report.windows if _has_value(figure_at := window.figures.get(name))
    ]
    if len(points) < 2 or not any(figure_at.value for _, figure_at in points if figure_at):
        return None
    scale, unit = (100.0, "%") if figure.is_share else (1.0, figure.title)
    first = report.windows[0].began
    days = [(began - first).total_seconds() / 86_400 for began, _ in points]
    series = [Line("served", days, *_columns([figure_at for _, figure_at in points if figure_at], scale))]
    reference = report.reference.figures.get(name)
    if reference is not None and reference.value is not None:
        series.append(Line("reference", [days[0], days[-1]], [reference.value * scale] * 2))
    role = "trajectories" if figure.role == "all" else figure.role
    return lines(f"{role}: {figure.title}", series, x=f"days since {format_time(first)}", y=unit)


def _has_value(figure: FigureReport | None) -> bool:
    return figure is not None and figure.value is not None


def _columns(figures: Sequence[FigureReport], scale: float) -> tuple[list[float], list[float], list[float]]:
    """Values and the bounds of their intervals; the value itself if it has no interval."""
    values = [(figure.value or 0) * scale for figure in figures]
    lows = [value if each.low is None else each.low * scale for value, each in zip(values, figures, strict=True)]
    highs = [value if each.high is None else each.high * scale for value, each in zip(values, figures, strict=True)]
    return values, lows, highs


def _cell(figure: FigureReport | None, name: str) -> str:
    if figure is None or figure.value is None:
        return NO_FIGURE
    ends = "" if figure.low is None else f" ({format_interval(figure, name)})"
    return f"{format_figure(figure.value, name)}{ends}; {figure.n:,}"


def _statuses(window: WindowReport) -> str:
    return ", ".join(f"{status} {count:,}" for status, count in window.statuses.items())


def _verdict(window: WindowReport) -> str:
    if window.is_reference:
        return "the reference"
    so_far = "" if window.over else "so far "
    if not window.evaluated:
        return f"{so_far}too few to say"
    return so_far + (", ".join(f"{alarm.role}: {alarm.title}" for alarm in window.alarms) or "as the reference")
