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

from training.loop.stage import StageTask
from training.loop.whole import write_folder
from training.recipes.model import BACKBONE
from training.run_folder import LOSSES, STAGE_FILE, stage_folder

# What of a stage says how it is called, and not what comes of it.
_NAMED = ("name", "serves")
# What of a run's identity is about its other stages; the share of a bound shows in the steps and tokens.
_OF_OTHERS = ("variant", "stage", "max_tokens")


def take_over(run: Path, task: StageTask) -> bool:
    """Put the same stage of another run into the task's folder, with the time and the tokens that it took there.

    False where that run has none that is the same, or has not finished it. Raises `CannotWrite`.
    """
    found = next((home for home in sorted(run.glob("*/model")) if _same(home, task)), None)
    if found is None:
        return False
    task.folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(found.parent / LOSSES, task.folder / LOSSES)
    write_folder(stage_folder(task.folder.parent, task.name), lambda partial: _fill(partial, found, task))
    return True


def _same(home: Path, task: StageTask) -> bool:
    path = home / STAGE_FILE
    if not path.is_file():
        return False
    record: dict[str, Any] = json.loads(path.read_bytes())
    wanted: dict[str, Any] = json.loads(json.dumps(task.identity))
    stage, other = _stage(wanted), _stage(record["identity"])
    alike = stage["from"] == BACKBONE and _without(stage, _NAMED) == _without(other, _NAMED)
    return alike and _without(wanted, _OF_OTHERS) == _without(record["identity"], _OF_OTHERS) and _as_long(record, task)


def _as_long(record: Mapping[str, Any], task: StageTask) -> bool:
    steps = task.plan.steps()
    tokens = sum(task.plan.tokens(step) for step in range(1, steps + 1))
    return (record["steps"], record["tokens"]) == (steps, tokens)


def _fill(partial: Path, found: Path, task: StageTask) -> None:
    for path in found.iterdir():
        shutil.copyfile(path, partial / path.name)
    record = json.loads((found / STAGE_FILE).read_bytes())
    source = record["identity"]
    record["identity"] = task.identity
    record["taken_over"] = {"variant": source["variant"]["name"], "stage": source["stage"]}
    (partial / STAGE_FILE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _stage(identity: Mapping[str, Any]) -> dict[str, Any]:
    stages: list[dict[str, Any]] = identity["variant"]["stages"]
    return next(stage for stage in stages if stage["name"] == identity["stage"])


def _without(values: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}
