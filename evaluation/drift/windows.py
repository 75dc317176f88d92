"""Time windows, each compared with a reference: an alarm where a metric is worse beyond the interval.

Windows begin at whole multiples of their length since 1970 in UTC, so that a trajectory is always in the same one. All
metrics of a window are one family of tests, corrected with Holm's procedure (`evaluation.statistics.gate`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import groupby
from typing import Final

import numpy as np

from alpha_umi.contract.trajectories import Trajectory
from alpha_umi.quantities import parse_duration
from evaluation.drift.figures import DriftFigure, figures
from evaluation.errors import EvaluationError
from evaluation.statistics.bootstrap import RESAMPLES, SEED, Floats, Interval, Sums, intervals, resampled_means
from evaluation.statistics.gate import Gate, apply_gate
from evaluation.statistics.paired import Difference

MOST_WINDOWS: Final = 366
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class WindowUnusable(EvaluationError):
    """The window length or the reference cannot be used."""


@dataclass(frozen=True)
class Drift:
    """All windows with trajectories, in order, and their reference (`first` or a file of its own)."""

    length: timedelta
    reference: Window
    windows: tuple[Window, ...]


@dataclass(frozen=True)
class Window:
    """Trajectories that began in a time window. `against` is the reference, None for the reference itself."""

    began: datetime
    ends: datetime
    trajectories: tuple[Trajectory, ...]
    measured: Measured
    against: Gate | None = None

    @property
    def alarms(self) -> list[str]:
        """The metrics that are worse than those of the reference."""
        return [] if self.against is None else [figure.item.metric.name for figure in self.against.worse]


@dataclass(frozen=True)
class Measured:
    """Every metric of some trajectories: sums by trajectory, and the metrics of their resamples."""

    sums: Sums
    samples: Floats

    @cached_property
    def values(self) -> list[float | None]:
        """The figures."""
        totals, counts = self.sums.totals.sum(axis=0), self.sums.counts.sum(axis=0)
        return [float(total / count) if count else None for total, count in zip(totals, counts, strict=True)]

    @cached_property
    def intervals(self) -> list[Interval | None]:
        """Their 95 % intervals."""
        return intervals(self.sums, self.samples, self.values, shares=[figure.is_share for figure in figures()])

    @cached_property
    def counts(self) -> list[int]:
        """The denominators: requests to a role, calls, or trajectories."""
        return [int(count) for count in self.sums.counts.sum(axis=0)]


def window_length(text: str) -> timedelta:
    """Parse a window length: a number and m, h, d or w. Raises `WindowUnusable`."""
    length = parse_duration(text)
    if length is None:
        raise WindowUnusable(f"{text!r} is not a length of time", remedy="write a number and m, h, d or w, such as 12h")
    return length


def drift(
    served: Sequence[Trajectory],
    length: timedelta,
    *,
    reference: Sequence[Trajectory] = (),
    reference_windows: int = 1,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Drift:
    """Group served trajectories, ordered by their start, into windows, and compare these with the `reference`, else
    with the first windows.

    Raises `WindowUnusable`.
    """
    grouped = [(began, tuple(group)) for began, group in groupby(served, lambda each: _window_of(each, length))]
    if len(grouped) > MOST_WINDOWS:
        raise WindowUnusable(
            f"these are {len(grouped):,} windows, more than {MOST_WINDOWS}", remedy="name a longer --window"
        )
    if not reference and len(grouped) <= reference_windows:
        raise WindowUnusable(
            f"all {len(grouped):,} windows with trajectories are the reference, and none is left to compare with it",
            remedy="name a shorter --window, fewer --reference-windows, a longer export, or a --reference",
        )
    first = () if reference else [each for _, group in grouped[:reference_windows] for each in group]
    basis = _reference(tuple(reference or first), resamples, seed)
    own = 0 if reference else reference_windows
    windows = [
        _window(began, began + length, group, None if place < own else basis.measured, resamples, seed + 1 + place)
        for place, (began, group) in enumerate(grouped)
    ]
    return Drift(length, basis, tuple(windows))


def _window_of(trajectory: Trajectory, length: timedelta) -> datetime:
    return _EPOCH + (trajectory.created_at - _EPOCH) // length * length


def _reference(trajectories: tuple[Trajectory, ...], resamples: int, seed: int) -> Window:
    moments = [each.created_at.astimezone(UTC) for each in trajectories]
    return Window(min(moments), max(moments), trajectories, _measured(trajectories, resamples, seed))


def _window(
    began: datetime,
    ends: datetime,
    trajectories: tuple[Trajectory, ...],
    reference: Measured | None,
    resamples: int,
    seed: int,
) -> Window:
    measured = _measured(trajectories, resamples, seed)
    against = None if reference is None else apply_gate(_differences(reference, measured))
    return Window(began, ends, trajectories, measured, against)


def _measured(trajectories: Sequence[Trajectory], resamples: int, seed: int) -> Measured:
    pluralize = np.array([[figure.of(each) for figure in figures()] for each in trajectories], dtype=float)
    sums = Sums(pluralize[:, :, 0], pluralize[:, :, 1])
    return Measured(sums, resampled_means(sums, resamples=resamples, seed=seed))


def _differences(reference: Measured, window: Measured) -> list[Difference]:
    """The differences of metrics that both have. Trajectories of two windows are not paired, so each is resampled
    independently.
    """
    return [
        Difference(figure, first, second, fewer, incomparable=False, resampled=resampled)
        for figure, first, second, fewer, resampled in zip(
            figures(),
            reference.values,
            window.values,
            map(min, reference.sums.trajectories, window.sums.trajectories),
            (window.samples - reference.samples).T,
            strict=True,
        )
        if first is not None and second is not None
    ]


def figure_of(name: str) -> DriftFigure:
    """A metric by its name."""
    return next(figure for figure in figures() if figure.name == name)
