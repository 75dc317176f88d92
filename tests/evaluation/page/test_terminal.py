"""Tables of figures on narrow terminals."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from evaluation.page.blocks import Table
from evaluation.page.terminal import print_blocks


@pytest.mark.parametrize("width", [20, 80, 300])
@pytest.mark.parametrize("terminal", [True, False])
def test_no_figure_is_cut(width: int, terminal: bool) -> None:
    printed = io.StringIO()
    console = Console(file=printed, width=width, force_terminal=terminal, color_system=None)
    row = ["planner.completion_tokens", "5,566.4000", "+1,376.5500", "+850.8287 to +1,953.1600"]
    print_blocks(console, [Table("", ["name", "figure", "difference", "interval"], [row])])
    assert printed.getvalue().splitlines() == [
        "name                           figure   difference                  interval",
        "planner.completion_tokens  5,566.4000  +1,376.5500  +850.8287 to +1,953.1600",
    ]
