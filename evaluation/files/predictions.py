"""Predictions as they lie on the disk, in either format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alpha_umi.roles.turns import RoleName
from evaluation.costs import RoleCost, role_costs
from evaluation.errors import EmptySuite, NotTheFormat
from evaluation.files import Format
from evaluation.files.published import Pair, read_published_file
from evaluation.files.step_run import RunRecord, read_run


@dataclass(frozen=True)
class Predictions:
    """Cases with their predictions. `about` and `costs` are known of records only.

    `unanswered` cases can still get a prediction: nobody asked for one, or a service failed. What a role refused to
    answer is answered for good.
    """

    pairs: tuple[Pair, ...]
    about: RunRecord | None
    costs: dict[RoleName, RoleCost]
    unanswered: tuple[str, ...]


def read_predictions(path: Path, form: Format) -> Predictions:
    """Read a file. Raises `EvaluationError`, also where there is no step in it."""
    if form is Format.TRAJECTORIES:
        raise NotTheFormat(
            "whole trajectories are no predictions", remedy="only `evaluate score` and `evaluate compare` read them"
        )
    read = _published(path) if form is Format.PUBLISHED else _run(path)
    if not read.pairs:
        raise EmptySuite(f"there is no step in {path}", remedy="name a file with at least one case")
    return read


def _published(path: Path) -> Predictions:
    pairs = tuple(read_published_file(path))
    return Predictions(pairs, None, {}, tuple(each.case.id for each in pairs if each.prediction is None))


def _run(path: Path) -> Predictions:
    run = read_run(path)
    final = {each.id for each in run.predictions if each.error is None or not each.error.may_pass}
    unanswered = tuple(case.id for case in run.cases if case.id not in final)
    return Predictions(tuple(run.pairs()), run.about, role_costs(run.predictions), unanswered)
