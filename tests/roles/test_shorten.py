"""Shortening: what fits stays as it was, what does not fits afterwards, and the newest turn survives."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_umi.roles.errors import ContextExceeded
from alpha_umi.roles.shorten import shorten_history
from alpha_umi.roles.turns import Turn

BASE = 20  # what the tools and the frame of the prompt cost


def count(turns: Sequence[Turn]) -> int:
    """A token a character, and two a turn."""
    return BASE + sum(len(turn.content) + 2 for turn in turns)


TURNS = st.builds(
    Turn, st.sampled_from(["user", "planner", "caller", "observation", "conclusion"]), st.text(max_size=400)
)


@given(st.lists(TURNS, min_size=1, max_size=12), st.integers(BASE, 2_000))
@settings(deadline=None)
def test_the_result_fits_or_the_newest_turn_cannot(history: list[Turn], budget: int) -> None:
    try:
        shortened = shorten_history(history, budget=budget, count=count)
    except ContextExceeded as error:
        assert error.needed > budget
        newest = history[-1]
        assert newest.role == "observation" or count([newest]) > budget
        return
    assert count(shortened.history) <= budget
    assert shortened.truncated == (list(shortened.history) != history)
    assert shortened.history[-1].role == history[-1].role
    if count(history) <= budget:
        assert list(shortened.history) == history


def test_the_oldest_observation_goes_first_and_is_marked() -> None:
    history = [
        Turn("user", "question"),
        Turn("planner", "first"),
        Turn("observation", "a" * 1_000),
        Turn("planner", "second"),
        Turn("observation", "b" * 300),
    ]
    shortened = shorten_history(history, budget=800, count=count)
    assert shortened.truncated
    assert [turn.role for turn in shortened.history] == [turn.role for turn in history]
    assert shortened.history[2].content.startswith("a" * 80)
    assert shortened.history[2].content.endswith("characters left out ...]")
    assert shortened.history[4] == history[4]
    # As much as fits is kept: within the width of the mark.
    assert count(shortened.history) > 800 - 50


def test_whole_old_turns_go_next_and_the_instruction_stays() -> None:
    history = [Turn("user", "question"), *[Turn("planner", "x" * 100) for _ in range(10)], Turn("user", "newest")]
    shortened = shorten_history(history, budget=400, count=count)
    assert shortened.history[0] == history[0]
    assert shortened.history[-1] == history[-1]
    assert len(shortened.history) < len(history)


def test_a_newest_observation_is_cut_before_the_request_is_refused() -> None:
    history = [Turn("user", "question"), Turn("observation", "y" * 5_000)]
    shortened = shorten_history(history, budget=300, count=count)
    assert count(shortened.history) <= 300
    assert shortened.history[0] == history[0]


def test_a_newest_turn_that_does_not_fit_is_refused_with_the_figures() -> None:
    with pytest.raises(ContextExceeded, match="need 1022 tokens, and the context leaves 500"):
        shorten_history([Turn("user", "x" * 1_000)], budget=500, count=count)
