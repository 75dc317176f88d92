"""What a data set says of a whole procedure that it has not recorded: which calls are wanted, and the answers' form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Procedure:
    """The wanted calls in order, each a tool's name and its arguments as they are written there, and of each tool the
    form of its answers in words."""

    calls: tuple[tuple[str, str], ...]
    answers: Mapping[str, str]
