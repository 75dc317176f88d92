"""What a run says about itself: `run.json` of all of it, and `stage.json` of each complete stage."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from training.errors import RecordUnusable
from training.loop.whole import write_file
from training.recipes.model import Variant


class _Recorded(BaseModel):
    # Another version may have written more.
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Identity(_Recorded):
    variant: dict[str, Any]
    config: dict[str, Any]
    data_digest: str
    template: str
    template_digest: str
    backbone: dict[str, Any]
    seed: int
    max_tokens: int | None


def _checked(identity: dict[str, Any]) -> dict[str, Any]:
    """As it was written, since identities are compared; what reads it finds what it needs."""
    found = _Identity.model_validate(identity)
    recorded_variant(found.variant)
    return identity


def recorded_variant(variant: dict[str, Any]) -> Variant:
    """The variant of an identity, in which what it is about does not count. Raises `ValidationError`."""
    return Variant.model_validate({**variant, "about": ""})


Identity = Annotated[dict[str, Any], AfterValidator(_checked)]


class ReusedFrom(_Recorded):
    """The stage of another variant that was trained in the place of this one."""

    variant: str
    stage: str


class StageRecord(_Recorded):
    """What a complete stage was made of, and what it has cost: seconds, bytes, and losses in nats.

    `bytes` is what its model takes where it is served; `trained_on` are digests of instructions.
    """

    identity: Identity
    steps: int
    examples: int
    tokens: int
    seconds: float
    tokens_per_second: float
    peak_memory_bytes: int
    processes: int
    device: str
    bytes: int
    bf16: bool
    loss: float
    dev_loss: float | None = None
    versions: dict[str, str]
    trained_on: tuple[str, ...]
    reused_from: ReusedFrom | None = None


class RunRecord(_Recorded):
    """What a run is made of. Runs of older versions do not name the mixture of their data."""

    identity: Identity
    mixture: str | None = None


Record = TypeVar("Record", bound=BaseModel)


def read_stage(folder: Path) -> StageRecord:
    """What a stage's model folder says. Raises `RecordUnusable`, also where the stage is not complete."""
    return _read(StageRecord, folder / STAGE_FILE, f"remove {folder}, and train the stage again")


def write_stage(folder: Path, record: StageRecord) -> None:
    """Write it into a model folder. Raises `OSError`."""
    left_out = {"taken_over"} if record.reused_from is None else set()
    document = json.dumps(record.model_dump(mode="json", exclude=left_out), indent=2)
    (folder / STAGE_FILE).write_text(document + "\n", encoding="utf-8")


def read_run_record(run: Path) -> RunRecord:
    """What a run says. Raises `RecordUnusable`, also where none was begun."""
    remedy = "name the folder of another run; what was trained in this one cannot be told any more"
    return _read(RunRecord, run / RUN_FILE, remedy)


def read_identity(run: Path) -> dict[str, Any]:
    """What a run is made of. Raises `RecordUnusable`, also where none was begun."""
    return read_run_record(run).identity


def _read(kind: type[Record], path: Path, remedy: str) -> Record:
    try:
        return kind.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "document"
        raise RecordUnusable(f"{path} cannot be read: {place}: {first['msg']}", remedy=remedy) from error
    except OSError as error:
        raise RecordUnusable(f"{path} cannot be read: {error.strerror}", remedy=remedy) from error


RUN_FILE, STAGE_FILE, LOSSES, CURVES = "run.json", "stage.json", "losses.jsonl", "losses.png"


def stage_folder(output: Path, stage: str) -> Path:
    """Where a complete stage's model lies in the folder of a run."""
    return output / stage / "model"


COSTS = "costs.json"
_COPIED = {
    "steps", "examples", "tokens", "seconds", "tokens_per_second", "peak_memory_bytes", "processes", "device", "bytes",
    "taken_over",  # only of a stage that another run has trained
}  # fmt: skip


def write_costs(output: Path, stages: Sequence[str], backbone: Path) -> None:
    """Sum up the complete stages of a run. Raises `CannotWrite`, `RecordUnusable`.

    `storage_ratio` is what serving takes on the disk - the backbone once and the stages that serve a role - against the
    backbone alone: adapters lie on it, whole models take its place. `peak_memory_bytes` is that of the first process.
    """
    folders = {name: folder for name in stages if ((folder := stage_folder(output, name)) / STAGE_FILE).is_file()}
    found = {name: read_stage(folder) for name, folder in folders.items()}
    if not found:
        return
    one = sum(path.stat().st_size for path in backbone.glob("*.safetensors"))
    first = next(iter(found.values())).identity
    serving = {stage["name"] for stage in first["variant"]["stages"] if stage["serves"]}
    served = sum(record.bytes for name, record in found.items() if name in serving)
    whole = served + (one if first["config"]["lora"] else 0)
    document = {
        "variant": first["variant"]["name"],
        "stages": {
            name: record.model_dump(mode="json", include=_COPIED, exclude_none=True) for name, record in found.items()
        },
        "complete": len(found) == len(stages),
        "tokens": sum(record.tokens for record in found.values()),
        "seconds": round(sum(record.seconds for record in found.values()), 1),
        "peak_memory_bytes": max(record.peak_memory_bytes for record in found.values()),
        "backbone_bytes": one,
        "served_bytes": whole,
        "storage_ratio": round(whole / one, 3) if one else None,
    }
    write_file(output / COSTS, json.dumps(document, indent=2) + "\n")
