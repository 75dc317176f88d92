"""Who wants to know how far the preparation of weights is, and a bar that shows it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar


class Progress(Protocol):
    """Told about each step; `done` is the share of the whole work that is behind, from 0 to 1."""

    def __call__(self, step: str, done: float, /) -> None: ...


def silent(step: str, done: float, /) -> None:
    """Tell nobody."""


def part(progress: Progress, start: float, end: float) -> Progress:
    """The progress of a part of the work, which lies between two shares of the whole."""

    def tell(step: str, done: float, /) -> None:
        progress(step, start + (end - start) * done)

    return tell


@contextlib.contextmanager
def progress_bar(console: Console) -> Iterator[Progress]:
    """Show progress as a bar on a console; nothing is shown until the first step is told."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Bar(*columns, console=console) as bar:
        task = bar.add_task("", total=1.0, visible=False)

        def tell(step: str, done: float, /) -> None:
            bar.update(task, description=step, completed=done, visible=True)

        yield tell
