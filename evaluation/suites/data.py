"""Where data lies that is not in the tree: the folder that `ALPHA_UMI_DATA` names, else one beside the checkout."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from evaluation.suites.errors import DataMissing

VARIABLE = "ALPHA_UMI_DATA"
BESIDE_THE_CHECKOUT = Path(__file__).parents[3] / "shared" / "data"


def data_folder(environ: Mapping[str, str]) -> Path:
    """The folder of the data, whether it is there or not."""
    return Path(environ.get(VARIABLE) or BESIDE_THE_CHECKOUT)


def data_path(folder: Path, inside: str, *, suite: str, source: str) -> Path:
    """A file or folder of the data. Raises `DataMissing`, which says what to put where."""
    path = folder / inside
    if path.exists():
        return path
    whose = f"the data of the suite {suite!r} is not at {path}" if folder.is_dir() else f"there is no folder {folder}"
    raise DataMissing(
        whose, remedy=f"put {source} at {inside} in a folder of data, and name that folder with {VARIABLE}"
    )
