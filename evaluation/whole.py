"""Measures of whole trajectories, from what an orchestrator answers.

A trajectory is read from the orchestrator's own answer; the tokens of each role from the events of its stream, where
they are at hand. Nothing here asks a model.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from alpha_umi.contract.problems import TYPE_PREFIX
from alpha_umi.contract.trajectories import StepModel, Trajectory
from alpha_umi.roles.turns import RoleName
from evaluation.errors import EmptySuite
from evaluation.intervals import Interval, intervals, mean, resampled_means, sums_by_trajectory
from evaluation.replay.recordings import NOT_RECORDED, call_key

ROLES: Final[tuple[RoleName, ...]] = ("planner", "caller", "summarizer", "backbone")
_ROLE_OF_EVENT: Final[dict[str, RoleName]] = {
    "planner.decided": "planner",
    "caller.called": "caller",
    "summarizer.answered": "summarizer",
    "backbone.stepped": "backbone",
}
# Whether an answer is the expected one.
Judge = Callable[[str | None, str], bool]


@dataclass(frozen=True)
class ToldEvent:
    """An event of a trajectory's stream."""

    name: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class RoleCost:
    """What a role cost in one trajectory: calls and tokens as the events tell them, and milliseconds."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    latency_ms: int = 0


@dataclass(frozen=True)
class Measured:
    """One trajectory. `success`: it completed, and its answer is right where that is known (`right`).

    `repeated_calls` were made before with the same arguments; `not_recorded` are calls that a replay had no answer to,
    which are among `tool_errors`.
    """

    id: str
    success: bool
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
    roles: Mapping[RoleName, RoleCost] = field(default_factory=dict)


@dataclass(frozen=True)
class WholeFigure:
    """An average over the `n` trajectories that it applies to, with its 95 % interval."""

    name: str
    value: float | None
    n: int
    interval: Interval | None


def measure(
    trajectory: Trajectory,
    events: Iterable[ToldEvent] = (),
    *,
    expected: str | None = None,
    judge: Judge | None = None,
) -> Measured:
    """Measure a trajectory; `judge` compares its answer with the expected one, by default as equal text."""
    right = None if expected is None else (judge or _same_text)(trajectory.answer, expected)
    calls = [call_key(step.action.name, step.action.arguments) for step in trajectory.steps if step.action]
    errors = [step.observation.content for step in trajectory.steps if step.observation and step.observation.is_error]
    return Measured(
        id=trajectory.id,
        success=trajectory.status == "completed" and right is not False,
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
        roles=_costs(trajectory.steps, list(events)),
    )


def summarize(measured: Sequence[Measured]) -> list[WholeFigure]:
    """Averages over trajectories. Raises `EmptySuite` when there are none."""
    if not measured:
        raise EmptySuite("there is no trajectory to measure", remedy="name at least one")
    values = {name: [of(each) for each in measured] for name, of in _figures().items()}
    sums = sums_by_trajectory([str(place) for place in range(len(measured))], list(values.values()))
    found = intervals(sums.counts, resampled_means(sums))
    return [
        WholeFigure(name, mean(column), sum(value is not None for value in column), spread)
        for (name, column), spread in zip(values.items(), found, strict=True)
    ]


def figure_names() -> list[str]:
    """The names of all figures, in order."""
    return list(_figures())


def _figures() -> dict[str, Callable[[Measured], float | None]]:
    figures: dict[str, Callable[[Measured], float | None]] = {
        "success": lambda each: float(each.success),
        "right": lambda each: None if each.right is None else float(each.right),
        "gave_up": lambda each: float(each.gave_up),
        "steps": lambda each: each.steps,
        "calls": lambda each: each.calls,
        "repeated_calls": lambda each: each.repeated_calls,
        "tool_errors": lambda each: each.tool_errors,
        "not_recorded": lambda each: each.not_recorded,
        "prompt_tokens": lambda each: each.prompt_tokens,
        "completion_tokens": lambda each: each.completion_tokens,
        "tool_latency_ms": lambda each: each.tool_latency_ms,
    }
    return figures | {f"{role}.{name}": _cost_of(role, name) for role in ROLES for name in vars(RoleCost())}


def _cost_of(role: RoleName, name: str) -> Callable[[Measured], float | None]:
    """A cost over the trajectories in which the role took part."""
    return lambda each: float(getattr(each.roles[role], name)) if role in each.roles else None


def _costs(steps: Sequence[StepModel], events: Sequence[ToldEvent]) -> dict[RoleName, RoleCost]:
    costs = {role: _cost(role, steps, events) for role in ROLES}
    return {role: cost for role, cost in costs.items() if cost != RoleCost()}


def _cost(role: RoleName, steps: Sequence[StepModel], events: Sequence[ToldEvent]) -> RoleCost:
    usages = [event.data.get("usage") or {} for event in events if _ROLE_OF_EVENT.get(event.name) == role]
    return RoleCost(
        calls=len(usages),
        prompt_tokens=sum(usage.get("prompt_tokens", 0) for usage in usages),
        completion_tokens=sum(usage.get("completion_tokens", 0) for usage in usages),
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
