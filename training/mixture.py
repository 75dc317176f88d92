"""A mixture: which sources role models learn from, as a file that is read on one screen.

Mixtures of the project lie in `mixtures/`, each `NAME.yaml`. Paths of data lie inside the folder of data.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Annotated

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from alpha_umi.roles.template import template_names
from recordings.formats.source import Format
from training.errors import MixtureUnusable
from training.rationale import Rationale

CATALOGUE = Path(__file__).parent / "mixtures"
REMEDY = "training/README.md describes the file"


def _inside(data: str) -> str:
    path = PurePosixPath(data)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError("it must lie inside the folder of data, so begin with a name and leave out `..`")
    return data


def _known(template: str) -> str:
    if template not in template_names():
        raise ValueError(f"there is no such template; known: {', '.join(template_names())}")
    return template


Words = Annotated[str, Field(min_length=1)]
Inside = Annotated[Words, AfterValidator(_inside)]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_File):
    """A source. `at_most` trajectories of it are trained on.

    For the dev split are kept either `dev_tool_sets`, whole, or a part of the instructions, `dev_share`, which their
    digests choose, so that the same ones are kept whatever else is there.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    format: Format
    data: Inside
    licence: Words
    rationale: Rationale = "kept"
    at_most: Annotated[int, Field(ge=1)] | None = None
    dev_tool_sets: tuple[Words, ...] = ()
    dev_share: Annotated[float, Field(ge=0, le=0.5)] = 0.0

    @model_validator(mode="after")
    def _tool_sets(self) -> Source:
        if self.dev_tool_sets and self.format != "rotbench":
            raise ValueError("`dev_tool_sets` belong to the format `rotbench` alone; others have `dev_share`")
        if self.dev_tool_sets and self.dev_share:
            raise ValueError("`dev_tool_sets` and `dev_share` cannot both say what the dev split is")
        return self


class Mixture(_File):
    """What is learned from. `context` is the most tokens of a prompt with its target; `suites` are suites of the
    user's own, beside the project's, whose instructions are left out; `overlaps` is a table of such instructions."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    template: Annotated[str, AfterValidator(_known)]
    context: Annotated[int, Field(ge=64)]
    seed: Annotated[int, Field(ge=0)] = 0
    overlaps: Inside | None = None
    suites: tuple[Words, ...] = ()
    sources: Annotated[tuple[Source, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _names(self) -> Mixture:
        names = [source.name for source in self.sources]
        if len(set(names)) < len(names):
            raise ValueError("two sources have the same name")
        return self


def mixture_names() -> list[str]:
    """The mixtures of the project."""
    return sorted(path.stem for path in CATALOGUE.glob("*.yaml"))


def load_mixture(name: str) -> Mixture:
    """A mixture of the project by its name, or one of the user's own by its file. Raises `MixtureUnusable`."""
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
        raise MixtureUnusable(f"{path}: {_faults(error)}", remedy=REMEDY) from error


def _faults(error: ValidationError) -> str:
    found = error.errors(include_url=False)
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'the file'}: {each['msg']}" for each in found)
