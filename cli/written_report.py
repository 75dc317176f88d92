"""A report as JSON: in a file, where one is named, and on standard output, where that is wanted."""

from __future__ import annotations

from pathlib import Path

import typer
from pydantic import BaseModel

from alpha_umi.atomic import write_file


def written_report(report: BaseModel, file: Path | None, *, as_json: bool) -> bool:
    """Write it; whether it was printed. Raises `OSError`."""
    written = report.model_dump_json(indent=2)
    if file is not None:
        write_file(file, written + "\n")
    if as_json:
        typer.echo(written)
    return as_json
