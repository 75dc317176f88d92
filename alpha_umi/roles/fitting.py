"""Fit a role's prompt into a token budget: render it, and shorten its history if necessary.

Serving and training use this one function, so that serving prompts are identical to training prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from alpha_umi.roles.shorten import shorten_history
from alpha_umi.roles.template import PlannerLabel, Prompt, Template, render
from alpha_umi.roles.turns import Role, Tool, Turn


@dataclass(frozen=True)
class Fitted:
    """A prompt and its number of tokens. `truncated`: the history was shortened to fit."""

    prompt: Prompt
    tokens: int
    truncated: bool


def fit(
    role: Role,
    template: Template,
    *,
    history: Sequence[Turn],
    tools: Sequence[Tool],
    budget: int,
    count: Callable[[Prompt], int],
    planner_label: PlannerLabel = "assistant",
) -> Fitted:
    """The role's prompt with at most `budget` tokens, as `count` counts them.

    The caller's history ends with the rationale. Raises `ContextExceeded` if the tools and the newest turn alone exceed
    the budget.
    """

    def prompt_of(turns: Sequence[Turn]) -> Prompt:
        return render(
            role,
            template,
            history=turns,
            tools=tools,
            thought=turns[-1].content if role == "caller" else "",
            planner_label=planner_label,
        )

    shortened = shorten_history(history, budget=budget, count=lambda turns: count(prompt_of(turns)))
    prompt = prompt_of(shortened.history)
    return Fitted(prompt, count(prompt), shortened.truncated)
