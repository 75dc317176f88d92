"""Samples of a suite: fixed, spread over it, nested."""

from __future__ import annotations

import pytest

from alpha_umi.roles.turns import Turn
from recordings.suites.sample import sample_steps, sample_trajectories
from recordings.trajectory import RecordedTrajectory

STEPS = 3


def trajectory(number: int) -> RecordedTrajectory:
    """Three steps: two calls, and an answer."""
    calls = (
        Turn("planner", "I call. Next: caller."),
        Turn("caller", "Action: a\nAction Input: {}"),
        Turn("observation", "1"),
    )
    end = (Turn("planner", "Done. Next: conclusion."), Turn("conclusion", "1"))
    return RecordedTrajectory(f"t{number}", (), (Turn("user", "?"), *calls, *calls, *end))


ALL = tuple(map(trajectory, range(100)))


def test_all_without_a_limit() -> None:
    assert sample_trajectories(ALL, None) == ALL
    assert len(sample_steps(ALL, None)) == 100 * STEPS


@pytest.mark.parametrize("limit", [0, 1, 10, 99, 100, 1_000])
def test_a_sample_of_trajectories_keeps_the_order_and_does_not_change(limit: int) -> None:
    sampled = sample_trajectories(ALL, limit)
    assert len(sampled) == min(limit, 100)
    assert list(sampled) == [each for each in ALL if each in sampled]
    assert set(sample_trajectories(tuple(reversed(ALL)), limit)) == set(sampled)
    assert set(sampled) <= set(sample_trajectories(ALL, limit + 1))


def test_a_sample_is_spread_over_the_suite() -> None:
    places = [ALL.index(each) for each in sample_trajectories(ALL, 40)]
    assert all(any(part <= place < part + 25 for place in places) for part in range(0, 100, 25)), places


@pytest.mark.parametrize("limit", [1, 3, 10, 299, 300, 301])
def test_a_sample_of_steps_takes_trajectories_from_their_beginning(limit: int) -> None:
    sampled = sample_steps(ALL, limit)
    assert len(sampled) == min(limit, 300)
    steps = {
        name: [case.step for case in sampled if case.trajectory == name] for name in {c.trajectory for c in sampled}
    }
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in steps.values())
    assert sum(len(numbers) < STEPS for numbers in steps.values()) <= 1
    assert {case.id for case in sampled} <= {case.id for case in sample_steps(ALL, limit + 1)}
