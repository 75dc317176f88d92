"""Intervals: reproducible by seed, with the nominal coverage, and absent without data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.statistics.bootstrap import (
    Interval,
    boundary_interval,
    interval,
    intervals,
    mean,
    resampled_means,
    sums_by_trajectory,
    wilson_interval,
)

VALUES = st.lists(st.tuples(st.sampled_from("abcd"), st.none() | st.floats(0, 1)), min_size=1, max_size=20)


def interval_of(
    trajectories: list[str], values: list[float | None], *, seed: int = 0, share: bool = True
) -> Interval | None:
    sums = sums_by_trajectory(trajectories, [values])
    samples = resampled_means(sums, resamples=500, seed=seed)
    return intervals(sums, samples, [mean(values)], shares=[share])[0]


@given(VALUES)
def test_it_lies_within_the_values_and_is_repeatable(steps: list[tuple[str, float | None]]) -> None:
    trajectories, values = [one for one, _ in steps], [value for _, value in steps]
    known = interval_of(trajectories, values, share=False)
    assert known == interval_of(trajectories, values, share=False)
    counted = {one for one, value in steps if value is not None}
    if len(counted) < 2:
        assert known is None
    if known is not None:
        seen = [value for value in values if value is not None]
        assert min(seen) - 1e-9 <= known.low <= known.high <= max(seen) + 1e-9


def test_another_seed_draws_others() -> None:
    values = [float(number % 3 == 0) for number in range(50)]
    names = [str(number) for number in range(50)]
    assert interval_of(names, list(values), seed=1) != interval_of(names, list(values), seed=2)


def test_independent_steps_get_the_textbook_interval() -> None:
    values: list[float | None] = [float(number < 400) for number in range(1_000)]
    known = interval_of([str(number) for number in range(1_000)], values)
    assert known is not None
    half = 1.96 * np.sqrt(0.4 * 0.6 / 1_000)
    assert (known.low, known.high) == (pytest.approx(0.4 - half, abs=0.006), pytest.approx(0.4 + half, abs=0.006))


def test_steps_that_go_together_widen_it() -> None:
    """100 trajectories of 10 steps each, all right or all wrong, tell no more than 100 steps."""
    values: list[float | None] = [float(number // 10 % 2) for number in range(1_000)]
    compatible_groups = interval_of([str(number // 10) for number in range(1_000)], values)
    alone = interval_of([str(number) for number in range(1_000)], values)
    assert compatible_groups is not None
    assert alone is not None
    assert compatible_groups.high - compatible_groups.low > 2.5 * (alone.high - alone.low)


@pytest.mark.parametrize(("value", "low", "high"), [(0.0, 0.0, 0.2775), (1.0, 0.7225, 1.0)])
def test_a_share_that_never_varies_is_not_certain(value: float, low: float, high: float) -> None:
    """The score interval of 0, or 10, of 10: as many as there are trajectories, whatever the number of steps."""
    known = interval_of([str(step // 4) for step in range(40)], [value] * 40)
    assert known is not None
    assert (known.low, known.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_what_never_varies_otherwise_has_no_interval() -> None:
    names = [str(number) for number in range(30)]
    assert interval_of(names, [0.3] * 30) is None
    assert interval_of(names, [0.0] * 30, share=False) is None
    assert interval_of(["a"], [1.0]) is None
    # Two equal texts have an R-L of all but 1.
    assert interval_of(names, [1 - 5e-9] * 30) == interval_of(names, [1.0] * 30)
    assert boundary_interval(0.5, 30) is boundary_interval(None, 30) is None


def test_no_values_have_no_interval() -> None:
    assert mean([]) is mean([None]) is None
    assert interval_of(["a", "b"], [None, None]) is None
    assert interval_of(["a", "a"], [1.0, 0.0]) is None
    assert interval(np.array([np.nan])) is None


def test_resamples_without_a_step_that_counts_are_left_out() -> None:
    known = interval_of(["a", "b", "c", "d"], [1.0, 0.0, None, None])
    assert known == Interval(0.0, 1.0)


def test_the_interval_of_a_share_is_the_score_interval() -> None:
    # Wilson's interval of 15 of 20, as it stands in tables.
    shown = wilson_interval(15, 20)
    assert (shown.low, shown.high) == pytest.approx((0.5313, 0.8881), abs=5e-5)
    for hits in (0, 20):
        extreme = boundary_interval(hits / 20, 20)
        assert extreme is not None
        shown = wilson_interval(hits, 20)
        assert (shown.low, shown.high) == pytest.approx((extreme.low, extreme.high))


@pytest.mark.parametrize("n", [1, 3, 4, 20, 999])
def test_an_extreme_share_ends_at_the_extreme_itself(n: int) -> None:
    assert (wilson_interval(0, n).low, wilson_interval(n, n).high) == (0.0, 1.0)
