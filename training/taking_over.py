"""A stage that another run has finished in the place of one that would come out the same.

The first stage of variants that begin alike (`global` of `single-llm`, `alpha-umi` and `two-components`) depends on
nothing that is different between them. It is the same where both start from the backbone, with the same data, examples,
numbers, seed and backbone, and where the other run took as many steps and tokens as this one would: with a bound on the
tokens variants give a stage different shares.
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
from training.run_folder import LOSSES, STAGE_FILE, stage_folder
from training.stage_record import StageRecord, TakenOver, read_stage, write_stage
from training.writing import write_file, write_folder

# What of a stage says how it is called, and not what comes of it.
_NAMED = ("name", "serves")
# What of a run's identity is about its other stages; the share of a bound shows in the steps and tokens.
_OF_OTHERS = ("variant", "stage", "max_tokens")


def take_over(run: Path, task: StageTask) -> bool:
    """Put the same stage of another run into the task's folder, with the time and the tokens that it took there.

    False where that run has none that is the same, or has not finished it. Raises `CannotWrite`, and `RecordUnusable`
    where what it has is damaged.
    """
    found = next((home for home in sorted(run.glob("*/model")) if _same(home, task)), None)
    if found is None:
        return False
    write_file(task.folder / LOSSES, _losses(found.parent / LOSSES))
    write_folder(stage_folder(task.folder.parent, task.name), lambda partial: _fill(partial, found, task))
    return True


def _same(home: Path, task: StageTask) -> bool:
    if not (home / STAGE_FILE).is_file():
        return False
    record = read_stage(home)
    wanted: dict[str, Any] = json.loads(json.dumps(task.identity))
    stage, other = _stage(wanted), _stage(record.identity)
    alike = stage["from"] == BACKBONE and _without(stage, _NAMED) == _without(other, _NAMED)
    return alike and _without(wanted, _OF_OTHERS) == _without(record.identity, _OF_OTHERS) and _as_long(record, task)


def _as_long(record: StageRecord, task: StageTask) -> bool:
    steps = task.plan.steps()
    tokens = sum(task.plan.tokens(step) for step in range(1, steps + 1))
    return (record.steps, record.tokens) == (steps, tokens)


def _fill(partial: Path, found: Path, task: StageTask) -> None:
    for path in found.iterdir():
        shutil.copyfile(path, partial / path.name)
    record = read_stage(found)
    source = TakenOver(variant=record.identity["variant"]["name"], stage=record.identity["stage"])
    write_stage(partial, record.model_copy(update={"identity": task.identity, "taken_over": source}))


def _losses(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RecordUnusable(
            f"{path} cannot be read: {error.strerror}", remedy="leave out --take-over; the stage is trained then"
        ) from error


def _stage(identity: Mapping[str, Any]) -> dict[str, Any]:
    stages: list[dict[str, Any]] = identity["variant"]["stages"]
    return next(stage for stage in stages if stage["name"] == identity["stage"])


def _without(values: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}
