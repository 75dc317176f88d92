"""Prepare the embedded model now, with a progress bar: `python -m alpha_umi.serving.weights`.

Prints the model's folder to standard output; exits with 1 if it cannot be prepared.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from alpha_umi import telemetry
from alpha_umi.serving.manifest import ManifestError
from alpha_umi.serving.weights.backbone import ensure_backbone
from alpha_umi.serving.weights.model_folder import cache_folder
from alpha_umi.serving.weights.progress import progress_bar


def main(
    cache: Annotated[Path | None, typer.Option(help="Cache folder; ALPHA_UMI_CACHE or the user's by default.")] = None,
) -> None:
    """Convert the embedded model into the cache folder, unless it is there, and print its folder."""
    telemetry.configure_logs(service="weights", form="console", level="WARNING")
    try:
        with progress_bar(Console(stderr=True)) as progress:
            folder = ensure_backbone(cache or cache_folder(), progress)
    except ManifestError as error:
        sys.exit(str(error))
    print(folder)


if __name__ == "__main__":
    typer.run(main)
