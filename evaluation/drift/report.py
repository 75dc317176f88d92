"""Drift as JSON: the reference, every window, and which roles go wrong.

A report made just after midnight holds a window that has just begun. If that one counted alone, a job that runs then
would never hear of an alarm: so the newest window that is over and has enough trajectories counts, and a later one can
add an alarm, but silence none, since it has seen less.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from alpha_umi.contract.roles import WireModel
from evaluation.drift.figures import figures
from evaluation.drift.windows import Drift, Window
from evaluation.gate import GatedFigure
from evaluation.intervals import Interval
from evaluation.paired import FEWEST_TRAJECTORIES
from evaluation.report import FigureReport


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
    excluded: dict[str, int]
    resamples: int
    seed: int

    @property
    def judged_windows(self) -> list[WindowReport]:
        """The windows that count: the newest full one, and those after it with enough trajectories."""
        return [window for window in self.windows if window.began in self.judged]


def drift_report(drift: Drift, excluded: Mapping[str, int], *, now: datetime, resamples: int, seed: int) -> DriftReport:
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
        excluded=dict(excluded),
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
