"""Progress and result of `evaluate generate` and `evaluate trajectories` on a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from alpha_umi.plain_text import plain_line
from alpha_umi.roles.turns import Role

if TYPE_CHECKING:
    from evaluation.run.models import ModelsUnknown
    from evaluation.run.steps import Generated
    from recordings.contamination import Finding

_VERDICT_STYLES = {"listed": "yellow", "unknown": "dim"}


@contextlib.contextmanager
def progress_bar(console: Console, total: int) -> Iterator[Callable[[], None]]:
    """Yields a function to call after each prediction. Shows nothing if the console is not a terminal."""
    if not console.is_terminal:
        yield lambda: None
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left:"), TimeRemainingColumn())
    with Progress(*columns, console=console, redirect_stdout=False, redirect_stderr=False) as bar:
        steps = bar.add_task("steps", total=total)
        yield lambda: bar.advance(steps)


@contextlib.contextmanager
def loading(console: Console, log: Path) -> Iterator[None]:
    """Show that models are loading, and the path of the engines' log, until the block ends."""
    reported = Text(f"loading; the engines' log is {plain_line(str(log))}", style="dim")
    if not console.is_terminal:
        console.print(reported, soft_wrap=True)
        yield
        return
    # rich must not capture the output of the engines, which is redirected to a file.
    spinning = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with spinning:
        spinning.add_task(escape(reported.plain))
        yield


def print_excluded(console: Console, counts: Mapping[str, int]) -> None:
    """Print the excluded cases of a suite, if any."""
    from evaluation.results import excluded_sentence

    excluded = excluded_sentence(counts)
    if excluded is not None:
        console.print(Text(plain_line(excluded), style="yellow"), soft_wrap=True)


def print_calls(console: Console, counts: Mapping[str, int]) -> None:
    """Print the outcomes of calls of a tool server."""
    calls = ", ".join(f"{plain_line(outcome)} {count:,}" for outcome, count in sorted(counts.items()))
    console.print(Text(f"calls of the tool server: {calls or 'none'}"), soft_wrap=True)


def print_findings(console: Console, models: Mapping[Role, str], findings: Mapping[Role, Finding]) -> None:
    """Print the model of each role, and whether it was trained on the suite."""
    for role, finding in findings.items():
        reported = f"{role}: {plain_line(models[role])}; {finding.sentence}"
        console.print(Text(reported, style=_VERDICT_STYLES.get(finding.verdict, "")), soft_wrap=True)


def print_unknown_models(console: Console, unknown: ModelsUnknown) -> None:
    """Print why the models could not be identified."""
    reported = "the models are not known, so whether they were trained on this is not checked"
    remedy = f" ({unknown.remedy})" if unknown.remedy else ""
    console.print(Text(plain_line(f"{reported}: {unknown.message}{remedy}"), style="yellow"), soft_wrap=True)


def print_generated(console: Console, path: Path, generated: Generated) -> None:
    """Print the number of predictions in the file, and of missing outputs."""
    before = f", {generated.before:,} of them from before" if generated.before else ""
    console.print(Text(f"{plain_line(str(path))}: {generated.cases:,} predictions{before}"), soft_wrap=True)
    for what, count in sorted(generated.errors.items()):
        console.print(Text(f"without an output of the {plain_line(what)}: {count:,}", style="yellow"), soft_wrap=True)
    if generated.failed:
        reported = f"{generated.failed:,} of them are failures of a service: run the same command again to retry them"
        console.print(Text(reported, style="red"), soft_wrap=True)
