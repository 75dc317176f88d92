"""`evaluate bfcl`: what the Berkeley leaderboard's own checker says of a run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from cli.errors import translate_evaluation_errors
from cli.options import AsJson, output


def bfcl(
    file: Annotated[Path, typer.Argument(help="The file of a run of the suite `bfcl`.")],
    as_json: AsJson = False,
) -> None:
    """Have BFCL's own package judge the calls of a run, in an environment of its own.

    `make bfcl-setup` makes that environment, or ALPHA_UMI_BFCL_PYTHON names the Python of another. `evaluate score`
    has the project's own figures of the same file. Exits with 2 when the file cannot be judged.
    """
    with translate_evaluation_errors():
        from cli.evaluation_view import bfcl_blocks, print_report
        from evaluation.files import Format
        from evaluation.files.predictions import read_predictions
        from evaluation.official.bfcl import bfcl_report, checker_python

        python = checker_python(os.environ)
        report = bfcl_report(read_predictions(file, Format.RECORDS).pairs, python)
    print_report(output(), bfcl_blocks(report), report, None, as_json)
