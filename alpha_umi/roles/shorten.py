"""Shorten a history to a token budget: one function for all roles, in serving and in training.

The least valuable text is cut first: the oldest observations, then the end of the newest turn if it is a long
observation, then complete old turns, then more of the newest observation. The instruction, which is the newest user
turn before the newest turn of all, is dropped after every other old turn.

Every search is a bisection, so that a history of twenty contexts is tokenized about three times in full, and not once
for each turn. From step to step the beginning of a shortened prompt is the same only as far as the same observations
are cut: an engine's prefix cache matches the tools and the turns before the first cut one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from alpha_umi.roles.errors import ContextExceeded
from alpha_umi.roles.turns import Turn

MARK = " [... {left_out} characters left out ...]"
# Minimum length of an old observation, and of the newest one while there are old turns to drop instead.
MIN_OBSERVATION_CHARACTERS = 80
MIN_NEWEST_CHARACTERS = 1_000

CountTokens = Callable[[Sequence[Turn]], int]
_Turns = tuple[Turn, ...]
_Fits = Callable[[Sequence[Turn]], bool]


@dataclass(frozen=True)
class Shortened:
    """A history that fits. `truncated`: some of it was cut or dropped."""

    history: tuple[Turn, ...]
    truncated: bool


def shorten_history(history: Sequence[Turn], *, budget: int, count: CountTokens) -> Shortened:
    """Shorten until `count(history)`, the tokens of the complete rendered prompt, is at most `budget`.

    Raises `ContextExceeded` if the tools and the newest turn alone exceed the budget.
    """

    def fits(turns: Sequence[Turn]) -> bool:
        return count(turns) <= budget

    turns = tuple(history)
    if fits(turns):
        return Shortened(turns, truncated=False)
    cut_newest = partial(_cut_newest, newest=turns[-1], characters=MIN_NEWEST_CHARACTERS)
    cut_it_further = partial(_cut_newest, newest=turns[-1], characters=MIN_OBSERVATION_CHARACTERS)
    for shorten in (_cut_old_observations, cut_newest, _drop_old_turns, cut_it_further, _drop_instruction):
        turns = shorten(turns, fits)
        if fits(turns):
            return Shortened(turns, truncated=True)
    raise ContextExceeded(count(turns), budget)


def _cut_old_observations(turns: _Turns, fits: _Fits) -> _Turns:
    """Cut as few of the oldest ones as necessary, the last of them only as far as necessary."""
    old = [position for position, turn in enumerate(turns[:-1]) if turn.role == "observation"]

    def with_cut(number: int) -> _Turns:
        chosen = set(old[:number])
        return tuple(
            _cut(turn, MIN_OBSERVATION_CHARACTERS) if place in chosen else turn for place, turn in enumerate(turns)
        )

    number = _fewest(len(old), lambda number: fits(with_cut(number)))
    if number is None:
        return with_cut(len(old))
    position = old[number - 1]
    return _with_longest(with_cut(number), position, turns[position], fits)


def _cut_newest(turns: _Turns, fits: _Fits, *, newest: Turn, characters: int) -> _Turns:
    if newest.role != "observation":
        return turns
    shortest = (*turns[:-1], _cut(newest, characters))
    return _with_longest(shortest, len(turns) - 1, newest, fits, characters=characters) if fits(shortest) else shortest


def _drop_old_turns(turns: _Turns, fits: _Fits) -> _Turns:
    """Drop as few of the oldest turns as necessary, but neither the instruction nor the newest turn."""
    instruction = next((place for place in reversed(range(len(turns) - 1)) if turns[place].role == "user"), None)
    old = [place for place in range(len(turns) - 1) if place != instruction]

    def without(number: int) -> _Turns:
        dropped = set(old[:number])
        return tuple(turn for place, turn in enumerate(turns) if place not in dropped)

    number = _fewest(len(old), lambda number: fits(without(number)))
    return without(len(old) if number is None else number)


def _drop_instruction(turns: _Turns, fits: _Fits) -> _Turns:
    return turns[-1:]


def _fewest(available: int, enough: Callable[[int], bool]) -> int | None:
    """The smallest number from 1 to `available` that is enough; None if there is none."""
    if not available or not enough(available):
        return None
    low, high = 1, available
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return high


def _with_longest(
    turns: _Turns, position: int, newest: Turn, fits: _Fits, *, characters: int = MIN_OBSERVATION_CHARACTERS
) -> _Turns:
    """The turns with the longest beginning of `whole` at a position with which they fit; they fit as they are."""
    best, low, high = turns, characters, len(newest.content)
    while low < high:
        middle = (low + high + 1) // 2
        attempt = (*turns[:position], _cut(newest, middle), *turns[position + 1 :])
        if fits(attempt):
            best, low = attempt, middle
        else:
            high = middle - 1
    return best


def _cut(turn: Turn, length: int) -> Turn:
    left_out = len(turn.content) - length
    if left_out <= len(MARK):
        return turn
    return Turn(turn.role, turn.content[:length] + MARK.format(left_out=left_out))
