"""The files behind the rows, read once, and what differs between two of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.ablations.rows import Row, asked_as
from benchmarks.variants.runs import read_ended, read_whole
from evaluation.compare import Comparison, compare, compare_trajectories
from evaluation.errors import CasesDiffer
from evaluation.files.published import Pair
from evaluation.whole_run import WholeRun, read_whole_run


@dataclass(frozen=True)
class MeasuredRow:
    """A row with its difference, and of steps the predictions themselves."""

    row: Row
    comparison: Comparison
    first: Sequence[Pair] = ()
    second: Sequence[Pair] = ()


def steps_of(row: Row) -> MeasuredRow | None:
    """A row of steps; None where a file lacks predictions. Raises `EvaluationError`, also for files of other steps."""
    first, second = _pairs(row.first), _pairs(row.second)
    if first is None or second is None:
        return None
    return MeasuredRow(row, compare(first, second), first, second)


def whole_of(row: Row) -> MeasuredRow | None:
    """A row of whole trajectories; None where a file lacks some. Raises `EvaluationError`."""
    first, second = _trajectories(row.first), _trajectories(row.second)
    if first is None or second is None:
        return None
    if row.first.parent == row.second.parent and _models(first) != _models(second):
        raise CasesDiffer(f"{row.first} and {row.second} are of other models", remedy="make one of them again")
    return MeasuredRow(row, compare_trajectories(first, second))


@cache
def _pairs(path: Path) -> tuple[Pair, ...] | None:
    run = read_whole(path)
    return None if run is None else tuple(run.pairs())


@cache
def _trajectories(path: Path) -> WholeRun | None:
    run = read_ended(path, read_whole_run)
    if run is None or len(run.asked) < run.about.trajectories:
        return None
    _require_as_named(path, run)
    return run


def _require_as_named(path: Path, run: WholeRun) -> None:
    """Raises `CasesDiffer` for a file that was asked in another way than its row says."""
    for name, wanted in asked_as(path).items():
        told = getattr(run.about, name)
        # Earlier files do not say whether there were grammars.
        if told != wanted and (name, told) != ("constrained", None):
            message = f"{path} was asked with {name} {told} and not {wanted}"
            raise CasesDiffer(message, remedy="move it away, and ask again")


def _models(run: WholeRun) -> dict[str, object]:
    return {role: model.get("id") for role, model in run.about.models.items()}
