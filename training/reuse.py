"""Reuse a stage that another run has trained in the same way.

The first stage of some variants is the same (`global` of `single-llm`, `alpha-umi` and `two-components`). A stage is
reused if both start from the backbone with the same data, examples, numbers and seed, and if the other run took as many
steps and tokens as this one would: with a bound on tokens, variants give a stage different shares.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.errors import RecordUnusable
from training.loop.stage import StageTask
from training.recipes.model import BACKBONE
from training.records import LOSSES, STAGE_FILE, ReusedFrom, StageRecord, read_stage, stage_folder, write_stage
from training.writing import write_file, write_folder

# Fields of a stage that do not change its weights.
_NAMES = ("name", "serves")
# Fields of a run's identity that concern other stages; the share of a token bound shows in the steps and tokens.
_OTHER_STAGES = ("variant", "stage", "max_tokens")


def reuse_stage(run: Path, task: StageTask) -> bool:
    """Copy the same stage of another run, with its losses and costs, into the folder of a task.

    Returns whether the other run has such a complete stage. Raises `CannotWrite`, and `RecordUnusable` for a damaged
    record.
    """
    source = next((folder for folder in sorted(run.glob("*/model")) if _same(folder, task)), None)
    if source is None:
        return False
    write_file(task.folder / LOSSES, _losses(source.parent / LOSSES))
    write_folder(stage_folder(task.folder.parent, task.name), lambda partial: _copy(source, partial, task))
    return True


def _same(folder: Path, task: StageTask) -> bool:
    if not (folder / STAGE_FILE).is_file():
        return False
    record = read_stage(folder)
    identity: dict[str, Any] = json.loads(json.dumps(task.identity))
    stage, other = _stage(identity), _stage(record.identity)
    same_stage = stage["from"] == BACKBONE and _without(stage, _NAMES) == _without(other, _NAMES)
    same_run = _without(identity, _OTHER_STAGES) == _without(record.identity, _OTHER_STAGES)
    return same_stage and same_run and _same_length(record, task)


def _same_length(record: StageRecord, task: StageTask) -> bool:
    steps = task.plan.steps()
    tokens = sum(task.plan.tokens(step) for step in range(1, steps + 1))
    return (record.steps, record.tokens) == (steps, tokens)


def _copy(source: Path, partial: Path, task: StageTask) -> None:
    for path in source.iterdir():
        shutil.copyfile(path, partial / path.name)
    record = read_stage(source)
    reused_from = ReusedFrom(variant=record.identity["variant"]["name"], stage=record.identity["stage"])
    write_stage(partial, record.model_copy(update={"identity": task.identity, "reused_from": reused_from}))


def _losses(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RecordUnusable(
            f"{path} cannot be read: {error.strerror}", remedy="omit --reuse; the stage is trained then"
        ) from error


def _stage(identity: Mapping[str, Any]) -> dict[str, Any]:
    stages: list[dict[str, Any]] = identity["variant"]["stages"]
    return next(stage for stage in stages if stage["name"] == identity["stage"])


def _without(values: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}
