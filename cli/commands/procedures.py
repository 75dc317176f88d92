"""`evaluate procedures`: whether whole trajectories made the calls that their instructions want."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from cli.errors import translate_evaluation_errors
from cli.options import AsJson, output
from cli.plain_text import plain_line
from evaluation.quantities import pluralize

if TYPE_CHECKING:
    from evaluation.procedures import ProceduresReport


def procedures(
    file: Annotated[Path, typer.Argument(help="Whole trajectories of a suite with golden calls (ToolAlpaca).")],
    as_json: AsJson = False,
) -> None:
    """Check without a judge whether the golden calls were made, in order, and nothing that could have done harm.

    This is no judgement of ToolAlpaca's Proc. and Ans.; `evaluate judge` asks for those. Exits with 2 when the file
    cannot be checked.
    """
    with translate_evaluation_errors():
        from evaluation.procedures import procedures_report
        from evaluation.suites.data import data_folder
        from evaluation.suites.suite import load_suite
        from evaluation.whole_run import read_whole_run

        run = read_whole_run(file)
        report = procedures_report(run, load_suite(run.about.suite, data_folder(os.environ)))
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
    else:
        _print(output(), report)


def _print(console: Console, report: ProceduresReport) -> None:
    from cli.figures_view import print_figures

    told = f"{report.suite}: {pluralize(report.trajectories, 'trajectory')} beside golden calls; nobody judged them"
    console.print(Text(plain_line(told)), soft_wrap=True)
    if report.not_asked:
        console.print(Text(f"not asked yet, counted as wrong: {report.not_asked:,}", style="yellow"), soft_wrap=True)
    print_figures(console, report.figures)
    for title, counts in (("outcomes", report.outcomes), ("not measured", report.not_measured)):
        if counts:
            listed = ", ".join(f"{reason} {count:,}" for reason, count in counts.items())
            console.print(Text(f"{title}: {listed}"), soft_wrap=True)
