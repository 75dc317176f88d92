"""What a run has cost: time, tokens, memory and storage of each stage and of all of them, in `costs.json`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from training.run_folder import STAGE_FILE, stage_folder
from training.stage_record import read_stage
from training.writing import write_file

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
