"""Untrusted text from models, tools and servers, made safe for terminals and pages.

Such text can contain escape sequences that recolour or rewrite a terminal, markup of the printing library, or marks
that reverse the reading direction. Every such character is replaced by a visible one; a sequence is then harmless, even
if it was streamed in pieces.
"""

from __future__ import annotations

import re
import unicodedata

_ALLOWED = frozenset("\n\t\u200c\u200d")  # line break, tab, and the two joiners that scripts and emoji need
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_CONTROL_PICTURES = 0x2400


def plain(text: str) -> str:
    """The text with every control, direction and surrogate character made visible."""
    return "".join(map(_shown, text.replace("\r\n", "\n")))


def plain_line(text: str) -> str:
    """The same on one line."""
    return re.sub(r"\s+", " ", plain(text)).strip()


def beginning(text: str, characters: int) -> str:
    """The beginning of a text on one line, with an ellipsis if it is truncated."""
    line = plain_line(text)
    return line if len(line) <= characters else line[: characters - 1].rstrip() + "…"


def both_ends(text: str, characters: int) -> str:
    """Both ends of a text on one line, with an ellipsis between them if it is truncated."""
    line = plain_line(text)
    half = (characters - 1) // 2
    return line if len(line) <= characters else f"{line[: characters - 1 - half]}…{line[len(line) - half :]}"


def bounded(text: str, *, lines: int, columns: int) -> tuple[str, int]:
    """The first `lines` lines, truncated to `columns` characters, and the number of characters dropped."""
    shortened = [line[:columns] for line in text.split("\n")[:lines]]
    excerpt = "\n".join(shortened)
    return excerpt, len(text) - len(excerpt)


def _shown(character: str) -> str:
    if character in _ALLOWED or unicodedata.category(character) not in _UNSAFE:
        return character
    code = ord(character)
    if code < 0x20:
        return chr(_CONTROL_PICTURES + code)
    return f"<U+{code:04X}>"
