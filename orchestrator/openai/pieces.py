"""How texts are cut into deltas: the same pieces, whether a text arrives bit by bit or at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

# Room that the numbers of events leave for the deltas of an item.
MAX_PIECES: Final = 4_900
_LONGEST_WORD: Final = 16
_ARGUMENT_CHARACTERS: Final = 64
_PIECE: Final = re.compile(rf"\s*\S{{1,{_LONGEST_WORD}}}")


def text_pieces(text: str) -> list[str]:
    """The pieces of a complete text: words with the white space before them, long ones in parts, and the white space
    at the end.
    """
    pieces = _PIECE.findall(text)
    rest = text[sum(map(len, pieces)) :]
    return _bounded([*pieces, rest] if rest else pieces)


def argument_pieces(arguments: str) -> list[str]:
    """The pieces of JSON text."""
    return _bounded(
        [arguments[at : at + _ARGUMENT_CHARACTERS] for at in range(0, len(arguments), _ARGUMENT_CHARACTERS)]
    )


def _bounded(pieces: list[str]) -> list[str]:
    if len(pieces) > MAX_PIECES:
        pieces[MAX_PIECES - 1 :] = ["".join(pieces[MAX_PIECES - 1 :])]
    return pieces


class GrowingText:
    """A text that a role is writing, and the pieces of it that are certain.

    From the first of `endings` on, nothing is certain: what follows may be the role's decision.
    """

    def __init__(self, endings: Sequence[str] = ()) -> None:
        self.pieces: list[str] = []
        self._endings = endings
        self._rest = ""

    def add(self, text: str) -> list[str]:
        """The pieces that have become certain with some more text."""
        self._rest += text
        if not self.pieces:
            self._rest = self._rest.lstrip()
        added = list(self._certain())
        self._rest = self._rest[sum(map(len, added)) :]
        self.pieces += added
        return added

    def _certain(self) -> Iterator[str]:
        lead = self._lead()
        # The last piece of a long text is everything that is left of it.
        for number, match in enumerate(_PIECE.finditer(lead), start=len(self.pieces) + 1):
            piece = match.group()
            if number < MAX_PIECES and (match.end() < len(lead) or len(piece.lstrip()) == _LONGEST_WORD):
                yield piece

    def _lead(self) -> str:
        starts = [at for at in map(self._rest.find, self._endings) if at >= 0]
        if starts:
            return self._rest[: min(starts)]
        return self._rest[
            : len(self._rest) - max((_overlap(self._rest, ending) for ending in self._endings), default=0)
        ]


def _overlap(text: str, ending: str) -> int:
    """The length of the longest beginning of `ending` with which the text ends."""
    return next(size for size in range(min(len(text), len(ending)), -1, -1) if text.endswith(ending[:size]))
