"""The content model of pages: sections of paragraphs, tables, charts, lists, verbatim texts, and folds.

Everything in here is plain text, which the renderers escape. Only the drawing of a `Chart` is markup, made by `charts`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final, Literal

# Colour of a text on a terminal.
Tone = Literal["plain", "good", "bad", "warning", "note"]


@dataclass(frozen=True)
class Cell:
    """A text that may link to an `anchor` of the page. `shade`, from 0 to 4, is the background of a table cell."""

    text: str
    anchor: str | None = None
    shade: int = 0
    tone: Tone = "plain"


Row = Sequence[Cell | str]


@dataclass(frozen=True)
class Paragraph:
    """A paragraph. A `warning` stands out."""

    text: str
    warning: bool = False
    tone: Tone = "plain"
    kind: ClassVar[str] = "paragraph"


@dataclass(frozen=True)
class Table:
    """A table with its caption. The columns `texts` hold words, the others figures; the first one heads its row."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Row]
    texts: Collection[int] = (0,)
    kind: ClassVar[str] = "table"

    @property
    def cells(self) -> list[list[Cell]]:
        """The rows, with every value as a cell."""
        return [[place if isinstance(place, Cell) else Cell(place) for place in row] for row in self.rows]

    def unlinked(self) -> Table:
        """The same table without links."""
        return replace(self, rows=[[replace(cell, anchor=None) for cell in row] for row in self.cells])


@dataclass(frozen=True)
class Chart:
    """A drawing: SVG markup without scripts or references, and a sentence as its text alternative."""

    title: str
    description: str
    svg: str
    kind: ClassVar[str] = "chart"


@dataclass(frozen=True)
class Gallery:
    """Charts side by side, as many as fit."""

    charts: Sequence[Chart]
    kind: ClassVar[str] = "gallery"


@dataclass(frozen=True)
class Listing:
    """A list of short texts."""

    items: Sequence[Cell]
    kind: ClassVar[str] = "listing"


@dataclass(frozen=True)
class Verbatim:
    """A verbatim text, including line ends, under a label."""

    label: str
    text: str
    kind: ClassVar[str] = "verbatim"


@dataclass(frozen=True)
class Fold:
    """Collapsed blocks. Following a link to the `anchor` opens the fold."""

    summary: str
    blocks: Sequence[Block]
    anchor: str | None = None
    kind: ClassVar[str] = "fold"


@dataclass(frozen=True)
class Section:
    """A headed part of a page. Markdown omits a `detail`."""

    title: str
    blocks: Sequence[Block]
    anchor: str | None = None
    detail: bool = False
    kind: ClassVar[str] = "section"

    def unlinked(self) -> Section:
        """The same section without links in its tables."""
        linked = (Table, Section)
        return replace(self, blocks=[block.unlinked() if isinstance(block, linked) else block for block in self.blocks])


Block = Paragraph | Table | Chart | Gallery | Listing | Verbatim | Fold | Section


# A prompt of 8,000 characters is not truncated.
CHARACTERS: Final = 12_000


def verbatim(label: str, text: str) -> Verbatim:
    """A verbatim text, or both of its ends if it is too long."""
    if len(text) <= CHARACTERS:
        return Verbatim(label, text)
    half = CHARACTERS // 2
    excluded = len(text) - 2 * half
    message = f"{label} ({excluded:,} characters of the middle are left out; the file has them)"
    return Verbatim(message, f"{text[:half]}\n[…]\n{text[-half:]}")
