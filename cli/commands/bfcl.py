"""`evaluate bfcl`: what the Berkeley leaderboard's own checker says of a run."""

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
    from evaluation.bfcl.verdicts import BfclReport, CategoryReport


def bfcl(
    file: Annotated[Path, typer.Argument(help="The file of a run of the suite `bfcl`.")],
    as_json: AsJson = False,
) -> None:
    """Have BFCL's own package judge the calls of a run, in an environment of its own.

    `make bfcl-setup` makes that environment, or ALPHA_UMI_BFCL_PYTHON names the Python of another. `evaluate score`
    has the project's own figures of the same file. Exits with 2 when the file cannot be judged.
    """
    with reported():
        from evaluation.bfcl.verdicts import bfcl_report, checker_python
        from evaluation.formats import Format
        from evaluation.predictions import read_predictions

        python = checker_python(os.environ)
        report = bfcl_report(read_predictions(file, Format.RECORDS).pairs, python)
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
    else:
        _print(output(), report)


def _print(console: Console, report: BfclReport) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("category", no_wrap=True)
    for name in ("right", "n", "95 % interval"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("errors")
    for name, found in [*report.categories.items(), ("all", report.total)]:
        table.add_row(name, f"{found.share:.4f}", str(found.n), f"{found.low:.4f} .. {found.high:.4f}", _errors(found))
    console.print(table)
    console.print(f"judged by {report.package}", style="dim")


def _errors(found: CategoryReport) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in found.errors.items())
