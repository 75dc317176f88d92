"""Fit a role's prompt into a token budget: render it, and shorten its history if necessary.

Serving and training use this one function, so that serving prompts are identical to training prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from alpha_umi.roles.shorten import shorten_history
from alpha_umi.roles.template import ChatPrompt, Prompt
from alpha_umi.roles.turns import Turn

P = TypeVar("P", bound=Prompt | ChatPrompt)


@dataclass(frozen=True)
class Fitted(Generic[P]):
    """A prompt and its number of tokens. `truncated`: the history was shortened to fit."""

    prompt: P
    tokens: int
    truncated: bool


def fit(
    rendered: Callable[[Sequence[Turn]], P], history: Sequence[Turn], *, budget: int, count: Callable[[P], int]
) -> Fitted[P]:
    """The prompt that `rendered` makes of a history, with at most `budget` tokens, as `count` counts them.

    Raises `ContextExceeded` if the tools and the newest turn alone exceed the budget.
    """
    shortened = shorten_history(history, budget=budget, count=lambda turns: count(rendered(turns)))
    prompt = rendered(shortened.history)
    return Fitted(prompt, count(prompt), shortened.truncated)
