"""Show services starting: a live table on a terminal, otherwise a line for each that is ready."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cli.local.readiness import OnReady, Progress
from cli.plain_text import plain_line


@contextlib.contextmanager
def startup_view(console: Console, waiting: Sequence[Progress]) -> Iterator[OnReady]:
    """Show `waiting` as it changes until the end of the block; call what is given for each that became ready."""
    if not console.is_terminal:
        yield lambda progress: _print_line(console, progress)
        return
    with Live(get_renderable=lambda: table(waiting), console=console, refresh_per_second=4):
        yield lambda progress: None


def table(waiting: Sequence[Progress]) -> Table:
    """Service, process, state and seconds of each."""
    shown = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("service", "pid", "state"):
        shown.add_column(heading, overflow="ellipsis", no_wrap=True)
    shown.add_column("seconds", justify="right")
    for progress in waiting:
        style = {"ready": "green", "ended": "red"}.get(progress.state, "yellow")
        shown.add_row(
            Text(progress.record.name),
            Text(str(progress.record.process.pid)),
            Text(plain_line(progress.state), style=style),
            Text(f"{progress.seconds:.1f}"),
        )
    return shown


def _print_line(console: Console, progress: Progress) -> None:
    console.print(Text(f"{progress.record.name} is ready after {progress.seconds:.1f} s"))
