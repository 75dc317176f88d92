"""A mixture: the sources of training data, as a file.

Mixtures of the project are in `mixtures/`, each `NAME.yaml`. Paths of data lie inside the folder of data.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Annotated

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from alpha_umi.contract.validation import faults
from alpha_umi.roles.template import template_names
from recordings.formats.source import Format
from training.errors import MixtureUnusable
from training.rationale import Rationale

CATALOGUE = Path(__file__).parent / "mixtures"
REMEDY = "training/README.md describes the file"


def _inside(data: str) -> str:
    path = PurePosixPath(data)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError("the path must be inside the folder of data: relative and without `..`")
    return data


def _known(template: str) -> str:
    if template not in template_names():
        raise ValueError(f"there is no such template; known: {', '.join(template_names())}")
    return template


NonEmpty = Annotated[str, Field(min_length=1)]
Inside = Annotated[NonEmpty, AfterValidator(_inside)]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_File):
    """A source. At most `at_most` of its trajectories are in the train split, and with `tool_sets` only those of these.

    The dev split is either the tool sets `dev_tool_sets`, or a share `dev_share` of the instructions. Their digests
    decide, so that the selection does not depend on other data.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    format: Format
    data: Inside
    licence: NonEmpty
    rationale: Rationale = "original"
    at_most: Annotated[int, Field(ge=1)] | None = None
    tool_sets: tuple[NonEmpty, ...] = ()
    dev_tool_sets: tuple[NonEmpty, ...] = ()
    dev_share: Annotated[float, Field(ge=0, le=0.5)] = 0.0

    @model_validator(mode="after")
    def _tool_sets(self) -> Source:
        if (self.tool_sets or self.dev_tool_sets) and self.format != "rotbench":
            raise ValueError(
                "`tool_sets` and `dev_tool_sets` belong to the format `rotbench` alone; others have `dev_share`"
            )
        if self.dev_tool_sets and self.dev_share:
            raise ValueError("`dev_tool_sets` and `dev_share` exclude each other")
        return self


class Mixture(_File):
    """The mixture's file. `context` bounds the tokens of a prompt with its target. The instructions of the project's
    suites, of `suites` (files of further suites) and of the table `overlaps` are excluded."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    template: Annotated[str, AfterValidator(_known)]
    context: Annotated[int, Field(ge=64)]
    seed: Annotated[int, Field(ge=0)] = 0
    overlaps: Inside | None = None
    suites: tuple[NonEmpty, ...] = ()
    sources: Annotated[tuple[Source, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _names(self) -> Mixture:
        names = [source.name for source in self.sources]
        if len(set(names)) < len(names):
            raise ValueError("two sources have the same name")
        return self


def mixture_names() -> list[str]:
    """The names of the project's mixtures."""
    return sorted(path.stem for path in CATALOGUE.glob("*.yaml"))


def load_mixture(name: str) -> Mixture:
    """A mixture of the project by its name, or a mixture's file by its path. Raises `MixtureUnusable`."""
    own = Path(name)
    if own.suffix in (".yaml", ".yml", ".json"):
        return _read(own)
    if name not in mixture_names():
        raise MixtureUnusable(
            f"there is no mixture {name!r}",
            remedy=f"there are {', '.join(mixture_names())}; or name a mixture's file, NAME.yaml",
        )
    return _read(CATALOGUE / f"{name}.yaml")


def _read(path: Path) -> Mixture:
    try:
        return Mixture.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise MixtureUnusable(f"{path} cannot be read: {error.strerror}", remedy="name a file that is there") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise MixtureUnusable(f"{path} is neither YAML nor JSON", remedy=REMEDY) from error
    except ValidationError as error:
        raise MixtureUnusable(f"{path}: {'; '.join(faults(error, at='the file'))}", remedy=REMEDY) from error
