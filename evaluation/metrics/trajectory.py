"""The metrics of trajectories. One entry of `TRAJECTORY_METRICS` is one metric, in tables, JSON, comparisons and gates.

Shares are over all trajectories of the run. Everything else is an average per trajectory. A role's costs are averages
over the trajectories in which it took part.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from alpha_umi.contract.problems import TYPE_PREFIX
from alpha_umi.contract.roles import ROLES
from alpha_umi.contract.trajectories import RoleUsageModel, StepModel, TokenUsage, Trajectory
from alpha_umi.roles.turns import Role
from evaluation.metrics import Metric
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
from recordings.trajectory import NOT_RECORDED, call_key


@dataclass(frozen=True)
class RoleCost:
    """Cost of a role in one trajectory: steps in which it was called, tokens, and milliseconds."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    latency_ms: int = 0


@dataclass(frozen=True)
class Measured:
    """One trajectory, with all branches of a search.

    `success`: it completed with the right answer. `success` and `right` are None without an expected answer.

    `repeated_calls` are calls with the arguments of an earlier one. `not_recorded` are calls without a recorded answer,
    and among `tool_errors`. `branches`, `abandoned_steps` and `abandoned_tokens` are None except for a search.
    """

    id: str
    completed: bool
    success: bool | None
    right: bool | None
    gave_up: bool
    steps: int
    calls: int
    repeated_calls: int
    tool_errors: int
    not_recorded: int
    prompt_tokens: int
    completion_tokens: int
    tool_latency_ms: int
    branches: int | None = None
    abandoned_steps: int | None = None
    abandoned_tokens: int | None = None
    roles: Mapping[Role, RoleCost] = field(default_factory=dict)


def _share(happened: bool | None) -> float | None:
    return None if happened is None else float(happened)


def _amount(
    name: str,
    title: str,
    of: Callable[[Measured], float | None],
    *,
    digits: int = 2,
    gated: bool = False,
    optional: bool = False,
) -> Metric[Measured]:
    """An average per trajectory; less is better. A trajectory that was not run has none."""
    return Metric(name, title, of, "lower", "ignored", is_share=False, digits=digits, gated=gated, optional=optional)


def _cost(role: Role, name: str, title: str, *, digits: int = 0) -> Metric[Measured]:
    def of(each: Measured) -> float | None:
        return float(getattr(each.roles[role], name)) if role in each.roles else None

    return _amount(f"{role}.{name}", f"{role}: {title}", of, digits=digits, optional=True)


TRAJECTORY_METRICS: Final[tuple[Metric[Measured], ...]] = (
    Metric("completed", "completed", lambda each: float(each.completed)),
    Metric("success", "success", lambda each: _share(each.success)),
    Metric("right", "right answer", lambda each: _share(each.right)),
    Metric("gave_up", "gave up", lambda each: float(each.gave_up), "lower", "ignored"),
    _amount("steps", "steps", lambda each: each.steps),
    _amount("calls", "calls", lambda each: each.calls),
    _amount("repeated_calls", "repeated calls", lambda each: each.repeated_calls, gated=True),
    _amount("tool_errors", "tool errors", lambda each: each.tool_errors, gated=True),
    _amount("not_recorded", "calls not recorded", lambda each: each.not_recorded),
    _amount("prompt_tokens", "prompt tokens", lambda each: each.prompt_tokens, digits=0),
    _amount("completion_tokens", "written tokens", lambda each: each.completion_tokens, digits=0),
    _amount("tool_latency_ms", "ms in tools", lambda each: each.tool_latency_ms, digits=0),
    _amount("branches", "branches", lambda each: each.branches, optional=True),
    _amount("abandoned_steps", "abandoned steps", lambda each: each.abandoned_steps, optional=True),
    _amount("abandoned_tokens", "abandoned tokens", lambda each: each.abandoned_tokens, digits=0, optional=True),
    *(
        metric
        for role in ROLES
        for metric in (
            _cost(role, "calls", "calls", digits=2),
            _cost(role, "prompt_tokens", "prompt tokens"),
            _cost(role, "completion_tokens", "written tokens"),
            _cost(role, "latency_ms", "ms"),
        )
    ),
)


def trajectory_metric(name: str) -> Metric[Measured]:
    """The metric of a name. Raises `KeyError`."""
    return _BY_NAME[name]


_BY_NAME: Final = {metric.name: metric for metric in TRAJECTORY_METRICS}


# Whether an answer is the expected one.
Judge = Callable[[str | None, str], bool]


@dataclass(frozen=True)
class TrajectoryFigure:
    """An average over the `n` trajectories to which it applies, with its 95 % interval."""

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
        roles=_role_costs(trajectory.steps),
    )


def summarize(
    measured: Sequence[Measured], not_run: int = 0, *, resamples: int = RESAMPLES, seed: int = SEED
) -> list[TrajectoryFigure]:
    """Averages over trajectories. Raises `EmptySuite` when there are none.

    `not_run` further trajectories count as neither completed nor right, so that an interrupted run, which lacks
    the long ones, does not look better. They are in no other figure.
    """
    if not measured:
        raise EmptySuite("there is no trajectory to measure", remedy="name at least one")
    values = columns([*measured, *[None] * not_run])
    sums = sums_by_trajectory([str(place) for place in range(len(measured) + not_run)], list(values.values()))
    means = [mean(column) for column in values.values()]
    samples = resampled_means(sums, resamples=resamples, seed=seed)
    spreads = intervals(sums, samples, means, shares=[metric.is_share for metric in TRAJECTORY_METRICS])
    return [
        TrajectoryFigure(name, value, sum(value is not None for value in column), spread)
        for (name, column), value, spread in zip(values.items(), means, spreads, strict=True)
    ]


def columns(measured: Sequence[Measured | None]) -> dict[str, list[float | None]]:
    """The value of every metric for each trajectory. One that did not run (None) is neither completed nor right."""
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
    # After a limit ended the search, the newest step has the answer's tokens, even if it was abandoned.
    return {
        "branches": sum(step.index not in inner for step in trajectory.steps),
        "abandoned_steps": len(left),
        "abandoned_tokens": sum(_tokens(step.usage) - _tokens((step.roles or {}).get("summarizer")) for step in left),
    }


def _tokens(use: TokenUsage | RoleUsageModel | None) -> int:
    return 0 if use is None else use.prompt_tokens + use.completion_tokens


def _role_costs(steps: Sequence[StepModel]) -> dict[Role, RoleCost]:
    return {role: _role_cost(role, steps) for role in ROLES if any(role in (step.roles or {}) for step in steps)}


def _role_cost(role: Role, steps: Sequence[StepModel]) -> RoleCost:
    usages = [step.roles[role] for step in steps if step.roles and role in step.roles]
    return RoleCost(
        calls=len(usages),
        prompt_tokens=sum(usage.prompt_tokens for usage in usages),
        completion_tokens=sum(usage.completion_tokens for usage in usages),
        latency_ms=sum(getattr(step.latency_ms, role) for step in steps),
    )


def _is_not_recorded(observation: str) -> bool:
    """Whether the observation is a replay server's problem document; the status precedes it."""
    try:
        problem = json.loads(observation.partition(": ")[2])
    except (ValueError, RecursionError):
        return False
    return isinstance(problem, dict) and problem.get("type") == TYPE_PREFIX + NOT_RECORDED


def _same_text(answer: str | None, expected: str) -> bool:
    return answer is not None and answer.strip() == expected.strip()
