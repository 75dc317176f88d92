"""The records in the folder of a run: `run.json`, a `stage.json` of each complete stage, and `costs.json`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from alpha_umi.contract.validation import explain
from training.errors import RecordUnusable
from training.recipes.model import Variant
from training.writing import write_file

RUN_FILE, STAGE_FILE, LOSSES, CURVES, COSTS = "run.json", "stage.json", "losses.jsonl", "losses.png", "costs.json"
# Fields of a stage's record that are copied into the costs of the run.
_COST_FIELDS = {
    "steps", "examples", "tokens", "computed_tokens", "seconds", "tokens_per_second", "peak_memory_bytes",
    "processes", "device", "bytes",
    "reused_from",  # only of a stage that another run has trained
}  # fmt: skip


class _Recorded(BaseModel):
    # Other versions may have written further fields.
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
    """Check the fields, and return the identity unchanged: identities are compared."""
    recorded_variant(_Identity.model_validate(identity).variant)
    return identity


def recorded_variant(variant: dict[str, Any]) -> Variant:
    """The variant of an identity, which has no `about`. Raises `ValidationError`."""
    return Variant.model_validate({**variant, "about": ""})


Identity = Annotated[dict[str, Any], AfterValidator(_checked)]


class ReusedFrom(_Recorded):
    """The stage of another run that was copied instead of training this one."""

    variant: str
    stage: str


class StageRecord(_Recorded):
    """A complete stage: its identity, and its costs in seconds and bytes. Losses are in nats.

    `bytes` is the size of its model when served; `trained_on` are digests of instructions.
    """

    identity: Identity
    steps: int
    examples: int
    tokens: int
    computed_tokens: int | None = None  # older versions did not count them
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
    # Versions up to 0.1 wrote `taken_over`.
    reused_from: Annotated[ReusedFrom | None, Field(validation_alias=AliasChoices("reused_from", "taken_over"))] = None


class RunRecord(_Recorded):
    """The identity of a run. Runs of older versions do not name the mixture of their data."""

    identity: Identity
    mixture: str | None = None


Record = TypeVar("Record", bound=BaseModel)


def read_stage(folder: Path) -> StageRecord:
    """The record in a stage's model folder. Raises `RecordUnusable`, also if the stage is not complete."""
    return _read(StageRecord, folder / STAGE_FILE, f"remove {folder}, and train the stage again")


def write_stage(folder: Path, record: StageRecord) -> None:
    """Write the record into a model folder. Raises `OSError`."""
    excluded = {"reused_from"} if record.reused_from is None else set()
    document = json.dumps(record.model_dump(mode="json", exclude=excluded), indent=2)
    (folder / STAGE_FILE).write_text(document + "\n", encoding="utf-8")


def read_run_record(run: Path) -> RunRecord:
    """The record of a run. Raises `RecordUnusable`, also if there is none."""
    remedy = "name the folder of another run; the record of this one cannot be restored"
    return _read(RunRecord, run / RUN_FILE, remedy)


def read_identity(run: Path) -> dict[str, Any]:
    """The identity of a run. Raises `RecordUnusable`, also if there is none."""
    return read_run_record(run).identity


def _read(kind: type[Record], path: Path, remedy: str) -> Record:
    try:
        return kind.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise RecordUnusable(f"{path} cannot be read: {explain(error)}", remedy=remedy) from error
    except OSError as error:
        raise RecordUnusable(f"{path} cannot be read: {error.strerror}", remedy=remedy) from error


def stage_folder(output: Path, stage: str) -> Path:
    """The folder of a complete stage's model."""
    return output / stage / "model"


def write_costs(output: Path, stages: Sequence[str], backbone: Path) -> None:
    """Write `costs.json`: time, tokens, memory and storage of each complete stage and of the run.

    `storage_ratio` is the disk space that serving needs, divided by that of the backbone: adapters need the backbone
    once, full models replace it. `peak_memory_bytes` is that of the first process. Raises `CannotWrite`,
    `RecordUnusable`.
    """
    folders = {name: folder for name in stages if ((folder := stage_folder(output, name)) / STAGE_FILE).is_file()}
    records = {name: read_stage(folder) for name, folder in folders.items()}
    if not records:
        return
    backbone_bytes = sum(path.stat().st_size for path in backbone.glob("*.safetensors"))
    first = next(iter(records.values())).identity
    serving = {stage["name"] for stage in first["variant"]["stages"] if stage["serves"]}
    stage_bytes = sum(record.bytes for name, record in records.items() if name in serving)
    served_bytes = stage_bytes + (backbone_bytes if first["config"]["lora"] else 0)
    document = {
        "variant": first["variant"]["name"],
        "stages": {
            name: record.model_dump(mode="json", include=_COST_FIELDS, exclude_none=True)
            for name, record in records.items()
        },
        "complete": len(records) == len(stages),
        "tokens": sum(record.tokens for record in records.values()),
        "seconds": round(sum(record.seconds for record in records.values()), 1),
        "peak_memory_bytes": max(record.peak_memory_bytes for record in records.values()),
        "backbone_bytes": backbone_bytes,
        "served_bytes": served_bytes,
        "storage_ratio": round(served_bytes / backbone_bytes, 3) if backbone_bytes else None,
    }
    write_file(output / COSTS, json.dumps(document, indent=2) + "\n")
