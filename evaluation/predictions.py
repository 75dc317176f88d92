"""Predictions as they lie on the disk, in either format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alpha_umi.roles.turns import RoleName
from evaluation.costs import RoleCost, role_costs
from evaluation.errors import EmptySuite, NotTheFormat
from evaluation.formats import Format
from evaluation.pairs import Pair
from evaluation.published import read_published_file
from evaluation.records import RunRecord
from evaluation.run_file import read_run


@dataclass(frozen=True)
class Predictions:
    """Cases with their predictions. `about` and `costs` are known of records only."""

    pairs: tuple[Pair, ...]
    about: RunRecord | None
    costs: dict[RoleName, RoleCost]


def read_predictions(path: Path, form: Format) -> Predictions:
    """Read a file. Raises `EvaluationError`, also where there is no step in it."""
    if form is Format.TRAJECTORIES:
        raise NotTheFormat("whole trajectories are no predictions", remedy="only `evaluate score` reads them")
    read = _published(path) if form is Format.PUBLISHED else _run(path)
    if not read.pairs:
        raise EmptySuite(f"there is no step in {path}", remedy="name a file with at least one case")
    return read


def _published(path: Path) -> Predictions:
    return Predictions(tuple(read_published_file(path)), None, {})


def _run(path: Path) -> Predictions:
    run = read_run(path)
    return Predictions(tuple(run.pairs()), run.about, role_costs(run.predictions))
