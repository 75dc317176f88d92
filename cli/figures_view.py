"""The parts that tables of figures share on a terminal. Nothing here needs the packages of measuring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from evaluation.quantities import pluralize

if TYPE_CHECKING:
    from evaluation.report import DifferenceReport, FigureReport, GatedReport

NO_FIGURE = "–"
WIDEST = 1_000


def print_figures(console: Console, figures: Mapping[str, FigureReport]) -> None:
    """Figures by their names, each with its interval and what it is an average of."""
    table = figures_table("metric", "name", "figure", "95 %", "n")
    for name, figure in figures.items():
        table.add_row(figure.title, name, number(figure.value), ends(figure), f"{figure.n:,}")
    print_table(console, table)


def print_table(console: Console, table: Table) -> None:
    """Print a table with every figure in full: what is wider than the output is left to whoever reads it to wrap."""
    table.width = Measurement.get(console, console.options.update(width=WIDEST), table).maximum
    console.print(table, soft_wrap=True)


def figures_table(*columns: str, right_from: int = 2) -> Table:
    """A table whose first columns are words, and the others numbers."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place >= right_from else "left", no_wrap=True)
    return table


def size(steps: int, trajectories: int) -> str:
    """How much was measured."""
    return f"{pluralize(steps, 'step')} of {pluralize(trajectories, 'trajectory')}"


def number(value: float | None, *, signed: bool = False) -> str:
    """A figure with four digits, or the mark of none."""
    return NO_FIGURE if value is None else f"{value:{'+' if signed else ''}.4f}"


def ends(figure: FigureReport | DifferenceReport | GatedReport, *, signed: bool = False) -> str:
    """The ends of its interval."""
    if figure.low is None or figure.high is None:
        return NO_FIGURE
    return f"{number(figure.low, signed=signed)} to {number(figure.high, signed=signed)}"
