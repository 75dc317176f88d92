"""Deterministic samples of a suite.

Trajectories are drawn in the order of the SHA-256 digests of their ids, so that a larger sample contains the smaller
ones. A sample has the order of the suite.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from recordings.cases import StepCase, step_cases
from recordings.trajectory import RecordedTrajectory


def sample_trajectories(
    trajectories: Sequence[RecordedTrajectory], limit: int | None
) -> tuple[RecordedTrajectory, ...]:
    """At most `limit` of the trajectories; all of them without a limit."""
    if limit is None:
        return tuple(trajectories)
    sampled = {trajectory.id for trajectory in _drawn(trajectories)[:limit]}
    return tuple(trajectory for trajectory in trajectories if trajectory.id in sampled)


def sample_steps(trajectories: Sequence[RecordedTrajectory], limit: int | None) -> tuple[StepCase, ...]:
    """At most `limit` steps. All steps of each sampled trajectory, except possibly the last one, are included."""
    steps = {trajectory.id: tuple(step_cases(trajectory)) for trajectory in trajectories}
    if limit is not None:
        steps = _first_steps([(each.id, steps[each.id]) for each in _drawn(trajectories)], limit)
    return tuple(case for trajectory in trajectories for case in steps.get(trajectory.id, ()))


def _first_steps(drawn: Sequence[tuple[str, tuple[StepCase, ...]]], limit: int) -> dict[str, tuple[StepCase, ...]]:
    sampled: dict[str, tuple[StepCase, ...]] = {}
    for name, steps in drawn:
        sampled[name] = steps[:limit]
        limit -= len(sampled[name])
    return sampled


def _drawn(trajectories: Sequence[RecordedTrajectory]) -> list[RecordedTrajectory]:
    return sorted(trajectories, key=lambda each: hashlib.sha256(each.id.encode("utf-8", "surrogatepass")).digest())
