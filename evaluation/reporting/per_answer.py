"""Latency and tokens per answered task: what the trajectories cost that came to an answer, whatever it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from evaluation.intervals import intervals, mean, resampled_means, sums_by_trajectory
from evaluation.reporting.drawing import Drawing
from evaluation.reporting.given import TrajectoriesRun
from evaluation.whole_run import AskedRecord

PER_ANSWER: Final = {
    "seconds": "seconds",
    "prompt_tokens": "prompt tokens",
    "completion_tokens": "written tokens",
}


@dataclass(frozen=True)
class CostFigure:
    """An average over the answered tasks; without any there is neither value nor interval."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class PerAnswer:
    """What an answered task cost. `tokens_for_each`: those of all trajectories, for each answered one."""

    asked: int
    answered: int
    figures: Mapping[str, CostFigure]
    tokens_for_each: float | None


def per_answer(run: TrajectoriesRun, drawing: Drawing) -> PerAnswer:
    """The costs of a run. Seconds are those spent with the roles and the tools."""
    answered = [record for record in run.run.asked if record.trajectory.status == "completed"]
    spent = [sum(_tokens(record)) for record in run.run.asked]
    return PerAnswer(
        asked=len(run.run.asked),
        answered=len(answered),
        figures=_figures(answered, drawing) if answered else dict.fromkeys(PER_ANSWER, CostFigure(None)),
        tokens_for_each=sum(spent) / len(answered) if answered else None,
    )


def _figures(answered: list[AskedRecord], drawing: Drawing) -> dict[str, CostFigure]:
    tokens = [[float(_tokens(record)[side]) for record in answered] for side in (0, 1)]
    columns = [list(map(_seconds, answered)), *tokens]
    sums = sums_by_trajectory([record.recorded for record in answered], columns)
    samples = resampled_means(sums, resamples=drawing.resamples, seed=drawing.seed)
    means = list(map(mean, columns))
    found = intervals(sums, samples, means, shares=[False] * len(columns))
    return {
        name: CostFigure(value, spread.low if spread else None, spread.high if spread else None)
        for name, value, spread in zip(PER_ANSWER, means, found, strict=True)
    }


def _seconds(record: AskedRecord) -> float:
    return sum(sum(step.latency_ms.model_dump().values()) for step in record.trajectory.steps) / 1000


def _tokens(record: AskedRecord) -> tuple[int, int]:
    return record.trajectory.usage.prompt_tokens, record.trajectory.usage.completion_tokens
