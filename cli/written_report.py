"""A report as JSON: in a file, where one is named, and on standard output, where that is wanted."""

from __future__ import annotations

from pathlib import Path

import typer
from pydantic import BaseModel

from evaluation.replacing import write_whole


def written_report(report: BaseModel, file: Path | None, *, as_json: bool) -> bool:
    """Write it; whether it was printed. Raises `OSError`."""
    written = report.model_dump_json(indent=2)
    if file is not None:
        write_whole(file, written + "\n")
    if as_json:
        typer.echo(written)
    return as_json
