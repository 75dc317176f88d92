"""Whole trajectories as JSON: how they ended, and every figure."""

from __future__ import annotations

from collections import Counter

from alpha_umi.contract.roles import WireModel
from evaluation.report import FigureReport
from evaluation.statistics.bootstrap import RESAMPLES, SEED
from evaluation.whole import SEARCHED, Measured, WholeFigure, summarize
from evaluation.whole_run import WholeRun, WholeRunRecord

_TITLES = {
    "completed": "completed",
    "success": "success",
    "right": "right answer",
    "gave_up": "gave up",
    "steps": "steps",
    "calls": "calls",
    "repeated_calls": "repeated calls",
    "tool_errors": "tool errors",
    "not_recorded": "calls not recorded",
    "prompt_tokens": "prompt tokens",
    "completion_tokens": "written tokens",
    "latency_ms": "ms",
    "tool_latency_ms": "ms in tools",
    "branches": "branches",
    "abandoned_steps": "abandoned steps",
    "abandoned_tokens": "abandoned tokens",
}


class WholeReport(WireModel):
    """`evaluate trajectories`. `ends` counts how trajectories ended, `not_asked` those without a line.

    The latter are in the figures `completed`, `success` and `right`, as none of it.
    """

    run: WholeRunRecord
    trajectories: int
    not_asked: int
    ends: dict[str, int]
    figures: dict[str, FigureReport]
    resamples: int
    seed: int


def whole_report(run: WholeRun, *, resamples: int = RESAMPLES, seed: int = SEED) -> WholeReport:
    """All of a file. Raises `EmptySuite` when it has no trajectory."""
    measured = run.measured()
    not_asked = run.about.trajectories - len(measured)
    figures = summarize(measured, not_asked, resamples=resamples, seed=seed)
    return WholeReport(
        run=run.about,
        trajectories=len(measured),
        not_asked=not_asked,
        ends=_ends(run),
        figures={figure.name: _figure(figure) for figure in figures if _counts(figure, measured)},
        resamples=resamples,
        seed=seed,
    )


def title_of(name: str) -> str:
    """What a figure is called in tables; of a role's, without the role."""
    return _TITLES[name.rpartition(".")[2]]


def _ends(run: WholeRun) -> dict[str, int]:
    """By status, with the reason where there is one."""
    ends = Counter(
        record.trajectory.status + (f": {record.trajectory.error.code}" if record.trajectory.error else "")
        for record in run.asked
    )
    return dict(sorted(ends.items()))


def _counts(figure: WholeFigure, measured: list[Measured]) -> bool:
    """Whether a figure belongs to the report: a role that took no part costs nothing, only searches branch."""
    if figure.name in SEARCHED:
        return figure.n > 0
    role, dot, _ = figure.name.partition(".")
    return not dot or any(role in each.roles for each in measured)


def _figure(figure: WholeFigure) -> FigureReport:
    return FigureReport.of(title_of(figure.name), figure.value, figure.n, figure.interval)
