"""Blocks on a terminal. Tables are never truncated: the terminal wraps one that is wider than the output."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, assert_never

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from alpha_umi.plain_text import plain_line
from evaluation.page.blocks import Block, Chart, Fold, Gallery, Listing, Paragraph, Section, Table, Tone, Verbatim

_STYLES: Final[dict[Tone, str]] = {"plain": "", "good": "green", "bad": "red", "warning": "yellow", "note": "dim"}
_WIDEST: Final = 1_000


def print_blocks(console: Console, blocks: Iterable[Block]) -> None:
    """Print blocks in order. Charts are omitted: tables have their numbers."""
    for block in blocks:
        _print(console, block)


def _print(console: Console, block: Block) -> None:
    match block:
        case Paragraph():
            _line(console, block.text, "warning" if block.warning else block.tone)
        case Table():
            _table(console, block)
        case Section() | Fold():
            _line(console, block.title if isinstance(block, Section) else block.summary, "note")
            print_blocks(console, block.blocks)
        case Listing():
            for item in block.items:
                _line(console, f"- {item.text}", item.tone)
        case Verbatim():
            _line(console, block.label, "note")
            console.print(Text(block.text), soft_wrap=True)
        case Chart() | Gallery():
            return
        case _:
            assert_never(block)


def _line(console: Console, text: str, tone: Tone) -> None:
    indent = text[: len(text) - len(text.lstrip(" "))]
    console.print(Text(indent + plain_line(text.strip()), style=_STYLES[tone]), soft_wrap=True)


def _table(console: Console, table: Table) -> None:
    if table.caption:
        console.print()
        _line(console, table.caption, "note")
    printed = RichTable(box=None, pad_edge=False, header_style="dim")
    for place, head in enumerate(table.header):
        printed.add_column(Text(plain_line(head)), justify="left" if place in table.texts else "right", no_wrap=True)
    for row in table.cells:
        printed.add_row(*(Text(plain_line(cell.text), style=_STYLES[cell.tone]) for cell in row))
    printed.width = Measurement.get(console, console.options.update(width=_WIDEST), printed).maximum
    console.print(printed, soft_wrap=True)
