"""Tables of figures, however narrow the output."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from cli.figures_view import figures_table, print_table


@pytest.mark.parametrize("width", [20, 80, 300])
@pytest.mark.parametrize("terminal", [True, False])
def test_no_figure_is_cut(width: int, terminal: bool) -> None:
    told = io.StringIO()
    console = Console(file=told, width=width, force_terminal=terminal, color_system=None)
    table = figures_table("name", "figure", "difference", "interval", right_from=1)
    table.add_row("planner.completion_tokens", "5,566.4000", "+1,376.5500", "+850.8287 to +1,953.1600")
    print_table(console, table)
    assert told.getvalue().splitlines() == [
        "name                           figure   difference                  interval",
        "planner.completion_tokens  5,566.4000  +1,376.5500  +850.8287 to +1,953.1600",
    ]
