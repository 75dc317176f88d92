"""Progress callbacks of the preparation of weights, and a progress bar."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar


class Progress(Protocol):
    """Called with each step; `done` is the completed share of the work, from 0 to 1."""

    def __call__(self, step: str, done: float, /) -> None: ...


def silent(step: str, done: float, /) -> None:
    """Report nothing."""


def part(progress: Progress, start: float, end: float) -> Progress:
    """The progress of a part of the work, which maps its 0 to 1 to `start` to `end`."""

    def report(step: str, done: float, /) -> None:
        progress(step, start + (end - start) * done)

    return report


@contextlib.contextmanager
def progress_bar(console: Console) -> Iterator[Progress]:
    """A progress bar on a console; it appears with the first step."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Bar(*columns, console=console) as bar:
        task = bar.add_task("", total=1.0, visible=False)

        def report(step: str, done: float, /) -> None:
            bar.update(task, description=step, completed=done, visible=True)

        yield report
