"""`evaluate seal-tools`: the figures that Seal-Tools itself is measured by."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.errors import translate_evaluation_errors
from cli.options import AsJson, Resamples, Seed, output


def seal_tools(
    file: Annotated[Path, typer.Argument(help="The file of a run of the suite `seal-tools`.")],
    resamples: Resamples = 2_000,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Score a run as Seal-Tools does: format ACC, and P, R and F1 of tools and of parameters.

    Each has what it is a share of, and a 95 % interval over requests. `evaluate score` has the project's own figures of
    the same file. Exits with 2 when the file cannot be scored.
    """
    with translate_evaluation_errors():
        from cli.evaluation_view import print_report, seal_tools_blocks
        from evaluation.files import Format
        from evaluation.files.predictions import read_predictions
        from evaluation.official.seal_tools import seal_tools_report

        report = seal_tools_report(read_predictions(file, Format.RECORDS).pairs, resamples=resamples, seed=seed)
    print_report(output(), seal_tools_blocks(report), report, None, as_json)
