"""What lies where in the folder of a run, see `run`."""

from __future__ import annotations

from pathlib import Path

RUN_FILE, STAGE_FILE, LOSSES, CURVES = "run.json", "stage.json", "losses.jsonl", "losses.png"


def stage_folder(output: Path, stage: str) -> Path:
    """Where a complete stage's model lies in the folder of a run."""
    return output / stage / "model"
