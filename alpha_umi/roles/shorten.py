"""Shorten a history to a token budget: one function for all roles, in serving and in training.

What goes first is what is cheapest to lose: the text of the oldest observations, then whole old turns, then the text
of the newest turn where that is an observation. The user's instruction outlives every other old turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from alpha_umi.roles.errors import ContextExceeded
from alpha_umi.roles.turns import Turn

MARK = " [... {left_out} characters left out ...]"
KEPT_CHARACTERS = 80

CountTokens = Callable[[Sequence[Turn]], int]


@dataclass(frozen=True)
class Shortened:
    """A history that fits, and whether anything was left out of it."""

    history: tuple[Turn, ...]
    truncated: bool


def shorten_history(history: Sequence[Turn], *, budget: int, count: CountTokens) -> Shortened:
    """Shorten until `count(history)`, the tokens of the whole rendered prompt, is at most `budget`.

    Raises `ContextExceeded` when the tools and the newest turn alone do not fit.
    """
    turns = list(history)
    if count(turns) <= budget:
        return Shortened(tuple(turns), truncated=False)
    for position in _old_observations(turns):
        turns[position] = _cut_to_fit(turns, position, budget, count)
        if count(turns) <= budget:
            return Shortened(tuple(turns), truncated=True)
    for keep_instruction in (True, False):
        turns = _drop_oldest(turns, budget, count, keep_instruction=keep_instruction)
        if turns[-1].role == "observation" and count(turns) > budget:
            turns[-1] = _cut_to_fit(turns, len(turns) - 1, budget, count)
        if count(turns) <= budget:
            return Shortened(tuple(turns), truncated=True)
    raise ContextExceeded(count(turns), budget)


def _old_observations(turns: Sequence[Turn]) -> list[int]:
    return [position for position, turn in enumerate(turns[:-1]) if turn.role == "observation"]


def _cut_to_fit(turns: list[Turn], position: int, budget: int, count: CountTokens) -> Turn:
    """The longest beginning of one turn with which the whole fits, or its shortest one."""
    content = turns[position].content
    low, high = min(KEPT_CHARACTERS, len(content)), len(content)
    while low < high:
        middle = (low + high + 1) // 2
        attempt = [*turns[:position], _cut(turns[position], middle), *turns[position + 1 :]]
        low, high = (middle, high) if count(attempt) <= budget else (low, middle - 1)
    return _cut(turns[position], low)


def _cut(turn: Turn, length: int) -> Turn:
    left_out = len(turn.content) - length
    if left_out <= len(MARK):
        return turn
    return Turn(turn.role, turn.content[:length] + MARK.format(left_out=left_out))


def _drop_oldest(turns: list[Turn], budget: int, count: CountTokens, *, keep_instruction: bool) -> list[Turn]:
    """Drop old turns one after the other; the newest always stays, the first user turn while it is to be kept."""
    kept = list(turns)
    first = 1 if keep_instruction and kept[0].role == "user" else 0
    while len(kept) > first + 1 and count(kept) > budget:
        del kept[first]
    return kept
