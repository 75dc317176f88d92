"""Trainings beside runs: what the folder of `alpha-umi train run` says of costs and losses.

Read as files, since a report needs nothing of what trains: `costs.json`, and a `losses.jsonl` of every stage.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from evaluation.errors import DuplicateId, FileUnreadable
from evaluation.files.jsonl import not_the_format, parse_json, read_text
from evaluation.reporting.given import StepsRun

COSTS: Final = "costs.json"
LOSSES: Final = "losses.jsonl"
_REMEDY: Final = "name the folder that `alpha-umi train run` wrote with --output"
# What `alpha-umi train export` writes into the manifest of a model.
_MADE: Final = re.compile(
    r"trained by alpha-umi train (\S+) \(stage (\S+), seed \d+, ([\d,]+) tokens of the data \w+\)"
)


class _Told(BaseModel):
    # Other versions may have written more.
    model_config = ConfigDict(extra="ignore", frozen=True)


class TakenOver(_Told):
    """The stage of another run in the place of one."""

    variant: str
    stage: str


class StageCosts(_Told):
    """What a stage cost: seconds, tokens, bytes."""

    steps: int
    tokens: int
    seconds: float
    tokens_per_second: float
    peak_memory_bytes: int
    processes: int
    device: str
    bytes: int
    taken_over: TakenOver | None = None


class Costs(_Told):
    """What a training cost, stage by stage and in all; `served_bytes` is what serving its models takes on the disk."""

    variant: str
    stages: dict[str, StageCosts]
    complete: bool
    tokens: int
    seconds: float
    peak_memory_bytes: int
    backbone_bytes: int
    served_bytes: int
    storage_ratio: float | None


class LossLine(_Told):
    """A step of a stage."""

    step: int
    loss: float
    dev_loss: float | None = None


@dataclass(frozen=True)
class Training:
    """A training by its name among those that were given."""

    name: str
    folder: Path
    costs: Costs
    losses: Mapping[str, Sequence[LossLine]]

    @property
    def stages(self) -> frozenset[tuple[str, str, int]]:
        """Variant, stage and tokens: what a model's manifest says of where it comes from."""
        return frozenset((self.costs.variant, name, stage.tokens) for name, stage in self.costs.stages.items())


def training_files(folders: Sequence[Path]) -> list[Path]:
    """What is read of the folders, whether it is there or not."""
    return [path for folder in folders for path in (folder / COSTS, *sorted(folder.glob(f"*/{LOSSES}")))]


def read_trainings(folders: Sequence[Path]) -> list[Training]:
    """Read the folders. Raises `EvaluationError` for one that no training has written, or that is given twice."""
    resolved = [folder.resolve() for folder in folders]
    for folder in folders:
        if resolved.count(folder.resolve()) > 1:
            raise DuplicateId(f"{folder} is given twice", remedy="name each training once")
    return [_read(folder, _name(folder, resolved)) for folder in folders]


def training_of(run: StepsRun, trainings: Sequence[Training]) -> Training | None:
    """The training that made every model of a run, as their manifests say; None where it is not among these."""
    told = [_made(model) for model in run.run.about.models.values()]
    found = [each for each in trainings if told and all(made in each.stages for made in told)]
    return found[0] if len(found) == 1 else None


def _made(model: Mapping[str, Any]) -> tuple[str, str, int] | None:
    manifest = model.get("manifest")
    source = manifest.get("source") if isinstance(manifest, dict) else None
    found = _MADE.match(source) if isinstance(source, str) else None
    return None if found is None else (found[1], found[2], int(found[3].replace(",", "")))


def _read(folder: Path, name: str) -> Training:
    path = folder / COSTS
    if not path.is_file():
        raise FileUnreadable(f"{folder} is no folder of a training: it has no {COSTS}", remedy=_REMEDY)
    try:
        costs = Costs.model_validate(parse_json(read_text(path), str(path), cut_remedy=_REMEDY, remedy=_REMEDY))
    except ValidationError as error:
        raise not_the_format(str(path), error, _REMEDY) from error
    return Training(name, folder, costs, {stage: _losses(folder / stage / LOSSES) for stage in costs.stages})


def _losses(path: Path) -> list[LossLine]:
    """The whole lines of a file; none if it is not there, as of a stage that was taken over."""
    found: list[LossLine] = []
    for line in read_text(path).splitlines() if path.is_file() else ():
        try:
            found.append(LossLine.model_validate(json.loads(line)))
        except (ValueError, ValidationError):
            # A run that was killed leaves a part of a line.
            break
    return found


def _name(folder: Path, others: Sequence[Path]) -> str:
    """As much of the end of its path as keeps it apart, without the `run` that every variant's training is called."""
    parts = folder.resolve().parts
    for length in range(1, len(parts) + 1):
        end = parts[-length:]
        if end != ("run",) and sum(other.parts[-length:] == end for other in others) == 1:
            return "/".join(end).removesuffix("/run")
    return str(folder)
