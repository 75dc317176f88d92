"""Shortening: a history that fits is unchanged, others fit afterwards, and the newest turn survives."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from alpha_umi.roles.errors import ContextExceeded
from alpha_umi.roles.shorten import MARK, shorten_history
from alpha_umi.roles.turns import Turn

BASE = 20  # tokens of the tools and of the prompt's frame


def count(turns: Sequence[Turn]) -> int:
    """One token per character, and two per turn."""
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
    # As much as fits remains: within the width of the mark.
    assert count(shortened.history) > 800 - 50


def test_complete_old_turns_go_next_and_the_instruction_stays() -> None:
    history = [
        Turn("user", "earlier question"),
        Turn("conclusion", "y" * 100),
        Turn("user", "question"),
        *[Turn("planner", f"{number}" * 100) for number in range(10)],
    ]
    shortened = shorten_history(history, budget=400, count=count)
    assert shortened.history == (history[2], *history[-3:])


def test_the_instruction_stays_before_a_newest_turn_of_the_user() -> None:
    """The planner of a search sees earlier candidates as a user turn."""
    history = [Turn("user", "question"), *[Turn("planner", "x" * 100)] * 5, Turn("user", "tried before")]
    shortened = shorten_history(history, budget=300, count=count)
    assert shortened.truncated
    assert (shortened.history[0], shortened.history[-1]) == (history[0], history[-1])


def test_old_turns_stay_while_a_long_newest_observation_can_be_cut() -> None:
    history = [
        Turn("user", "question"),
        Turn("planner", "think"),
        Turn("caller", "call"),
        Turn("observation", "z" * 9_000),
    ]
    shortened = shorten_history(history, budget=2_000, count=count)
    assert shortened.history[:3] == tuple(history[:3])
    assert count(shortened.history) > 2_000 - 50


def test_the_mark_says_how_much_of_the_original_is_missing() -> None:
    history = [Turn("user", "question"), *[Turn("planner", "x" * 100)] * 3, Turn("observation", "z" * 9_000)]
    newest = shorten_history(history, budget=300, count=count).history[-1].content
    remaining = len(newest) - len(newest.lstrip("z"))
    assert newest == "z" * remaining + MARK.format(left_out=9_000 - remaining)


@given(st.lists(TURNS, min_size=1, max_size=12), st.integers(BASE, 2_000))
@settings(deadline=None)
def test_shortening_again_changes_nothing(history: list[Turn], budget: int) -> None:
    try:
        once = shorten_history(history, budget=budget, count=count)
    except ContextExceeded:
        return
    again = shorten_history(once.history, budget=budget, count=count)
    assert (again.history, again.truncated) == (once.history, False)


@given(st.lists(TURNS, min_size=1, max_size=12), st.integers(BASE, 1_900), st.integers(0, 100))
@settings(deadline=None)
def test_more_room_never_keeps_fewer_turns(history: list[Turn], budget: int, more: int) -> None:
    try:
        narrow = shorten_history(history, budget=budget, count=count)
    except ContextExceeded:
        return
    wide = shorten_history(history, budget=budget + more, count=count)
    assert len(wide.history) >= len(narrow.history)
    assert narrow.truncated or not wide.truncated


@given(st.lists(st.integers(0, 900), min_size=3, max_size=12), st.integers(900, 3_500))
@settings(deadline=None)
def test_the_next_step_begins_as_this_one_up_to_the_last_cut(sizes: list[int], budget: int) -> None:
    """An engine's prefix cache needs this, as long as cutting observations is enough."""

    steps = [(Turn("planner", f"step {place}"), Turn("observation", "o" * size)) for place, size in enumerate(sizes)]

    def seen_by_caller(number: int) -> list[Turn]:
        return [Turn("user", "question"), *(turn for step in steps[:number] for turn in step), steps[number][0]]

    def cut_at(number: int) -> tuple[tuple[Turn, ...], list[int]]:
        complete = seen_by_caller(number)
        shown = shorten_history(complete, budget=budget, count=count).history
        assume(len(shown) == len(complete))
        return shown, [place for place, turn in enumerate(shown) if turn != complete[place]]

    for number in range(1, len(sizes) - 1):
        now, cut_now = cut_at(number)
        then, cut_then = cut_at(number + 1)
        same = cut_now[-1] if cut_now else min([len(now), *cut_then])
        assert now[:same] == then[:same]


@pytest.mark.parametrize("turns", [200, 2_000])
def test_a_long_history_is_not_counted_once_a_turn(turns: int) -> None:
    """Counting is tokenizing, so the total of counted characters is the cost."""
    history = [Turn("user", "question")]
    for _ in range(turns // 2):
        history += [Turn("planner", "p" * 40), Turn("observation", "o" * 400)]
    counted = []

    def counting(some: Sequence[Turn]) -> int:
        counted.append(count(some))
        return counted[-1]

    shorten_history(history, budget=count(history) // 20, count=counting)
    assert sum(counted) < 4 * count(history)


def test_a_newest_observation_is_cut_before_the_request_is_refused() -> None:
    history = [Turn("user", "question"), Turn("observation", "y" * 5_000)]
    shortened = shorten_history(history, budget=300, count=count)
    assert count(shortened.history) <= 300
    assert shortened.history[0] == history[0]


def test_a_newest_turn_that_does_not_fit_is_refused_with_the_figures() -> None:
    with pytest.raises(ContextExceeded, match="need 1022 tokens, and the context leaves 500"):
        shorten_history([Turn("user", "x" * 1_000)], budget=500, count=count)
