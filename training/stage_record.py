"""What a run says about itself: `run.json` of all of it, and `stage.json` of each complete stage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from training.errors import RecordUnusable
from training.recipes.model import Variant
from training.run_folder import RUN_FILE, STAGE_FILE


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


class TakenOver(_Recorded):
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
    taken_over: TakenOver | None = None


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
    left_out = {"taken_over"} if record.taken_over is None else set()
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
