"""Drift as JSON: the reference, every window, and the roles with an alarm; and the messages for people.

The newest window that is over and has enough trajectories is evaluated, and later windows with enough trajectories. A
later window can add an alarm and remove none, because it has seen less. Otherwise a job that runs just after midnight
would evaluate only a window that has just begun.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from alpha_umi.contract.roles import WireModel
from alpha_umi.quantities import pluralize
from evaluation.drift.figures import figures
from evaluation.drift.windows import Drift, Window, figure_of
from evaluation.results import FigureReport
from evaluation.statistics.bootstrap import Interval
from evaluation.statistics.gate import GatedFigure
from evaluation.statistics.paired import MIN_TRAJECTORIES


class AlarmReport(WireModel):
    """A metric of a role that is worse than in the reference, with the interval of the difference."""

    role: str
    figure: str
    title: str
    reference: float | None
    value: float | None
    difference: float | None
    low: float | None
    high: float | None
    confidence: float


class WindowReport(WireModel):
    """A time window: its trajectories, their outcomes, every metric, and those that are worse than in the reference.

    `over`: its time has passed, so that no trajectory can join it. `evaluated` is false where it or the reference has
    too few trajectories for a verdict. `is_reference`: it is part of the reference.
    """

    began: datetime
    ends: datetime
    trajectories: int
    statuses: dict[str, int]
    figures: dict[str, FigureReport]
    is_reference: bool
    over: bool
    evaluated: bool
    alarms: list[AlarmReport]


class DriftReport(WireModel):
    """`evaluate drift`. `evaluated_windows`: start times of the windows that count; `alarming_roles`: alarms there."""

    window_s: int
    reference: WindowReport
    windows: list[WindowReport]
    evaluated_windows: list[datetime]
    alarming_roles: list[str]
    excluded: dict[str, int]
    resamples: int
    seed: int

    @property
    def current_windows(self) -> list[WindowReport]:
        """The windows that count: the newest full one, and those after it with enough trajectories."""
        return [window for window in self.windows if window.began in self.evaluated_windows]


def drift_report(drift: Drift, excluded: Mapping[str, int], *, now: datetime, resamples: int, seed: int) -> DriftReport:
    """The report. A window is over if it ends at `now` or before."""
    enough = len(drift.reference.trajectories) >= MIN_TRAJECTORIES
    windows = [_window(window, now, enough=enough) for window in drift.windows]
    evaluated_windows = _current(windows)
    return DriftReport(
        window_s=int(drift.length.total_seconds()),
        reference=_window(drift.reference, now, enough=enough),
        windows=windows,
        evaluated_windows=[window.began for window in evaluated_windows],
        alarming_roles=list(dict.fromkeys(alarm.role for window in evaluated_windows for alarm in window.alarms)),
        excluded=dict(excluded),
        resamples=resamples,
        seed=seed,
    )


def _current(windows: Sequence[WindowReport]) -> list[WindowReport]:
    """The newest full window and those after it; without a full one, all windows with enough trajectories."""
    evaluated = [window for window in windows if window.evaluated]
    full = [place for place, window in enumerate(evaluated) if window.over]
    return evaluated[full[-1] if full else 0 :]


def _window(window: Window, now: datetime, *, enough: bool) -> WindowReport:
    held = window.against
    return WindowReport(
        began=window.began,
        ends=window.ends,
        trajectories=len(window.trajectories),
        statuses=dict(sorted(Counter(each.status for each in window.trajectories).items())),
        figures=_figures(window),
        is_reference=held is None,
        over=window.ends <= now,
        evaluated=held is not None and enough and len(window.trajectories) >= MIN_TRAJECTORIES,
        alarms=[] if held is None else [_alarm(figure) for figure in held.worse],
    )


def _figures(window: Window) -> dict[str, FigureReport]:
    """The counts that are not zero."""
    measured = window.measured
    columns = zip(figures(), measured.values, measured.intervals, measured.counts, strict=True)
    return {
        figure.name: FigureReport(title=figure.title, value=value, **_ends(interval), n=count)
        for figure, value, interval, count in columns
        if count
    }


def _alarm(figure: GatedFigure) -> AlarmReport:
    role, _, key = figure.item.metric.name.partition(".")
    return AlarmReport(
        role=role,
        figure=key,
        title=figure.item.metric.title,
        reference=figure.item.first,
        value=figure.item.second,
        difference=figure.item.difference,
        **_ends(figure.interval),
        confidence=figure.confidence,
    )


def _ends(interval: Interval | None) -> dict[str, float | None]:
    return {"low": None, "high": None} if interval is None else {"low": interval.low, "high": interval.high}


NO_FIGURE: Final = "–"


@dataclass(frozen=True)
class Message:
    """A sentence about the windows that count, without a full stop. `inconclusive`: no window counts."""

    text: str
    kind: Literal["alarm", "ok", "inconclusive", "note"]


def messages(report: DriftReport) -> Iterator[Message]:
    """The result as a sentence."""
    evaluated_windows = report.current_windows
    alarming_roles = [window for window in evaluated_windows if window.alarms]
    for window in alarming_roles:
        roles = ", ".join(dict.fromkeys(alarm.role for alarm in window.alarms))
        yield Message(f"going wrong in {_named(window)}: {roles}", "alarm")
    if not evaluated_windows:
        needed = f"it needs {MIN_TRAJECTORIES} trajectories, and a reference of as many before it"
        yield Message(f"no window has a verdict: {needed}", "inconclusive")
    elif not alarming_roles:
        yield Message(f"nothing is worse in {_named(evaluated_windows[0])}, than in the reference", "ok")
    newer = [
        window
        for window in report.windows
        if evaluated_windows and window.began > evaluated_windows[0].began and not window.evaluated
    ]
    if newer:
        yield Message(f"too few trajectories for a verdict: {pluralize(len(newer), 'newer window')}", "note")


def _named(window: WindowReport) -> str:
    return f"the {'newest full' if window.over else 'running'} window, {format_time(window.began)}"


def format_figure(value: float | None, name: str) -> str:
    """A value of the metric with this name: a share in percent, any other value unchanged."""
    if value is None:
        return NO_FIGURE
    if figure_of(name).is_share:
        return f"{100 * value:.1f} %"
    return f"{value:,.1f}" if abs(value) < 100 else f"{value:,.0f}"


def format_interval(figure: FigureReport | AlarmReport, name: str) -> str:
    """The bounds of its interval."""
    if figure.low is None or figure.high is None:
        return NO_FIGURE
    return f"{format_figure(figure.low, name)} to {format_figure(figure.high, name)}"


def format_time(moment: datetime) -> str:
    """A time, to the minute; midnight as the date alone."""
    return f"{moment:%Y-%m-%d}" if (moment.hour, moment.minute) == (0, 0) else f"{moment:%Y-%m-%d %H:%M}"
