"""The file of a suite and its data: loader, path, licence, source, and the digests of its instructions.

Suites of the project are in `catalogue/`, each as `NAME.yaml` with `NAME.digests`, one digest of an instruction a line.
The digests are stored without the data, so that training can exclude the instructions on every machine. Data is read
from the folder in `ALPHA_UMI_DATA`, by default `shared/data` beside the checkout.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from recordings.errors import REMEDY, DataMissing, NotTheFormat, UnknownSuite
from recordings.reading import not_the_format, read_text

DATA_VARIABLE = "ALPHA_UMI_DATA"
DEFAULT_DATA_FOLDER = Path(__file__).parents[3] / "shared" / "data"
CATALOGUE = Path(__file__).parent / "catalogue"
_DIGEST = re.compile(r"[0-9a-f]{64}")

Loader = Literal[
    "toolbench",
    "rotbench",
    "bfcl",
    "gsm8k",
    "gsm8k-python",
    "math",
    "seal-tools",
    "toolalpaca-golden",
    "toolbench-queries",
    "trajectories",
]
# Loaders of suites with parts, and of suites of complete trajectories, which have no recorded steps.
LOADERS_WITH_PARTS: Final[frozenset[Loader]] = frozenset({"rotbench", "bfcl", "toolbench-queries"})
LOADERS_WITHOUT_STEPS: Final[frozenset[Loader]] = frozenset({"math", "toolbench-queries"})
NonEmpty = Annotated[str, Field(min_length=1)]


class SuiteFile(BaseModel):
    """A suite. `data` is a path inside the folder of data; `parts` are the default parts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    title: NonEmpty
    loader: Loader
    data: NonEmpty
    parts: tuple[NonEmpty, ...] = ()
    licence: NonEmpty
    source: NonEmpty

    @field_validator("data")
    @classmethod
    def _inside(cls, data: str) -> str:
        path = PurePosixPath(data)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError("the path must be inside the folder of data: relative and without `..`")
        return data


def suite_names() -> list[str]:
    """The names of the project's suites."""
    return sorted(path.stem for path in CATALOGUE.glob("*.yaml"))


def suite_path(name: str) -> Path:
    """The file of a suite of the project, or a suite's file by its path. Raises `UnknownSuite`."""
    own = Path(name)
    if own.suffix in (".yaml", ".yml", ".json"):
        return own
    if name not in suite_names():
        raise UnknownSuite(
            f"there is no suite {name!r}", remedy=f"there are {', '.join(suite_names())}; or name a suite's file"
        )
    return CATALOGUE / f"{name}.yaml"


def read_definition(path: Path) -> SuiteFile:
    """The definition in a file, YAML or JSON. Raises `DataError`."""
    try:
        return SuiteFile.model_validate(yaml.safe_load(read_text(path)))
    except yaml.YAMLError as error:
        raise NotTheFormat(f"{path} is neither YAML nor JSON", remedy=REMEDY) from error
    except ValidationError as error:
        raise not_the_format(str(path), error, REMEDY) from error


def digests_path(suite: Path) -> Path:
    """The file of a suite's digests, beside the suite's file."""
    return suite.with_suffix(".digests")


def read_digests(path: Path) -> frozenset[str] | None:
    """The recorded digests; None if there is no file of them. Raises `DataError`."""
    if not path.exists():
        return None
    lines = read_text(path).split()
    for place, line in enumerate(lines, start=1):
        if not _DIGEST.fullmatch(line):
            raise NotTheFormat(f"{path}, line {place} is not a SHA-256 digest", remedy=REMEDY)
    return frozenset(lines)


def data_folder(environ: Mapping[str, str]) -> Path:
    """The folder of the data; it may not exist."""
    return Path(environ.get(DATA_VARIABLE) or DEFAULT_DATA_FOLDER)


def data_path(folder: Path, inside: str, *, suite: str, source: str) -> Path:
    """A file or folder of the data. Raises `DataMissing`; its remedy says what to put where."""
    path = folder / inside
    if path.exists():
        return path
    whose = f"the data of the suite {suite!r} is not at {path}" if folder.is_dir() else f"there is no folder {folder}"
    raise DataMissing(
        whose, remedy=f"put {source} at {inside} in a folder of data, and name that folder with {DATA_VARIABLE}"
    )
