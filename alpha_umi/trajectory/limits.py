"""Limits of a trajectory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LimitKind = Literal["deadline"]
UnreadablePolicy = Literal["conclusion", "caller", "give up"]
DeadEndReason = Literal["gave_up", "max_depth", "repeated_call"]


@dataclass(frozen=True)
class Limits:
    """Limits of a trajectory. They apply to the steps since the newest user turn; `max_steps` and `max_tokens` to those
    since the newest request (`State.request_start`).

    `max_steps` bounds the decisions for a call; in a search, all decisions on every branch. `max_tokens` (None: no
    limit) bounds prompt and completion tokens of all roles together and is checked between two steps. `max_repeats`
    is how often the same call may return the same observation before the turn, or the branch of a search, ends.
    `on_unreadable` is the decision to assume when the planner's output cannot be parsed.

    A branch of a search has at most `max_depth` steps, and a step at most `max_width` children. The defaults are those
    of the published search, whose depth of 12 counts three tree nodes per step (thought, tool name, arguments).
    """

    max_steps: int = 8
    max_repeats: int = 3
    on_unreadable: UnreadablePolicy = "conclusion"
    max_tokens: int | None = None
    max_depth: int = 4
    max_width: int = 2

    def __post_init__(self) -> None:
        for name in ("max_steps", "max_repeats", "max_tokens", "max_depth", "max_width"):
            bound = getattr(self, name)
            if bound is not None and bound < 1:
                raise ValueError(f"{name} is at least 1")
