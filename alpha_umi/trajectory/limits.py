"""What bounds a trajectory, and the names of what is reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LimitKind = Literal["deadline"]
UnreadablePolicy = Literal["conclusion", "caller", "give up"]
DeadEndReason = Literal["gave_up", "max_depth", "repeated_call"]


@dataclass(frozen=True)
class Limits:
    """What bounds a trajectory.

    `max_steps` counts decisions for a call since the newest user turn; of a search all decisions, on every branch.
    `max_tokens` (None: no limit) bounds the tokens of all roles together, read and written, since the newest user turn;
    it is looked at between two steps. `max_repeats` is how often the same call may bring the same observation before
    the run, or the branch of a search, is ended. `on_unreadable` is the decision that stands in for one that could not
    be read.

    A search goes `max_depth` steps deep and tries a place `max_width` times. By default as the published search does:
    its depth of 12 counts tree nodes, of which a step is three (thought, name of the tool, arguments).
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
