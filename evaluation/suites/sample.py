"""A part of a suite that stands for the whole: always the same one, and not the beginning of a file that is in order.

Trajectories are taken in the order of the SHA-256 digests of their ids, so a larger sample holds the smaller ones. What
was taken keeps the order of the suite.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from evaluation.cases import StepCase
from evaluation.suites.cases import step_cases
from evaluation.suites.recorded import RecordedTrajectory


def sample_trajectories(
    trajectories: Sequence[RecordedTrajectory], limit: int | None
) -> tuple[RecordedTrajectory, ...]:
    """At most `limit` of the trajectories; all of them where there is no limit."""
    if limit is None:
        return tuple(trajectories)
    taken = {trajectory.id for trajectory in _drawn(trajectories)[:limit]}
    return tuple(trajectory for trajectory in trajectories if trajectory.id in taken)


def sample_steps(trajectories: Sequence[RecordedTrajectory], limit: int | None) -> tuple[StepCase, ...]:
    """At most `limit` steps: whole trajectories, of the last one maybe the beginning."""
    steps = {trajectory.id: tuple(step_cases(trajectory)) for trajectory in trajectories}
    if limit is not None:
        steps = _first_steps([(each.id, steps[each.id]) for each in _drawn(trajectories)], limit)
    return tuple(case for trajectory in trajectories for case in steps.get(trajectory.id, ()))


def _first_steps(drawn: Sequence[tuple[str, tuple[StepCase, ...]]], limit: int) -> dict[str, tuple[StepCase, ...]]:
    taken: dict[str, tuple[StepCase, ...]] = {}
    for name, steps in drawn:
        taken[name] = steps[:limit]
        limit -= len(taken[name])
    return taken


def _drawn(trajectories: Sequence[RecordedTrajectory]) -> list[RecordedTrajectory]:
    return sorted(trajectories, key=lambda each: hashlib.sha256(each.id.encode("utf-8", "surrogatepass")).digest())
