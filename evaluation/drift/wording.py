"""How figures and times of drift are written for people."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from evaluation.drift.report import AlarmReport
from evaluation.drift.windows import figure_of
from evaluation.report import FigureReport

NO_FIGURE: Final = "–"


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
