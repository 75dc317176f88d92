"""The file of a suite: how its data is read, where it lies, whose it is, and which instructions are in it.

Suites of the project lie in `catalogue/`, each `NAME.yaml` with `NAME.digests`, a digest of an instruction a line.
The digests are there without the data, so that training can leave the instructions out wherever it runs.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from evaluation.errors import NotTheFormat
from evaluation.files.jsonl import not_the_format, read_text
from evaluation.suites.errors import REMEDY, UnknownSuite

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
# What is read in parts, and what is asked for as a whole only, because no step of it is recorded.
IN_PARTS: Final[frozenset[Loader]] = frozenset({"rotbench", "bfcl", "toolbench-queries"})
WITHOUT_STEPS: Final[frozenset[Loader]] = frozenset({"math", "toolbench-queries"})
Words = Annotated[str, Field(min_length=1)]


class SuiteFile(BaseModel):
    """A suite. `data` is a path inside the folder of data; `parts` are those that are taken unless others are named."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    title: Words
    loader: Loader
    data: Words
    parts: tuple[Words, ...] = ()
    licence: Words
    source: Words

    @field_validator("data")
    @classmethod
    def _inside(cls, data: str) -> str:
        path = PurePosixPath(data)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError("it must lie inside the folder of data, so begin with a name and leave out `..`")
        return data


def suite_names() -> list[str]:
    """The suites of the project."""
    return sorted(path.stem for path in CATALOGUE.glob("*.yaml"))


def suite_path(name: str) -> Path:
    """The file of a suite of the project, or of one of the user's own. Raises `UnknownSuite`."""
    own = Path(name)
    if own.suffix in (".yaml", ".yml", ".json"):
        return own
    if name not in suite_names():
        raise UnknownSuite(
            f"there is no suite {name!r}", remedy=f"there are {', '.join(suite_names())}; or name a suite's file"
        )
    return CATALOGUE / f"{name}.yaml"


def read_definition(path: Path) -> SuiteFile:
    """The definition in a file, YAML or JSON. Raises `EvaluationError`."""
    try:
        return SuiteFile.model_validate(yaml.safe_load(read_text(path)))
    except yaml.YAMLError as error:
        raise NotTheFormat(f"{path} is neither YAML nor JSON", remedy=REMEDY) from error
    except ValidationError as error:
        raise not_the_format(str(path), error, REMEDY) from error


def digests_path(suite: Path) -> Path:
    """Where the digests of a suite's instructions lie: beside its file."""
    return suite.with_suffix(".digests")


def read_digests(path: Path) -> frozenset[str] | None:
    """The digests that were recorded; None where none were. Raises `EvaluationError`."""
    if not path.exists():
        return None
    lines = read_text(path).split()
    for place, line in enumerate(lines, start=1):
        if not _DIGEST.fullmatch(line):
            raise NotTheFormat(f"{path}, line {place} is no SHA-256 digest", remedy=REMEDY)
    return frozenset(lines)
