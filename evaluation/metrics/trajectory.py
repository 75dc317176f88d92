"""The metrics of trajectories. One entry of `TRAJECTORY_METRICS` is one metric, in tables, JSON, comparisons and gates.

Shares are over all trajectories of the run. Everything else is an average per trajectory. A role's costs are averages
over the trajectories in which it took part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from alpha_umi.contract.roles import ROLES
from alpha_umi.roles.turns import Role
from evaluation.metrics import Metric


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

    `success`: it completed with the right answer; None, as `right`, where nobody knows which is.

    `repeated_calls` were made before with the same arguments; `not_recorded` are calls that a replay had no answer to,
    which are among `tool_errors`. `branches` were begun, and `abandoned_steps` with `abandoned_tokens` left; they
    are None but for a search.
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
