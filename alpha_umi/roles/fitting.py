"""A role's prompt that fits a number of tokens: rendered, and its history shortened where that is needed.

Serving and training fit prompts with this one function, so that a model is asked what it was trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from alpha_umi.roles.shorten import shorten_history
from alpha_umi.roles.template import PlannerLabel, Prompt, Template, render
from alpha_umi.roles.turns import Role, Tool, Turn


@dataclass(frozen=True)
class Fitted:
    """A prompt and its tokens. `truncated`: the history was shortened for it."""

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

    The caller's history ends with the rationale. Raises `ContextExceeded` when the tools and the newest turn alone do
    not fit.
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
