"""`evaluate procedures`: whether whole trajectories made the calls that their instructions want."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli.evaluation_errors import reported
from cli.options import AsJson, output

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
    with reported():
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
    console.print(f"{report.suite}: {report.trajectories:,} trajectories checked against golden calls", style="dim")
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("figure", no_wrap=True)
    for name in ("value", "n", "95 % interval"):
        table.add_column(name, justify="right", no_wrap=True)
    for figure in report.figures.values():
        table.add_row(figure.title, f"{figure.value:.4f}", str(figure.n), f"{figure.low:.4f} .. {figure.high:.4f}")
    console.print(table)
    for title, counts in (
        ("outcomes", report.outcomes),
        ("not measured", report.not_measured),
        ("not asked", {"": report.not_asked} if report.not_asked else {}),
    ):
        if counts:
            console.print(f"{title}: " + ", ".join(f"{reason} {count}".strip() for reason, count in counts.items()))
