"""The retry budget under any sequence of calls and retries."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.roles.calls import RetryBudget


@given(st.lists(st.integers(0, 3), max_size=500))
def test_a_tenth_of_the_calls_and_a_few_more(wanted: list[int]) -> None:
    budget = RetryBudget()
    taken = 0
    for calls, retries in enumerate(wanted, start=1):
        budget.count_call()
        taken += sum(budget.take() for _ in range(retries))
        assert taken <= 10 + 0.1 * calls


def test_it_fills_again_with_calls() -> None:
    budget = RetryBudget(initial=1)
    assert [budget.take(), budget.take()] == [True, False]
    for _ in range(11):
        budget.count_call()
    assert [budget.take(), budget.take()] == [True, False]


def test_a_good_time_saves_up_no_storm() -> None:
    budget = RetryBudget(most=20)
    for _ in range(10_000):
        budget.count_call()
    assert sum(budget.take() for _ in range(1_000)) == 20
