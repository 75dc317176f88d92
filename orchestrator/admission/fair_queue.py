"""A queue that serves owners in turn, and foreground work before background work."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

# Background work advances by one item for each four of the foreground, so that it never starves.
FOREGROUND_RUN = 4

Item = TypeVar("Item", bound=Hashable)


class _Line(Generic[Item]):
    """One owner's items of one class: those that go first, and the others."""

    def __init__(self) -> None:
        self.first: OrderedDict[Item, None] = OrderedDict()
        self.others: OrderedDict[Item, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self.first) + len(self.others)

    def pop(self) -> Item:
        return (self.first or self.others).popitem(last=False)[0]

    def discard(self, item: Item) -> None:
        self.first.pop(item, None)
        self.others.pop(item, None)


# In the order in which the owners are served.
_Lines = OrderedDict[str, _Line[Item]]


class FairQueue(Generic[Item]):
    """Round robin over the owners of a class: an owner with many items delays another one by one item at a time."""

    def __init__(self) -> None:
        self._foreground: _Lines[Item] = OrderedDict()
        self._background: _Lines[Item] = OrderedDict()
        self._places: dict[Item, tuple[_Lines[Item], str]] = {}
        self._foreground_run = 0

    def __len__(self) -> int:
        return len(self._places)

    def push(self, item: Item, *, owner: str, background: bool, first: bool = False) -> None:
        """Append an item; those that are `first` come before the other items of their owner and class."""
        lines = self._background if background else self._foreground
        line = lines.setdefault(owner, _Line())
        (line.first if first else line.others)[item] = None
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
        item = line.pop()
        if line:
            lines[owner] = line
        del self._places[item]
        return item

    def discard(self, item: Item) -> None:
        """Remove an item if it is there."""
        if item not in self._places:
            return
        lines, owner = self._places.pop(item)
        lines[owner].discard(item)
        if not lines[owner]:
            del lines[owner]

    def before(self, owner: str, *, background: bool) -> int:
        """About how many items come before a new one of an owner, if no other is added meanwhile."""
        own, other = (self._background, self._foreground) if background else (self._foreground, self._background)
        same_class = _before(own, owner)
        waiting = sum(map(len, other.values()))
        overtaking = FOREGROUND_RUN * (same_class + 1) if background else same_class // FOREGROUND_RUN
        return same_class + min(waiting, overtaking)


def _before(lines: _Lines[Item], owner: str) -> int:
    """The items of one class before a new one of the owner."""
    own = len(lines.get(owner, ()))
    return own + sum(min(len(line), own + 1) for name, line in lines.items() if name != owner)
