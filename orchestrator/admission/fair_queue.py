"""A queue that serves owners in turn, and foreground work before background work."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

# Background work advances by one item for each four of the foreground, so that it never starves.
FOREGROUND_RUN = 4

Item = TypeVar("Item", bound=Hashable)
# The items of each owner in order, the owners in the order in which they are served.
Lines = OrderedDict[str, OrderedDict[Item, None]]


class FairQueue(Generic[Item]):
    """Round robin over the owners of a class: an owner with many items delays another one by one item at a time."""

    def __init__(self) -> None:
        self._foreground: Lines[Item] = OrderedDict()
        self._background: Lines[Item] = OrderedDict()
        self._places: dict[Item, tuple[Lines[Item], str]] = {}
        self._foreground_run = 0

    def __len__(self) -> int:
        return len(self._places)

    def push(self, item: Item, *, owner: str, background: bool, first: bool = False) -> None:
        """Append an item; `first` puts it before the other items of its owner and class."""
        lines = self._background if background else self._foreground
        line = lines.setdefault(owner, OrderedDict())
        line[item] = None
        if first:
            line.move_to_end(item, last=False)
        self._places[item] = (lines, owner)

    def pop(self) -> Item:
        """Remove and return the next item. Raises `IndexError` if there is none."""
        if not self._places:
            raise IndexError("the queue is empty")
        if self._foreground and not (self._background and self._foreground_run >= FOREGROUND_RUN):
            self._foreground_run += 1
            lines = self._foreground
        else:
            self._foreground_run = 0
            lines = self._background
        owner, line = lines.popitem(last=False)
        item, _ = line.popitem(last=False)
        if line:
            lines[owner] = line
        del self._places[item]
        return item

    def discard(self, item: Item) -> None:
        """Remove an item if it is there."""
        if item not in self._places:
            return
        lines, owner = self._places.pop(item)
        del lines[owner][item]
        if not lines[owner]:
            del lines[owner]

    def count(self, owner: str) -> int:
        """The number of an owner's items."""
        return sum(len(lines.get(owner, ())) for lines in (self._foreground, self._background))
