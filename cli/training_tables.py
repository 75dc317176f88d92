"""Prepared data on the terminal: what each source brought, what was left out and why, how long the examples are."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.plain_text import plain_line
from training.examples import ROLES, SPLITS, DatasetRecord, SourceRecord

SHOWN_BROKEN = 5


def print_dataset(console: Console, record: DatasetRecord) -> None:
    """Print the three tables, and the entries that were skipped because they are broken."""
    for table in (_sources(record), _dropped(record), _tokens(record)):
        if table.row_count:
            console.print(table, "")
    for place in _broken(record):
        console.print(Text(place, style="yellow"), soft_wrap=True)


def _table(title: str, *columns: str) -> Table:
    """Words to the left, numbers, whose heading begins with a space, to the right."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column.strip(), justify="right" if column.startswith(" ") else "left")
    return table


def _sources(record: DatasetRecord) -> Table:
    table = _table("Examples", "source", "split", " trajectories", *(f" {role}" for role in ROLES))
    for name, source in record.sources.items():
        for split in SPLITS:
            counts = [source.trajectories[split], *(source.examples[split][role] for role in ROLES)]
            if any(counts):
                table.add_row(name, split, *map(_number, counts))
    return table


def _dropped(record: DatasetRecord) -> Table:
    table = _table("Left out", "source", "what", "why", " how many")
    for name, source in record.sources.items():
        for what, why, number in _reasons(source):
            table.add_row(name, what, why, _number(number))
    return table


def _reasons(source: SourceRecord) -> Iterator[tuple[str, str, int]]:
    for what, counts in source.dropped.items():
        shown = what if what in ("trajectories", "steps") else f"examples of the {what}"
        yield from ((shown, why, number) for why, number in counts.items())


def _tokens(record: DatasetRecord) -> Table:
    table = _table("Tokens", "split", "role", " prompt, median", " 90th percentile", " shortened", " with loss", " all")
    for split, roles in record.tokens.items():
        for role, tokens in roles.items():
            counts = (tokens.prompt_median, tokens.prompt_p90, tokens.shortened, tokens.targets, tokens.total)
            table.add_row(split, role, *map(_number, counts))
    return table


def _broken(record: DatasetRecord) -> Iterator[str]:
    places = [place for source in record.sources.values() for place in source.broken]
    if places:
        yield f"{len(places)} broken entries were skipped:"
    yield from (f"  {plain_line(place)}" for place in places[:SHOWN_BROKEN])
    if len(places) > SHOWN_BROKEN:
        yield f"  and {len(places) - SHOWN_BROKEN} more, which dataset.json names"


def _number(number: int) -> str:
    return f"{number:,}"
