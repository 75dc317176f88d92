"""Checkpoints of a stage: the state from which a run resumes without a difference.

    step-00000100/checkpoint.json          identity of the run, progress, versions
    step-00000100/weights.safetensors      trained weights, by the names of `TargetLoss`
    step-00000100/optimizer.safetensors    NAME|exp_avg, NAME|exp_avg_sq, NAME|step
    step-00000100/random.safetensors       random number states of each process

There are no pickles. A folder gets its name when it is complete and synced to disk. The learning rate and the order of
examples follow from the step, and need no state.
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
    """Progress of a stage: steps, tokens of the examples, seconds, and peak memory in bytes.

    `computed_tokens` counts common prefixes once; checkpoints of older versions do not have it.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    peak_memory: int = 0
    computed_tokens: int = 0


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint. `trained_on` are digests of instructions; `random` has a row for each process."""

    identity: Mapping[str, Any]
    progress: Progress
    versions: Mapping[str, str]
    trained_on: Sequence[str]
    weights: Tensors
    optimizer: Tensors
    random: Tensors


def save(home: Path, checkpoint: Checkpoint, *, keep: int) -> Path:
    """Write a checkpoint and remove all but the last `keep`. Raises `CannotWrite`, and then removes none."""
    folder = home / f"step-{checkpoint.progress.step:08}"
    write_folder(folder, lambda partial: _fill(partial, checkpoint))
    for old in _folders(home)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def load_last(home: Path, identity: Mapping[str, Any]) -> Checkpoint | None:
    """The last checkpoint; None if there is none. Raises `RunDiffers` if it is unreadable or of another run."""
    folders = _folders(home)
    return _load(folders[-1], identity) if folders else None


def differences(recorded: Any, requested: Any, place: str = "") -> list[str]:
    """The differences of two JSON values, as phrases."""
    if isinstance(recorded, Mapping) and isinstance(requested, Mapping):
        names = sorted({*recorded, *requested})
        parts = (differences(recorded.get(n), requested.get(n), f"{place}.{n}" if place else n) for n in names)
        return [sentence for part in parts for sentence in part]
    return [] if recorded == requested else [f"{place} was {_short(recorded)} and is {_short(requested)}"]


def require_same(path: Path, recorded: Any, requested: Any) -> None:
    """Raise `RunDiffers` if the recorded identity is not the requested one."""
    if differing := differences(recorded, json.loads(json.dumps(requested))):
        raise RunDiffers(
            f"{path} belongs to another run: {'; '.join(differing[:5])}",
            remedy="name another folder with --output, or use the arguments that the run was started with",
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
