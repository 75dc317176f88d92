"""Shortens the result of a tool to a number of bytes by its structure, with marks where something is left out.

In JSON, the names of members stay, lists keep their first items, and long texts keep both ends; what is nested too
deeply becomes a count. The result is JSON again. Other text keeps its first and last lines. The same input has the same
result. The time is proportional to the input's length.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Sequence
from typing import Any, Final

from orchestrator.tools.json_text import NOT_READ, Container, Value, compact_json, read_tree, size_of, write_tree

MIN_OBSERVATION_BYTES: Final = 1024
# Where the context of a role is not known.
_USUAL_BYTES: Final = 16 * 1024
_MAX_DEPTH: Final = 32
# An item of a list is not made smaller than this part of the list, so that it shows readable items and not counts.
_ITEMS_SHOWN: Final = 3
_MARK: Final = re.compile(
    rf"{re.escape(NOT_READ)}|\[\.{{3,}} (lines|characters|items|members) \d+ to \d+( and more)? left out\]"
)
_STRING_UNIT: Final = re.compile(r"\\u[0-9a-fA-F]{4}|\\.|[^\\]", re.DOTALL)


def shorten(text: str, max_bytes: int, *, title: str, incomplete: bool = False, remedy: str = "") -> str:
    """The text in at most `max_bytes` bytes of UTF-8, after a line that says what it is and what the marks mean.

    `incomplete`: the text is only the beginning of a longer one. `remedy` says how to read what is left out.
    """
    size, mark = len(text.encode()), _mark(text)
    more = "more than " if incomplete else ""
    marks = f'"{mark}" marks what is left out{remedy and f"; {remedy}"}.'
    head = f"[{title}: shortened from {more}{size:,} bytes. {marks}]\n"
    return _cut(head + shorten_structure(text, max(0, max_bytes - len(head.encode()))), max_bytes)


def shorten_structure(text: str, max_bytes: int) -> str:
    """The text in at most `max_bytes` bytes of UTF-8, with marks only. JSON stays JSON unless not even marks fit."""
    if len(text.encode()) <= max_bytes:
        return text
    mark, compact = _mark(text), compact_json(text)
    if compact is None:
        units, unit = text_units(text, max_bytes)
        return _cut(_both_ends(units, unit, max_bytes, mark), max_bytes)
    return _cut(_Shortener(mark).value(read_tree(compact), max_bytes), max_bytes)


def text_units(text: str, max_bytes: int) -> tuple[Sequence[str], str]:
    """The lines of a text, or its characters if fewer than four of its longest lines fit; and what they are called."""
    lines = text.splitlines(keepends=True)
    longest = max((len(line.encode()) for line in lines), default=0)
    return (text, "characters") if longest * 4 > max_bytes else (lines, "lines")


class _StringUnits(Sequence[str]):
    """The characters of a string, as JSON writes them. Each takes four bytes and not an object."""

    def __init__(self, inner: str) -> None:
        self._inner = inner
        # One by one, so that other threads get their turn.
        self._ends = array("I", (match.end() for match in _STRING_UNIT.finditer(inner)))

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: Any) -> Any:
        end = self._ends[index]
        return self._inner[self._ends[index - 1] if index % len(self) else 0 : end]


def _string_units(string: str) -> Sequence[str]:
    inner = string[1:-1]
    return _StringUnits(inner) if "\\" in inner else inner


def beginning(units: Iterable[str], max_bytes: int) -> list[str]:
    """The first units that have at most `max_bytes` bytes of UTF-8 together."""
    taken: list[str] = []
    for unit in units:
        max_bytes -= len(unit.encode())
        if max_bytes < 0:
            break
        taken.append(unit)
    return taken


def is_part(value: Value) -> bool:
    """Whether a mark says that the value is only a part: at the end of a list or object, anywhere in a text."""
    if isinstance(value, str):
        return _MARK.search(value) is not None
    if not value.items:
        return False
    last = value.items[-1] if value.keys is None else value.keys[-1]
    return isinstance(last, str) and _MARK.fullmatch(last, 1, len(last) - 1) is not None


def storable(text: str) -> str:
    """The text without NUL and halves of surrogate pairs, which the log cannot store."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def observation_bytes(context_tokens: int | None) -> int:
    """The size of an observation for a role context of this many tokens: a quarter of it at three bytes a token."""
    return _USUAL_BYTES if context_tokens is None else max(MIN_OBSERVATION_BYTES, context_tokens * 3 // 4)


def _mark(text: str) -> str:
    """The beginning of a mark: a bracket with more dots than any bracket of the text has."""
    return "[" + "." * max(3, *(len(dots) for dots in re.findall(r"\[\.{3,}", text)), 0)


def _cut(text: str, max_bytes: int) -> str:
    raw = text.encode()
    return text if len(raw) <= max_bytes else raw[:max_bytes].decode("utf-8", "ignore")


def _both_ends(units: Sequence[str], unit: str, max_bytes: int, mark: str) -> str:
    """The first units in two thirds of the bytes and the last ones in the rest, with a mark in between."""
    line_end = "\n" if unit == "lines" else ""

    def note(start: int, end: int) -> str:
        return f"{mark} {unit} {start} to {end - 1} left out]{line_end}"

    room = max(0, max_bytes - len(note(len(units), len(units)).encode()))
    first = beginning(units, room * 2 // 3)
    left = len(units) - len(first)
    last = beginning((units[-n] for n in range(1, left + 1)), room - sum(len(each.encode()) for each in first))
    return "".join([*first, note(len(first), len(units) - len(last)), *reversed(last)])


class _Shortener:
    """Shortens JSON values with one kind of mark."""

    def __init__(self, mark: str) -> None:
        self._mark = mark

    def value(self, value: Value, max_bytes: int, depth: int = 0) -> str:
        """The value in at most `max_bytes` bytes; a mark if that is too little."""
        if size_of(value) <= max_bytes:
            return write_tree(value)
        if isinstance(value, Container):
            return self._count(value) if depth >= _MAX_DEPTH else self._container(value, max_bytes, depth)
        if value.startswith('"'):
            ends = f'"{_both_ends(_string_units(value), "characters", max_bytes - 2, self._mark)}"'
            if len(ends.encode()) <= max_bytes:
                return ends
        return self._count(value)

    def _count(self, value: Value) -> str:
        """A mark for the value."""
        if isinstance(value, Container):
            number = f"more than {len(value.items) - 1}" if is_part(value) else len(value.items)
            return f'"{self._mark} {number} {value.unit}]"'
        kind = "characters" if value.startswith('"') else "digits"
        return f'"{self._mark} {len(value)} {kind}]"'

    def _container(self, node: Container, max_bytes: int, depth: int) -> str:
        total, part = len(node.items), is_part(node)
        more_left = " and more" if part else ""
        note = f'"{self._mark} {node.unit} {total} to {total}{more_left} left out]":null'
        room, least = max_bytes - 2, []
        for number, item in enumerate(node.items):
            smallest = len(self._count(item)) if node.keys is not None else max(len(note), max_bytes // _ITEMS_SHOWN)
            least.append(min(size_of(item), smallest))
            room -= least[-1] + _overhead(node, number)
            if room < (0 if number == total - 1 else len(note) + 1):
                room += least.pop() + _overhead(node, number)
                break
        shown = len(least)
        if not shown:
            return self._count(node)
        if shown < total:
            room -= len(note) + 1
        more = _shares([size_of(item) - given for item, given in zip(node.items, least, strict=False)], room)
        written = [self.value(node.items[n], least[n] + more[n], depth + 1) for n in range(shown)]
        if node.keys is not None:
            written = [f"{key}:{value}" for key, value in zip(node.keys, written, strict=False)]
        if shown < total:
            left = f'"{self._mark} {node.unit} {shown} to {total - 1 - part}{more_left} left out]"'
            if shown == total - part:
                # Only the mark is left out.
                left = node.keys[-1] if node.keys else write_tree(node.items[-1])
            written.append(left if node.keys is None else f"{left}:null")
        return f"[{','.join(written)}]" if node.keys is None else f"{{{','.join(written)}}}"


def _overhead(node: Container, number: int) -> int:
    """Bytes of the comma and the name of an item."""
    return 1 + (0 if node.keys is None else len(node.keys[number].encode()) + 1)


def _shares(needs: Sequence[int], room: int) -> list[int]:
    """How `room` is shared: each need up to the same bound, which is as high as possible."""
    shares, left = [0] * len(needs), len(needs)
    for number in sorted(range(len(needs)), key=needs.__getitem__):
        shares[number] = min(needs[number], room // left)
        room -= shares[number]
        left -= 1
    return shares
