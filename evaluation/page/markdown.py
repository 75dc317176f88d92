"""Sections as Markdown. Charts and details are omitted: tables have their numbers, the HTML page their texts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import assert_never

from alpha_umi.plain_text import plain
from evaluation.page.blocks import Block, Cell, Chart, Fold, Gallery, Listing, Paragraph, Section, Table, Verbatim

_MARKUP = re.compile(r"([\\`*_{}\[\]<>|#])")
_TICKS = re.compile("`+")


def render_markdown(title: str, sections: Sequence[Section]) -> str:
    """The document. Markup in its texts is escaped."""
    parts = [f"# {_escaped(title)}", *(part for section in sections for part in _block(section, 2))]
    return "\n\n".join(parts) + "\n"


def _block(block: Block, level: int) -> Iterator[str]:
    match block:
        case Section():
            if not block.detail:
                yield f"{'#' * min(level, 6)} {_escaped(block.title)}"
                for each in block.blocks:
                    yield from _block(each, level + 1)
        case Paragraph():
            yield f"**{_escaped(block.text)}**" if block.warning else _escaped(block.text)
        case Table():
            yield f"{_escaped(block.caption)}:"
            yield _table(block)
        case Listing():
            yield "\n".join(f"- {_escaped(item.text)}" for item in block.items)
        case Verbatim():
            yield _verbatim(block)
        case Fold():
            yield f"**{_escaped(block.summary)}**"
            for each in block.blocks:
                yield from _block(each, level)
        case Chart() | Gallery():
            return
        case _:
            assert_never(block)


def _table(table: Table) -> str:
    rule = ["---" if place in table.texts else "---:" for place in range(len(table.header))]
    rows = [[Cell(head) for head in table.header], *table.cells]
    written = [[_escaped(cell.text) for cell in row] for row in rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (written[0], rule, *written[1:]))


def _verbatim(block: Verbatim) -> str:
    longest = max((len(ticks) for ticks in _TICKS.findall(block.text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{_escaped(block.label)}:\n\n{fence}text\n{plain(block.text)}\n{fence}"


def _escaped(text: str) -> str:
    return _MARKUP.sub(r"\\\1", " ".join(plain(text).split()))
