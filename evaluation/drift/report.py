"""Drift as JSON: the reference, every window, and which roles go wrong.

A report made just after midnight holds a window that has just begun. If that one counted alone, a job that runs then
would never hear of an alarm: so the newest window that is over and has enough trajectories counts, and a later one can
add an alarm, but silence none, since it has seen less.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from alpha_umi.contract.roles import WireModel
from evaluation.counted import counted
from evaluation.drift.figures import figures
from evaluation.drift.windows import Drift, Window, figure_of
from evaluation.results import FigureReport
from evaluation.statistics.bootstrap import Interval
from evaluation.statistics.gate import GatedFigure
from evaluation.statistics.paired import FEWEST_TRAJECTORIES


class AlarmReport(WireModel):
    """A figure of a role that is worse than in the reference, with the interval of the difference."""

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
    """A time: its trajectories, how they ended, every figure, and what is worse than in the reference.

    `over`: its time is over, so that no trajectory can come to it. `told` is false where too few trajectories are in
    it, or in the reference, for a verdict. `is_reference`: the reference was made of it.
    """

    began: datetime
    ends: datetime
    trajectories: int
    statuses: dict[str, int]
    figures: dict[str, FigureReport]
    is_reference: bool
    over: bool
    told: bool
    alarms: list[AlarmReport]


class DriftReport(WireModel):
    """`evaluate drift`. `judged` are the begins of the windows that count, `wrong` the roles with an alarm in these."""

    window_s: int
    reference: WindowReport
    windows: list[WindowReport]
    judged: list[datetime]
    wrong: list[str]
    left_out: dict[str, int]
    resamples: int
    seed: int

    @property
    def judged_windows(self) -> list[WindowReport]:
        """The windows that count: the newest full one, and those after it with enough trajectories."""
        return [window for window in self.windows if window.began in self.judged]


def drift_report(drift: Drift, left_out: Mapping[str, int], *, now: datetime, resamples: int, seed: int) -> DriftReport:
    """All of it. A window is over if it ends at `now` or before."""
    enough = len(drift.reference.trajectories) >= FEWEST_TRAJECTORIES
    windows = [_window(window, now, enough=enough) for window in drift.windows]
    judged = _judged(windows)
    return DriftReport(
        window_s=int(drift.length.total_seconds()),
        reference=_window(drift.reference, now, enough=enough),
        windows=windows,
        judged=[window.began for window in judged],
        wrong=list(dict.fromkeys(alarm.role for window in judged for alarm in window.alarms)),
        left_out=dict(left_out),
        resamples=resamples,
        seed=seed,
    )


def _judged(windows: Sequence[WindowReport]) -> list[WindowReport]:
    """The newest full window and what is after it; of windows too short ago for one, all that something is told of."""
    told = [window for window in windows if window.told]
    full = [place for place, window in enumerate(told) if window.over]
    return told[full[-1] if full else 0 :]


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
        told=held is not None and enough and len(window.trajectories) >= FEWEST_TRAJECTORIES,
        alarms=[] if held is None else [_alarm(figure) for figure in held.worse],
    )


def _figures(window: Window) -> dict[str, FigureReport]:
    """Those that there is anything of."""
    measured = window.measured
    columns = zip(figures(), measured.values, measured.intervals, measured.counts, strict=True)
    return {
        figure.name: FigureReport(title=figure.title, value=value, **_ends(interval), n=count)
        for figure, value, interval, count in columns
        if count
    }


def _alarm(found: GatedFigure) -> AlarmReport:
    role, _, key = found.item.metric.name.partition(".")
    return AlarmReport(
        role=role,
        figure=key,
        title=found.item.metric.title,
        reference=found.item.first,
        value=found.item.second,
        difference=found.item.difference,
        **_ends(found.interval),
        confidence=found.confidence,
    )


def _ends(interval: Interval | None) -> dict[str, float | None]:
    return {"low": None, "high": None} if interval is None else {"low": interval.low, "high": interval.high}


NO_FIGURE: Final = "–"


@dataclass(frozen=True)
class Message:
    """A sentence about the windows that count, without a full stop. `unsure`: no window counts."""

    text: str
    kind: Literal["wrong", "well", "unsure", "note"]


def messages(report: DriftReport) -> Iterator[Message]:
    """What comes out of it."""
    judged = report.judged_windows
    wrong = [window for window in judged if window.alarms]
    for window in wrong:
        roles = ", ".join(dict.fromkeys(alarm.role for alarm in window.alarms))
        yield Message(f"going wrong in {_named(window)}: {roles}", "wrong")
    if not judged:
        needed = f"it needs {FEWEST_TRAJECTORIES} trajectories, and a reference of as many before it"
        yield Message(f"nothing can be said of any window: {needed}", "unsure")
    elif not wrong:
        yield Message(f"nothing is worse in {_named(judged[0])}, than in the reference", "well")
    newer = [window for window in report.windows if judged and window.began > judged[0].began and not window.told]
    if newer:
        yield Message(f"too few trajectories for a verdict: {counted(len(newer), 'newer window')}", "note")


def _named(window: WindowReport) -> str:
    return f"the {'newest full' if window.over else 'running'} window, {format_time(window.began)}"


def format_figure(value: float | None, name: str) -> str:
    """A value of the figure with this name: a share in percent, anything else as it is."""
    if value is None:
        return NO_FIGURE
    if figure_of(name).is_share:
        return f"{100 * value:.1f} %"
    return f"{value:,.1f}" if abs(value) < 100 else f"{value:,.0f}"


def format_interval(figure: FigureReport | AlarmReport, name: str) -> str:
    """The ends of its interval."""
    if figure.low is None or figure.high is None:
        return NO_FIGURE
    return f"{format_figure(figure.low, name)} to {format_figure(figure.high, name)}"


def format_time(moment: datetime) -> str:
    """A moment, to the minute; the begin of a day as a day."""
    return f"{moment:%Y-%m-%d}" if (moment.hour, moment.minute) == (0, 0) else f"{moment:%Y-%m-%d %H:%M}"
