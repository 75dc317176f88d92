"""`train export`: export a run as model folders for the services."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.commands.models import print_folders
from cli.errors import translate_training_errors
from cli.local.models import ModelFolder
from cli.options import output


def export(
    run: Annotated[Path, typer.Argument(help="The folder of a complete run.")],
    target: Annotated[Path, typer.Option("--output", help="Gets a folder for each role; none of them may exist.")],
    merged: Annotated[bool, typer.Option("--merged/--adapters", help="Full models instead of LoRA adapters.")] = False,
) -> None:
    """Write a model folder for every role that a run has trained: weights as safetensors, and a manifest.

    Writes all of them or none. Exits with 2 if the run is not complete, or does not match this version's templates or
    its backbone, 1 if the folder cannot be written.
    """
    with translate_training_errors():
        from training.export import export_run

        made = export_run(run, target, merged=merged)
    print_folders(output(), [ModelFolder(item.folder, item.manifest) for item in made])
