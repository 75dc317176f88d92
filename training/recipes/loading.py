"""Recipes from YAML files: by name, or by path. Errors name the file and the field."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from alpha_umi.contract.validation import faults
from training.errors import RecipeUnusable
from training.recipes.model import Config, Variant

VARIANTS = Path(__file__).parent.parent / "variants"
CONFIGS = Path(__file__).parent.parent / "configs"

_Recipe = TypeVar("_Recipe", bound=BaseModel)


def load_variant(name: str) -> Variant:
    """A variant by name or path. Raises `RecipeUnusable`, with a suggestion for an unknown name."""
    return _load(Variant, name, VARIANTS, "variant")


def load_config(name: str) -> Config:
    """A config by name or path. Raises `RecipeUnusable`."""
    return _load(Config, name, CONFIGS, "config")


def shipped(folder: Path) -> list[str]:
    """Names of the recipes in a folder."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def require_settings(variant: Variant, config: Config) -> None:
    """Every stage's settings must be in the config. Raises `RecipeUnusable`."""
    for number, stage in enumerate(variant.stages):
        if stage.settings not in config.settings:
            raise RecipeUnusable(
                f"variant {variant.name}: stages.{number}.settings is {stage.settings!r}, and the config {config.name} "
                f"has settings for {', '.join(config.settings)}",
                remedy=f"add settings.{stage.settings} to the config",
            )


def _load(kind: type[_Recipe], name: str, home: Path, noun: str) -> _Recipe:
    path = Path(name) if name.endswith((".yaml", ".yml")) else home / f"{name}.yaml"
    if path.parent == home and path.stem not in shipped(home):
        raise RecipeUnusable(f"there is no {noun} {name!r}", remedy=_guess(name, shipped(home)))
    try:
        return kind.model_validate(_read(path))
    except ValidationError as error:
        listed = "; ".join(faults(error)).replace(": Value error, ", ": ")
        raise RecipeUnusable(
            f"{path}: {listed}", remedy="correct the file; training/README.md names the fields"
        ) from error


def _read(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeUnusable(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeUnusable(f"{path} is not YAML: {' '.join(str(error).split())}") from error


def _guess(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    meant = f"did you mean {close[0]}? " if close else ""
    return f"{meant}known: {', '.join(known)}"
