"""Choose the examples behind the figures of a run: some for each figure, and few in total."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

EXAMPLES_PER_CELL: Final = 3
# The maximum number of examples of a run, as a multiple of those of one group.
AT_MOST: Final = 12


@dataclass(frozen=True)
class Group:
    """The items that a figure counts: their indices in the run, the most interesting first."""

    anchor: str
    title: str
    places: Sequence[int]


@dataclass(frozen=True)
class Chosen:
    """The indices of all chosen examples, in order, and those of each group by its anchor."""

    places: tuple[int, ...]
    by_group: dict[str, tuple[int, ...]] = field(default_factory=dict)


def choose(groups: Sequence[Group], each: int = EXAMPLES_PER_CELL) -> Chosen:
    """Choose up to `each` examples per group, and at least one for every group that is not empty.

    An example of one group counts for every group that contains it. Above `AT_MOST` times `each` examples, only
    those that are the single example of a group are added.
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
