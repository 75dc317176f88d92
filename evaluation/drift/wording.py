"""How figures, times and verdicts of drift are written for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from evaluation.drift.report import AlarmReport, DriftReport, WindowReport
from evaluation.drift.windows import figure_of
from evaluation.paired import FEWEST_TRAJECTORIES
from evaluation.quantities import pluralize
from evaluation.report import FigureReport

NO_FIGURE: Final = "–"


@dataclass(frozen=True)
class Said:
    """A sentence about the windows that count, without a full stop. `unsure`: no window counts."""

    text: str
    kind: Literal["wrong", "well", "unsure", "note"]


def said(report: DriftReport) -> Iterator[Said]:
    """What comes out of it."""
    judged = report.judged_windows
    wrong = [window for window in judged if window.alarms]
    for window in wrong:
        roles = ", ".join(dict.fromkeys(alarm.role for alarm in window.alarms))
        yield Said(f"going wrong in {_named(window)}: {roles}", "wrong")
    if not judged:
        needed = f"it needs {FEWEST_TRAJECTORIES} trajectories, and a reference of as many before it"
        yield Said(f"nothing can be said of any window: {needed}", "unsure")
    elif not wrong:
        yield Said(f"nothing is worse in {_named(judged[0])}, than in the reference", "well")
    newer = [window for window in report.windows if judged and window.began > judged[0].began and not window.told]
    if newer:
        yield Said(f"too few trajectories for a verdict: {pluralize(len(newer), 'newer window')}", "note")


def _named(window: WindowReport) -> str:
    return f"the {'newest full' if window.over else 'running'} window, {time_of(window.began)}"


def number(value: float | None, name: str) -> str:
    """A value of the figure with this name: a share in percent, anything else as it is."""
    if value is None:
        return NO_FIGURE
    if figure_of(name).is_share:
        return f"{100 * value:.1f} %"
    return f"{value:,.1f}" if abs(value) < 100 else f"{value:,.0f}"


def interval(figure: FigureReport | AlarmReport, name: str) -> str:
    """The ends of its interval."""
    if figure.low is None or figure.high is None:
        return NO_FIGURE
    return f"{number(figure.low, name)} to {number(figure.high, name)}"


def time_of(moment: datetime) -> str:
    """A moment, to the minute; the begin of a day as a day."""
    return f"{moment:%Y-%m-%d}" if (moment.hour, moment.minute) == (0, 0) else f"{moment:%Y-%m-%d %H:%M}"
