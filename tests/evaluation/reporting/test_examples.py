"""Every figure has an example, and the size of a page is bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from evaluation.reporting.examples import AT_MOST, Group, choose


def test_one_example_stands_for_many_numbers() -> None:
    chosen = choose([Group("a", "a", [4, 2]), Group("b", "b", [2]), Group("c", "c", [])], each=1)
    assert chosen.places == (2, 4)
    assert chosen.by_group == {"a": (4,), "b": (2,), "c": ()}


def test_the_first_examples_are_chosen_up_to_the_requested_number() -> None:
    chosen = choose([Group("a", "a", range(100))], each=3)
    assert chosen.by_group == {"a": (0, 1, 2)}
    assert chosen.places == (0, 1, 2)


@given(
    st.lists(st.lists(st.integers(0, 200), unique=True, max_size=200), max_size=60),
    st.integers(1, 5),
)
def test_no_number_is_without_and_the_page_is_bounded(places: list[list[int]], each: int) -> None:
    chosen = choose([Group(str(number), "", group) for number, group in enumerate(places)], each)
    for number, group in enumerate(places):
        shown = chosen.by_group[str(number)]
        assert bool(shown) == bool(group)
        assert set(shown) <= set(group) & set(chosen.places)
        assert len(shown) <= each
    assert len(chosen.places) <= max(AT_MOST * each, len(places))
