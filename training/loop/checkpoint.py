"""Checkpoints of a stage: what a run needs to go on as if it had never stopped.

    step-00000100/checkpoint.json          what the run is made of, the step, what was spent so far, versions
    step-00000100/weights.safetensors      what is trained, by the names of `TargetLoss`
    step-00000100/optimizer.safetensors    NAME|exp_avg, NAME|exp_avg_sq, NAME|step
    step-00000100/random.safetensors       states of the random numbers of each process

Nothing here is a pickle. A folder appears under its name when all of it is on the disk. Learning rate and order of
examples follow from the step and need no state.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from alpha_umi.atomic import PARTIAL
from training.errors import RunDiffers
from training.writing import write_folder

_RECORD, _WEIGHTS, _OPTIMIZER, _RANDOM = (
    "checkpoint.json", "weights.safetensors", "optimizer.safetensors", "random.safetensors",
)  # fmt: skip
Tensors = dict[str, Any]


@dataclass(frozen=True)
class Progress:
    """How far a stage is: steps done, tokens and seconds spent, and the most memory that was taken, in bytes."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    peak_memory: int = 0


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint. `identity` is what the run is made of, `trained_on` digests of instructions, and `random` has a
    row for each process."""

    identity: Mapping[str, Any]
    progress: Progress
    versions: Mapping[str, str]
    trained_on: Sequence[str]
    weights: Tensors
    optimizer: Tensors
    random: Tensors


def save(home: Path, checkpoint: Checkpoint, *, keep: int) -> Path:
    """Write a checkpoint and remove all but the last `keep`. Raises `CannotWrite`; the others are kept then."""
    folder = home / f"step-{checkpoint.progress.step:08}"
    write_folder(folder, lambda partial: _fill(partial, checkpoint))
    for old in _folders(home)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def load_last(home: Path, identity: Mapping[str, Any]) -> Checkpoint | None:
    """The newest checkpoint, if there is one. Raises `RunDiffers` for one of another run, or that cannot be read."""
    folders = _folders(home)
    return _load(folders[-1], identity) if folders else None


def differences(found: Any, wanted: Any, place: str = "") -> list[str]:
    """Where two JSON values differ, as sentences."""
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        names = sorted({*found, *wanted})
        parts = (differences(found.get(n), wanted.get(n), f"{place}.{n}" if place else n) for n in names)
        return [sentence for part in parts for sentence in part]
    return [] if found == wanted else [f"{place} was {_short(found)} and is {_short(wanted)}"]


def require_same(path: Path, found: Any, wanted: Any) -> None:
    """Raises `RunDiffers` where a run that is there was made from something else."""
    if told := differences(found, json.loads(json.dumps(wanted))):
        raise RunDiffers(
            f"{path} belongs to another run: {'; '.join(told[:5])}",
            remedy="name another folder with --output, or give what the run was started with",
        )


def _fill(folder: Path, checkpoint: Checkpoint) -> None:
    from safetensors.torch import save_file

    save_file(checkpoint.weights, folder / _WEIGHTS)
    save_file(checkpoint.optimizer, folder / _OPTIMIZER)
    save_file(checkpoint.random, folder / _RANDOM)
    _write_record(folder / _RECORD, checkpoint)


def _write_record(path: Path, checkpoint: Checkpoint) -> None:
    document = {
        "identity": checkpoint.identity,
        "progress": vars(checkpoint.progress),
        "versions": checkpoint.versions,
        "trained_on": checkpoint.trained_on,
    }
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _load(folder: Path, identity: Mapping[str, Any]) -> Checkpoint:
    from safetensors.torch import load_file

    try:
        document = json.loads((folder / _RECORD).read_bytes())
        progress = Progress(**document["progress"])
        require_same(folder, document["identity"], identity)
        tensors = [load_file(folder / name) for name in (_WEIGHTS, _OPTIMIZER, _RANDOM)]
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise RunDiffers(f"{folder} cannot be read: {error}", remedy="remove it; the one before it is used") from error
    return Checkpoint(identity, progress, document["versions"], document["trained_on"], *tensors)


def _folders(home: Path) -> list[Path]:
    return sorted(path for path in home.glob("step-*") if path.is_dir() and not path.name.endswith(PARTIAL))


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
