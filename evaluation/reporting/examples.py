"""Which examples stand behind the numbers of a run: some for each number, and as few as that takes in all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

EXAMPLES_PER_CELL: Final = 3
# Examples of a run in all, for each one that a number has.
AT_MOST: Final = 12


@dataclass(frozen=True)
class Group:
    """What a number counts: the places in the run that belong to it, those to be looked at first in front."""

    anchor: str
    title: str
    places: Sequence[int]


@dataclass(frozen=True)
class Chosen:
    """The places that are shown, in order, and those of each group (by its anchor)."""

    places: tuple[int, ...]
    by_group: dict[str, tuple[int, ...]] = field(default_factory=dict)


def choose(groups: Sequence[Group], each: int = EXAMPLES_PER_CELL) -> Chosen:
    """Up to `each` examples for a group, at least one for every group that is not empty.

    What is shown for one group stands for others as well. Beyond `AT_MOST` times `each` nothing is shown that no group
    needs as its only one.
    """
    shown: set[int] = set()
    for group in groups:
        if group.places and not shown & set(group.places):
            shown.add(group.places[0])
    for group in groups:
        lacking = each - len(shown & set(group.places))
        room = AT_MOST * each - len(shown)
        fresh = [place for place in group.places if place not in shown]
        shown.update(fresh[: max(0, min(lacking, room))])
    by_group = {group.anchor: tuple(place for place in group.places if place in shown)[:each] for group in groups}
    return Chosen(tuple(sorted(shown)), by_group)
