"""What a run has cost: time, tokens, memory and storage of each stage and of all of them, in `costs.json`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.loop.whole import write_file
from training.run_folder import STAGE_FILE, stage_folder

COSTS = "costs.json"
_COPIED = (
    "steps", "examples", "tokens", "seconds", "tokens_per_second", "peak_memory_bytes", "processes", "device", "bytes",
)  # fmt: skip
# Only of a stage that another run has trained.
_TAKEN = {"taken_over"}


def write_costs(output: Path, stages: Sequence[str], backbone: Path) -> None:
    """Sum up the complete stages of a run. Raises `CannotWrite`.

    `storage_ratio` is what serving takes on the disk - the backbone once and the stages that serve a role - against the
    backbone alone: adapters lie on it, whole models take its place. `peak_memory_bytes` is that of the first process.
    """
    records = {name: path for name in stages if (path := stage_folder(output, name) / STAGE_FILE).is_file()}
    found: dict[str, dict[str, Any]] = {name: json.loads(path.read_bytes()) for name, path in records.items()}
    if not found:
        return
    one = sum(path.stat().st_size for path in backbone.glob("*.safetensors"))
    first = next(iter(found.values()))["identity"]
    serving = {stage["name"] for stage in first["variant"]["stages"] if stage["serves"]}
    served = sum(record["bytes"] for name, record in found.items() if name in serving)
    whole = served + (one if first["config"]["lora"] else 0)
    document = {
        "variant": first["variant"]["name"],
        "stages": {
            name: {key: record[key] for key in (*_COPIED, *_TAKEN & record.keys())} for name, record in found.items()
        },
        "complete": len(found) == len(stages),
        "tokens": sum(record["tokens"] for record in found.values()),
        "seconds": round(sum(record["seconds"] for record in found.values()), 1),
        "peak_memory_bytes": max(record["peak_memory_bytes"] for record in found.values()),
        "backbone_bytes": one,
        "served_bytes": whole,
        "storage_ratio": round(whole / one, 3) if one else None,
    }
    write_file(output / COSTS, json.dumps(document, indent=2) + "\n")
