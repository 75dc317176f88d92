"""`evaluate bfcl`: what the Berkeley leaderboard's own checker says of a run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from cli.evaluation_errors import reported
from cli.options import AsJson, output
from cli.plain_text import plain_line

if TYPE_CHECKING:
    from evaluation.official.bfcl import BfclReport


def bfcl(
    file: Annotated[Path, typer.Argument(help="The file of a run of the suite `bfcl`.")],
    as_json: AsJson = False,
) -> None:
    """Have BFCL's own package judge the calls of a run, in an environment of its own.

    `make bfcl-setup` makes that environment, or ALPHA_UMI_BFCL_PYTHON names the Python of another. `evaluate score`
    has the project's own figures of the same file. Exits with 2 when the file cannot be judged.
    """
    with reported():
        from evaluation.files import Format
        from evaluation.files.predictions import read_predictions
        from evaluation.official.bfcl import bfcl_report, checker_python

        python = checker_python(os.environ)
        report = bfcl_report(read_predictions(file, Format.RECORDS).pairs, python)
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
    else:
        _print(output(), report)


def _print(console: Console, report: BfclReport) -> None:
    from cli.figures_view import ends, figures_table, number, print_table

    table = figures_table("category", "right", "95 %", "n", right_from=1)
    found = {**report.categories, "all": report.total}
    for name, category in found.items():
        table.add_row(name, number(category.value), ends(category), f"{category.n:,}")
    print_table(console, table)
    for name, category in report.categories.items():
        if category.errors:
            listed = ", ".join(f"{reason} {count:,}" for reason, count in category.errors.items())
            console.print(Text(plain_line(f"{name}: {listed}"), style="dim"), soft_wrap=True)
    console.print(Text(plain_line(f"judged by {report.package}"), style="dim"), soft_wrap=True)
