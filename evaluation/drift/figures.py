"""Drift metrics: per trajectory and role a pair of a sum and a count.

A metric is the sum of the sums divided by the sum of the counts over all trajectories of a window. Lower is better for
all of them. A cancelled trajectory has no outcome; it counts only in the metrics of its steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from alpha_umi.contract.trajectories import RoleUsageModel, StepModel, Trajectory
from alpha_umi.roles.turns import Role
from recordings.trajectory import call_key

# A sum, and the count that it is divided by.
Ratio = tuple[float, float]
ALL: Final = "all"
_NO_TOOL = "there is no tool "
_DECIDING: Final[tuple[Role, ...]] = ("planner", "backbone")
_CALLING: Final[tuple[Role, ...]] = ("caller", "backbone")
ROLES: Final[tuple[Role, ...]] = ("planner", "caller", "summarizer", "backbone")


@dataclass(frozen=True)
class DriftFigure:
    """A metric of one role, or of trajectories (`all`)."""

    role: str
    key: str
    title: str
    is_share: bool
    of: Callable[[Trajectory], Ratio]
    better: Literal["lower"] = "lower"

    @property
    def name(self) -> str:
        """The name in reports."""
        return f"{self.role}.{self.key}"


def figures() -> list[DriftFigure]:
    """Every metric, by role."""
    return [figure for role in ROLES for figure in _of_role(role)] + list(_of_all())


def _of_role(role: Role) -> Iterator[DriftFigure]:
    def figure(key: str, title: str, of: Callable[[Trajectory], Ratio], *, is_share: bool = True) -> DriftFigure:
        return DriftFigure(role, key, title, is_share, lambda each: of(each) if _takes_part(role, each) else (0, 0))

    if role in _DECIDING:
        yield figure("gave_up", "gave up", lambda each: _ended(each, each.status == "gave_up"))
        yield figure("exhausted", "ended by a limit", lambda each: _ended(each, each.status == "exhausted"))
        yield figure("repeated_calls", "calls made before", _repeated)
    if role in _CALLING:
        yield figure("unknown_tools", "calls of unknown tools", _unknown_tools)
        yield figure("unusable_calls", "no usable call", _unusable)
        yield figure("unfinished_calls", "calls cut by the token limit", _unfinished)
        yield figure("tool_errors", "calls that failed", _tool_errors)
    yield figure("unreadable", "unreadable outputs", lambda each: _uses(role, each, lambda use: use.unreadable))
    yield figure("repaired", "repaired outputs", lambda each: _uses(role, each, lambda use: use.attempts > 1))
    yield figure("failed", "gave no answer", lambda each: _ended(each, _failed(role, each)))
    yield figure("latency_ms", "ms per request", lambda each: _latency(role, each), is_share=False)
    for tokens, title in (("prompt_tokens", "prompt tokens"), ("completion_tokens", "written tokens")):
        yield figure(tokens, f"{title} per request", _tokens(role, tokens), is_share=False)


def _of_all() -> Iterator[DriftFigure]:
    yield DriftFigure(ALL, "truncated", "steps with a shortened history", True, _truncated)
    yield DriftFigure(ALL, "steps", "steps a trajectory", False, lambda each: (len(each.steps), 1))
    yield DriftFigure(ALL, "latency_ms", "ms a trajectory", False, _total_latency)
    for tokens, title in (("prompt_tokens", "prompt tokens"), ("completion_tokens", "written tokens")):
        yield DriftFigure(ALL, tokens, f"{title} a trajectory", False, _total_tokens(tokens))


def _takes_part(role: Role, trajectory: Trajectory) -> bool:
    return (role == "backbone") == (trajectory.strategy == "single")


def _ended(trajectory: Trajectory, in_this_way: bool) -> Ratio:
    return (0, 0) if trajectory.status == "cancelled" else (float(in_this_way), 1)


def _failed(role: Role, trajectory: Trajectory) -> bool:
    return trajectory.error is not None and trajectory.error.code in (f"{role}_failed", f"{role}_unavailable")


def _repeated(trajectory: Trajectory) -> Ratio:
    calls = [call_key(step.action.name, step.action.arguments) for step in trajectory.steps if step.action]
    return len(calls) - len(set(calls)), len(calls)


def _calls_wanted(trajectory: Trajectory) -> list[StepModel]:
    """Steps with a call or a reason why there is none. A step that waits or was interrupted has neither."""
    return [step for step in trajectory.steps if step.next == "caller" and (step.action or step.observation)]


def _not_made(step: StepModel) -> str | None:
    """The reasons for missing calls."""
    return step.observation.content if step.action is None and step.observation else None


def _unusable(trajectory: Trajectory) -> Ratio:
    wanted = _calls_wanted(trajectory)
    return sum(_not_made(step) is not None for step in wanted), len(wanted)


def _unfinished(trajectory: Trajectory) -> Ratio:
    wanted = _calls_wanted(trajectory)
    return sum(step.call_unfinished for step in wanted), len(wanted)


def _unknown_tools(trajectory: Trajectory) -> Ratio:
    wanted = _calls_wanted(trajectory)
    return sum(_NO_TOOL in (_not_made(step) or "") for step in wanted), len(wanted)


def _tool_errors(trajectory: Trajectory) -> Ratio:
    seen = [step.observation for step in trajectory.steps if step.action and step.observation]
    return sum(observation.is_error for observation in seen), len(seen)


def _uses(role: Role, trajectory: Trajectory, counts: Callable[[RoleUsageModel], bool]) -> Ratio:
    """Over the outputs of the role, where they were recorded."""
    uses = [use for step in trajectory.steps if (use := (step.roles or {}).get(role)) is not None and use.attempts]
    return sum(map(counts, uses)), len(uses)


def _tokens(role: Role, name: str) -> Callable[[Trajectory], Ratio]:
    def of(trajectory: Trajectory) -> Ratio:
        uses = [use for step in trajectory.steps if (use := (step.roles or {}).get(role)) is not None]
        return sum(getattr(use, name) for use in uses), len(uses)

    return of


def _latency(role: Role, trajectory: Trajectory) -> Ratio:
    taken = [spent for step in trajectory.steps if (spent := getattr(step.latency_ms, role))]
    return sum(taken), len(taken)


def _truncated(trajectory: Trajectory) -> Ratio:
    return sum(step.truncated for step in trajectory.steps), len(trajectory.steps)


def _total_latency(trajectory: Trajectory) -> Ratio:
    return sum(sum(step.latency_ms.model_dump().values()) for step in trajectory.steps), 1


def _total_tokens(name: str) -> Callable[[Trajectory], Ratio]:
    return lambda trajectory: (getattr(trajectory.usage, name), 1)
