"""Ids for trajectories that their data gives none: they follow from the instruction, and stay when rows are moved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from evaluation.instructions import instruction_digest

SHOWN_DIGITS = 16


def ids_of(instructions: Iterable[str]) -> Iterator[str]:
    """An id for each; a repeated instruction is numbered."""
    seen: Counter[str] = Counter()
    for instruction in instructions:
        name = instruction_digest(instruction)[:SHOWN_DIGITS]
        seen[name] += 1
        yield name if seen[name] == 1 else f"{name}-{seen[name]}"
