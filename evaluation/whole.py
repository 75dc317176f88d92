"""Measures of trajectories, from the orchestrator's wire form of them. Nothing here calls a model."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from alpha_umi.contract.problems import TYPE_PREFIX
from alpha_umi.contract.roles import ROLES
from alpha_umi.contract.trajectories import RoleUsageModel, StepModel, TokenUsage, Trajectory
from alpha_umi.roles.turns import Role
from evaluation.metrics import Metric
from evaluation.metrics.trajectory import TRAJECTORY_METRICS, Measured, RoleCost
from evaluation.replay.recordings import NOT_RECORDED, call_key
from evaluation.statistics.bootstrap import (
    RESAMPLES,
    SEED,
    Interval,
    intervals,
    mean,
    resampled_means,
    sums_by_trajectory,
)
from recordings.errors import EmptySuite

# Whether an answer is the expected one.
Judge = Callable[[str | None, str], bool]


@dataclass(frozen=True)
class WholeFigure:
    """An average over the `n` trajectories that it applies to, with its 95 % interval."""

    name: str
    value: float | None
    n: int
    interval: Interval | None


def measure(
    trajectory: Trajectory,
    *,
    expected: str | None = None,
    judge: Judge | None = None,
) -> Measured:
    """Measure a trajectory; `judge` compares its answer with the expected one, by default as equal text."""
    right = None if expected is None else (judge or _same_text)(trajectory.answer, expected)
    calls = [call_key(step.action.name, step.action.arguments) for step in trajectory.steps if step.action]
    errors = [step.observation.content for step in trajectory.steps if step.observation and step.observation.is_error]
    completed = trajectory.status == "completed"
    return Measured(
        id=trajectory.id,
        completed=completed,
        success=None if right is None else completed and right,
        right=right,
        gave_up=trajectory.status == "gave_up",
        steps=len(trajectory.steps),
        calls=len(calls),
        repeated_calls=len(calls) - len(set(calls)),
        tool_errors=len(errors),
        not_recorded=sum(map(_is_not_recorded, errors)),
        prompt_tokens=trajectory.usage.prompt_tokens,
        completion_tokens=trajectory.usage.completion_tokens,
        tool_latency_ms=sum(step.latency_ms.tool for step in trajectory.steps),
        **_search_costs(trajectory),
        roles=_costs(trajectory.steps),
    )


def summarize(
    measured: Sequence[Measured], not_asked: int = 0, *, resamples: int = RESAMPLES, seed: int = SEED
) -> list[WholeFigure]:
    """Averages over trajectories. Raises `EmptySuite` when there are none.

    Of so many more that were not asked none completed or is right, so that a run which was ended before the long ones
    came to theirs does not look better. Nothing else can be said of them.
    """
    if not measured:
        raise EmptySuite("there is no trajectory to measure", remedy="name at least one")
    values = columns([*measured, *[None] * not_asked])
    sums = sums_by_trajectory([str(place) for place in range(len(measured) + not_asked)], list(values.values()))
    means = [mean(column) for column in values.values()]
    samples = resampled_means(sums, resamples=resamples, seed=seed)
    found = intervals(sums, samples, means, shares=[metric.is_share for metric in TRAJECTORY_METRICS])
    return [
        WholeFigure(name, value, sum(value is not None for value in column), spread)
        for (name, column), value, spread in zip(values.items(), means, found, strict=True)
    ]


def columns(measured: Sequence[Measured | None]) -> dict[str, list[float | None]]:
    """Every figure of each trajectory. One that was not asked (None) is neither completed nor right."""
    return {metric.name: _column(metric, measured) for metric in TRAJECTORY_METRICS}


def _column(metric: Metric[Measured], measured: Sequence[Measured | None]) -> list[float | None]:
    column = [None if each is None else metric.of(each) for each in measured]
    if metric.missing == "wrong" and any(value is not None for value in column):
        return [0.0 if each is None else value for each, value in zip(measured, column, strict=True)]
    return column


def _search_costs(trajectory: Trajectory) -> dict[str, int]:
    if trajectory.strategy != "dfsdt":
        return {}
    left = [step for step in trajectory.steps if step.abandoned]
    inner = {step.parent for step in trajectory.steps}
    # Where a limit ended the search, the answer's tokens stand with the newest step, also one that was left.
    return {
        "branches": sum(step.index not in inner for step in trajectory.steps),
        "abandoned_steps": len(left),
        "abandoned_tokens": sum(_tokens(step.usage) - _tokens((step.roles or {}).get("summarizer")) for step in left),
    }


def _tokens(use: TokenUsage | RoleUsageModel | None) -> int:
    return 0 if use is None else use.prompt_tokens + use.completion_tokens


def _costs(steps: Sequence[StepModel]) -> dict[Role, RoleCost]:
    return {role: _cost(role, steps) for role in ROLES if any(role in (step.roles or {}) for step in steps)}


def _cost(role: Role, steps: Sequence[StepModel]) -> RoleCost:
    usages = [step.roles[role] for step in steps if step.roles and role in step.roles]
    return RoleCost(
        calls=len(usages),
        prompt_tokens=sum(usage.prompt_tokens for usage in usages),
        completion_tokens=sum(usage.completion_tokens for usage in usages),
        latency_ms=sum(getattr(step.latency_ms, role) for step in steps),
    )


def _is_not_recorded(observation: str) -> bool:
    """Whether this is the problem of a replay, which an orchestrator shows behind the status."""
    try:
        problem = json.loads(observation.partition(": ")[2])
    except (ValueError, RecursionError):
        return False
    return isinstance(problem, dict) and problem.get("type") == TYPE_PREFIX + NOT_RECORDED


def _same_text(answer: str | None, expected: str) -> bool:
    return answer is not None and answer.strip() == expected.strip()
