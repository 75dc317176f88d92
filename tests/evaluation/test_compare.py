"""Comparisons: paired, over the same cases, without dropping missing predictions."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.measured_steps import CLOCK, GAVE_UP, called, case_of, pairs_of, right

from evaluation.compare import Comparison, compare
from evaluation.errors import CasesDiffer
from evaluation.files.published import Pair, pair
from evaluation.statistics.paired import Difference
from recordings.errors import EmptySuite


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
        assert item.verdict == "inconclusive"
        assert item.difference in (0, None)
        assert item.interval is None or item.interval.low <= 0 <= item.interval.high


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
    assert (item.first, item.second, item.difference, item.interval, item.verdict) == (
        0,
        None,
        None,
        None,
        "inconclusive",
    )


@pytest.mark.parametrize(("trajectories", "verdict"), [(19, "inconclusive"), (20, "better")])
def test_few_trajectories_leave_it_open(trajectories: int, verdict: str) -> None:
    first, second = [False] * trajectories, [place > 0 for place in range(trajectories)]
    plan = difference_of(compare(graded(first), graded(second)), "plan_em")
    assert (plan.trajectories, plan.verdict) == (trajectories, verdict)
    assert plan.interval is not None
    assert plan.interval.low > 0


@pytest.mark.parametrize(("first", "second", "low", "high"), [(1, 0, -1, -0.8756), (0, 0, -0.0880, 0.0880)])
def test_what_never_varies_is_not_certain(first: int, second: int, low: float, high: float) -> None:
    """Score intervals of 40 trajectories that are all right or all wrong, put together."""
    plan = difference_of(compare(graded([bool(first)] * 40), graded([bool(second)] * 40)), "plan_em")
    assert plan.interval is not None
    assert (plan.interval.low, plan.interval.high) == (pytest.approx(low, abs=1e-3), pytest.approx(high, abs=1e-3))
    assert plan.verdict == ("worse" if first else "inconclusive")


def test_what_is_missing_does_not_win() -> None:
    """Where nothing was written nothing was invented, and no call was wrong."""
    cases = [case_of(f"{number}/1") for number in range(40)]
    half = [right(case) if place % 2 else called("magic", "{}") for place, case in enumerate(cases)]
    first = [pair(case, one) for case, one in zip(cases, half, strict=True)]
    second = [pair(case, one if place % 2 else None) for place, (case, one) in enumerate(zip(cases, half, strict=True))]
    for comparison in (compare(first, second), compare(second, first)):
        for name in ("hallu_rate", "argument_validity", "invented_tools"):
            item = difference_of(comparison, name)
            assert (item.incomparable, item.verdict) == (True, "inconclusive"), name
            assert item.interval is not None
            assert not item.interval.low <= 0 <= item.interval.high
    assert difference_of(compare(first, second), "call_match").incomparable is False


def test_which_is_first_makes_no_difference() -> None:
    """One trajectory counts in one of the files: in either order too few for an interval."""
    cases = [case_of(f"{number}/1") for number in range(4)]
    wild = [pair(case, called("magic", "{}") if place == 0 else GAVE_UP) for place, case in enumerate(cases)]
    for files in ((wild, graded([True] * 4)), (graded([True] * 4), wild)):
        item = difference_of(compare(*files), "invented_tools")
        assert (item.interval, item.trajectories) == (None, 1)


def test_a_file_without_histories_can_be_compared() -> None:
    bare = [pair(replace(one.case, history=()), one.prediction) for one in graded([True, False])]
    assert compare(graded([True, False]), bare).steps == 2


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        (graded([True, True]), graded([True]), "only the first file has the case '1/1'"),
        (
            graded([True]),
            graded([True] * 9),
            "only the second file has the case '1/1', '2/1', '3/1'",
        ),
        (graded([True]), [pair(case_of("0/1", decision="give up"), GAVE_UP)], "other references for the case '0/1'"),
        (
            graded([True]),
            [pair(replace(case_of("0/1"), tools=(CLOCK,)), GAVE_UP)],
            "other tools for the case '0/1'",
        ),
        (
            [pair(case_of("0/1", decision="give up"), GAVE_UP)],
            [pair(case_of("0/1", decision="give up", trajectory="1"), GAVE_UP)],
            "other histories for the case '0/1'",
        ),
    ],
)
def test_other_cases_are_refused(first: list[Pair], second: list[Pair], text: str) -> None:
    with pytest.raises(CasesDiffer) as refused:
        compare(first, second)
    assert text in refused.value.message
    assert refused.value.remedy


def test_nothing_cannot_be_compared() -> None:
    with pytest.raises(EmptySuite):
        compare([], [])
