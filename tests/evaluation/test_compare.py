"""Comparisons: paired, over the same cases, and nothing that is missing is dropped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from measured_steps import GAVE_UP, called, case_of, pairs_of, right

from evaluation.compare import Comparison, Difference, compare
from evaluation.errors import CasesDiffer, EmptySuite
from evaluation.pairs import Pair, pair


def graded(grades: list[bool]) -> list[Pair]:
    """Calls of as many trajectories, right or given up."""
    cases = [case_of(f"{number}/1") for number in range(len(grades))]
    return [pair(case, right(case) if good else GAVE_UP) for case, good in zip(cases, grades, strict=True)]


def difference_of(comparison: Comparison, name: str) -> Difference:
    return next(item for item in comparison.differences if item.metric.name == name)


def test_the_second_is_better_where_it_is() -> None:
    first = [number % 2 == 0 for number in range(60)]
    second = [True] * 30 + first[30:]
    plan = difference_of(compare(graded(first), graded(second)), "plan_em")
    assert (plan.first, plan.second, plan.difference) == (0.5, 0.75, 0.25)
    assert plan.interval is not None
    assert 0 < plan.interval.low < 0.25 < plan.interval.high
    assert plan.verdict == "better"
    back = difference_of(compare(graded(second), graded(first)), "plan_em")
    assert (back.difference, back.verdict) == (-0.25, "worse")


def test_fewer_inventions_are_better() -> None:
    cases = [case_of(f"{number}/1") for number in range(40)]
    first = [pair(case, called("magic", "{}")) for case in cases]
    second = [pair(case, right(case) if place % 2 else called("magic", "{}")) for place, case in enumerate(cases)]
    comparison = compare(first, second)
    for name in ("hallu_rate", "invented_tools"):
        item = difference_of(comparison, name)
        assert (item.difference, item.verdict) == (-0.5, "better"), name


@given(st.lists(st.booleans(), min_size=2, max_size=12))
def test_nothing_differs_from_itself(grades: list[bool]) -> None:
    for item in compare(graded(grades), graded(grades), resamples=100).differences:
        assert item.verdict == "open"
        assert item.difference in (0, None)
        assert item.interval is None or (item.interval.low, item.interval.high) == (0, 0)


def test_pairing_shows_what_two_intervals_would_hide() -> None:
    """Both are wrong on the same hard half; the second is right on two more."""
    first = [number < 100 for number in range(200)]
    second = [number < 108 for number in range(200)]
    assert difference_of(compare(graded(first), graded(second)), "plan_em").verdict == "better"


def test_the_order_of_the_second_does_not_matter() -> None:
    first, second = graded([True, False, True]), graded([False, True, True])
    assert compare(first, second) == compare(first, second[::-1])


def test_missing_predictions_count_as_wrong_on_their_side() -> None:
    comparison = compare(pairs_of({}), pairs_of({"a/1": None}))
    assert (comparison.first_missing, comparison.second_missing) == ((), ("a/1",))
    assert difference_of(comparison, "plan_em").difference == pytest.approx(-1 / 3)


def test_a_metric_that_one_side_lacks_has_no_difference() -> None:
    item = difference_of(compare(graded([True, True]), graded([False, False])), "invented_tools")
    assert (item.first, item.second, item.difference, item.interval, item.verdict) == (0, None, None, None, "open")


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (graded([True, True]), graded([True]), "only the first file has the case '1/1'"),
        (
            graded([True]),
            graded([True] * 9),
            "only the second file has the case '1/1', '2/1', '3/1'",
        ),
        (graded([True]), [pair(case_of("0/1", decision="give up"), GAVE_UP)], "other references for the case '0/1'"),
    ],
)
def test_other_cases_are_refused(first: list[Pair], second: list[Pair], said: str) -> None:
    with pytest.raises(CasesDiffer) as refused:
        compare(first, second)
    assert said in refused.value.message
    assert refused.value.remedy


def test_nothing_cannot_be_compared() -> None:
    with pytest.raises(EmptySuite):
        compare([], [])
