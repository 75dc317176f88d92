"""JSON as text: made compact, closed where it was cut, and read as values that keep their text.

No number passes through a float, and no member is reordered or merged, so that what a tool sent stays as it was sent.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Final

# A string ends with its quote or with the text, so that a text of quotes takes no more time than another. No step is
# kept to go back to (`*+`): of a text of escapes they would take a hundred times its size.
_LEXEME: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{},:]|[^\s"\[\]{},:]+', re.DOTALL)
# Stands at the end of each list, object or text that goes on where an answer was cut.
NOT_READ: Final = "[... the rest of the answer was not read]"
# Deeper JSON cannot be checked by Python's parser.
_MAX_OPEN: Final = 1_000
# Numbers as text: the length of an integer has no limit, and none overflows.
_CHECK: Final = json.JSONDecoder(parse_int=str, parse_float=str, strict=False)


@dataclass(slots=True)
class Container:
    """An object or a list. `keys` are the names of an object's members as JSON writes them, None for a list.

    `size` is its length as compact JSON, in bytes of UTF-8.
    """

    keys: list[str] | None = None
    items: list[Value] = field(default_factory=list)
    size: int = 0

    @property
    def unit(self) -> str:
        """What its items are called."""
        return "items" if self.keys is None else "members"


# A string, number or literal is the text that JSON has for it.
Value = str | Container


def size_of(value: Value) -> int:
    """The length as compact JSON, in bytes of UTF-8."""
    return len(value.encode()) if isinstance(value, str) else value.size


def compact_json(text: str) -> str | None:
    """Valid JSON without white space between its tokens; None for anything else.

    Strings are written with the fewest escapes; one with half of a surrogate pair stays as it is.
    Accepts NaN, Infinity and line breaks in strings, which Python's and other writers produce.
    """
    return "".join(map(_plain, _LEXEME.findall(text))) if _is_json(text) else None


def closed_json(text: str) -> str | None:
    """Compact JSON of a list or object that ends too early, up to its last complete value; None for anything else.

    Each list and object that is still open there ends with the mark `NOT_READ`, an object with a member of that name.
    """
    lexemes = _LEXEME.findall(text)
    closing, place, closing_there = "", 0, ""
    for number, lexeme in enumerate(lexemes):
        if not closing and (number or lexeme not in "[{"):
            return None
        if lexeme in "[{":
            closing = ("]" if lexeme == "[" else "}") + closing
            place, closing_there = number + 1, closing
        elif lexeme in "]}":
            closing = closing[1:]
            place, closing_there = number + 1, closing
        elif lexeme == ",":
            place, closing_there = number, closing
        if len(closing) > _MAX_OPEN:
            return None
    ends = [f'"{NOT_READ}"{":null" if bracket == "}" else ""}{bracket}' for bracket in closing_there]
    if ends and lexemes[place - 1] not in "[{":
        ends.insert(0, "")
    return compact_json("".join(lexemes[:place]) + ",".join(ends))


def read_tree(compact: str) -> Value:
    """The value of compact JSON, without recursion: nesting has no limit. Takes time in proportion to the text."""
    top = Container()
    stack = [top]
    for lexeme in _LEXEME.findall(compact):
        if lexeme in ",:":
            continue
        parent = stack[-1]
        if lexeme in "]}":
            done = stack.pop()
            done.size += 2 + max(0, len(done.items) - 1)
            stack[-1].size += done.size
        elif lexeme in "[{":
            stack.append(Container([] if lexeme == "{" else None))
            parent.items.append(stack[-1])
        elif parent.keys is not None and len(parent.keys) == len(parent.items):
            parent.keys.append(lexeme)
            parent.size += len(lexeme.encode()) + 1
        else:
            parent.items.append(lexeme)
            parent.size += len(lexeme.encode())
    return top.items[0]


def write_tree(value: Value) -> str:
    """The compact JSON of a value."""
    pieces: list[str] = []
    # What is still to be written, the next one last.
    waiting = [value]
    while waiting:
        match waiting.pop():
            case str() as text:
                pieces.append(text)
            case container:
                opening, closing = "[]" if container.keys is None else "{}"
                pieces.append(opening)
                waiting.append(closing)
                for position in range(len(container.items) - 1, -1, -1):
                    waiting.append(container.items[position])
                    if container.keys is not None:
                        waiting.append(f"{container.keys[position]}:")
                    if position:
                        waiting.append(",")
    return "".join(pieces)


def _is_json(text: str) -> bool:
    try:
        _CHECK.decode(text)
    except (ValueError, RecursionError):
        return False
    return True


def _plain(lexeme: str) -> str:
    if not lexeme.startswith('"') or ("\\" not in lexeme and lexeme.isprintable()):
        return lexeme
    plain = json.dumps(json.loads(lexeme, strict=False), ensure_ascii=False)
    try:
        plain.encode()
    except UnicodeEncodeError:
        return lexeme
    return plain
