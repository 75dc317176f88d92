"""Options that the commands share which make figures out of files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evaluation.files import Format

FileFormat = Annotated[Format, typer.Option("--format", help="How the predictions are written down.")]
Resamples = Annotated[int, typer.Option(min=100, max=100_000, help="Resamples of the bootstrap.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the bootstrap.")]
Report = Annotated[
    Path | None, typer.Option("--output", help="Write the whole report to this file, as JSON.", dir_okay=False)
]


def predictions(what: str) -> typer.models.ArgumentInfo:
    """An argument that names a file of predictions."""
    info: typer.models.ArgumentInfo = typer.Argument(help=f"{what}: the file of a run, or in the published format.")
    return info
