"""Two files compared as they lie on the disk: read in their form, compared, and held to the gate where one is asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evaluation.compare import Comparison, compare
from evaluation.compare_whole import OUTCOMES, compare_whole
from evaluation.files import Format
from evaluation.files.predictions import read_predictions
from evaluation.report import About, ComparisonReport, comparison_report
from evaluation.statistics import Correction
from evaluation.statistics.bootstrap import RESAMPLES, SEED
from evaluation.statistics.gate import gate, require_complete, require_same_limits, require_same_settings
from evaluation.whole_run import read_whole_run


@dataclass(frozen=True)
class Look:
    """What a gate looks at: these figures, or all that the form has for one. `notice`: a fall that should be seen."""

    metrics: tuple[str, ...] = ()
    correction: Correction = Correction.HOLM
    notice: float = 0.05


@dataclass(frozen=True)
class _Compared:
    """Both files. `missing` lacks in each and can still be had; `gated` are the figures that a gate looks at."""

    comparison: Comparison
    first: About
    second: About
    missing: tuple[tuple[str, ...], tuple[str, ...]]
    noun: str
    gated: tuple[str, ...]


def compare_files(
    first: Path, second: Path, form: Format, *, resamples: int = RESAMPLES, seed: int = SEED, look: Look | None = None
) -> ComparisonReport:
    """Everything about two files. Raises `EvaluationError`; `GateRefused` where there is a `look` and no ground."""
    compares = _whole if form is Format.TRAJECTORIES else _steps
    found = compares(first, second, form, resamples, seed, alike=look is not None)
    if look is None:
        return comparison_report(found.comparison, found.first, found.second)
    require_complete(*found.missing, found.noun)
    gated = gate(found.comparison, look.metrics or found.gated, look.correction)
    return comparison_report(found.comparison, found.first, found.second, gated, notice=look.notice)


def _steps(first: Path, second: Path, form: Format, resamples: int, seed: int, *, alike: bool) -> _Compared:
    """Runs that were asked in other ways may be compared, which says what the way brings, unless they must be alike."""
    one, other = read_predictions(first, form), read_predictions(second, form)
    if alike:
        require_same_settings(one.about, other.about)
    comparison = compare(one.pairs, other.pairs, resamples=resamples, seed=seed)
    names = tuple(item.metric.name for item in comparison.differences)
    return _Compared(comparison, one.about, other.about, (one.unanswered, other.unanswered), "prediction", names)


def _whole(first: Path, second: Path, form: Format, resamples: int, seed: int, *, alike: bool) -> _Compared:
    one, other = read_whole_run(first), read_whole_run(second)
    if alike:
        require_same_settings(one.about, other.about)
        require_same_limits(one, other)
    comparison = compare_whole(one, other, resamples=resamples, seed=seed)
    names = tuple(item.metric.name for item in comparison.differences if item.metric.name in OUTCOMES)
    missing = comparison.first_missing, comparison.second_missing
    return _Compared(comparison, one.about, other.about, missing, "trajectory", names)
