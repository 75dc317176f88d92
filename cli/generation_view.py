"""Show predictions being generated: a bar on a terminal; and what came of it."""

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
    """Call what is given for each prediction. Nothing is shown where no terminal is."""
    if not console.is_terminal:
        yield lambda: None
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left:"), TimeRemainingColumn())
    with Progress(*columns, console=console, redirect_stdout=False, redirect_stderr=False) as bar:
        steps = bar.add_task("steps", total=total)
        yield lambda: bar.advance(steps)


@contextlib.contextmanager
def loading(console: Console, log: Path) -> Iterator[None]:
    """Say that models are being loaded, as long as they are, and where their engines' log is."""
    reported = Text(f"loading; the engines' log is {plain_line(str(log))}", style="dim")
    if not console.is_terminal:
        console.print(reported, soft_wrap=True)
        yield
        return
    # What the engines write must not be caught and shown: it has been sent elsewhere.
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
    """What of a suite is excluded, if anything."""
    from evaluation.results import excluded_sentence

    excluded = excluded_sentence(counts)
    if excluded is not None:
        console.print(Text(plain_line(excluded), style="yellow"), soft_wrap=True)


def print_calls(console: Console, counts: Mapping[str, int]) -> None:
    """How calls of a tool server ended."""
    calls = ", ".join(f"{plain_line(outcome)} {count:,}" for outcome, count in sorted(counts.items()))
    console.print(Text(f"calls of the tool server: {calls or 'none'}"), soft_wrap=True)


def print_findings(console: Console, models: Mapping[Role, str], findings: Mapping[Role, Finding]) -> None:
    """Which models are asked, and whether they were trained on what they are asked."""
    for role, finding in findings.items():
        reported = f"{role}: {plain_line(models[role])}; {finding.sentence}"
        console.print(Text(reported, style=_VERDICT_STYLES.get(finding.verdict, "")), soft_wrap=True)


def print_unknown_models(console: Console, unknown: ModelsUnknown) -> None:
    """Why nothing is said of the models that are asked."""
    reported = "the models are not known, so whether they were trained on this is not checked"
    remedy = f" ({unknown.remedy})" if unknown.remedy else ""
    console.print(Text(plain_line(f"{reported}: {unknown.message}{remedy}"), style="yellow"), soft_wrap=True)


def print_generated(console: Console, path: Path, generated: Generated) -> None:
    """How many predictions the file has, and what is missing in them."""
    before = f", {generated.before:,} of them from before" if generated.before else ""
    console.print(Text(f"{plain_line(str(path))}: {generated.cases:,} predictions{before}"), soft_wrap=True)
    for what, count in sorted(generated.errors.items()):
        console.print(Text(f"without an output of the {plain_line(what)}: {count:,}", style="yellow"), soft_wrap=True)
    if generated.failed:
        reported = f"failures of a service are among them: the same command asks again for {generated.failed:,}"
        console.print(Text(reported, style="red"), soft_wrap=True)
