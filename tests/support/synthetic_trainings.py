"""Folders in the layout of `alpha-umi train`, and manifests of their models, for tests that do not train."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def training(folder: Path, *, variant: str = "alpha-umi", tokens: int = 1000, complete: bool = True) -> Path:
    """A training of two stages with equal tokens. The last line of the second stage's losses is incomplete."""
    stage = {
        "steps": 3, "examples": 9, "tokens": tokens // 2, "seconds": 4.5, "tokens_per_second": 100.0,
        "peak_memory_bytes": 5_000_000, "processes": 1, "device": "cpu", "bytes": 1_000_000,
    }  # fmt: skip
    stages = {"global": stage, "planner": stage | {"reused_from": {"variant": "other", "stage": "global"}}}
    costs = {
        "variant": variant, "stages": stages, "complete": complete, "tokens": tokens, "seconds": 9.0,
        "peak_memory_bytes": 5_000_000, "backbone_bytes": 10_000_000, "served_bytes": 11_000_000, "storage_ratio": 1.1,
    }  # fmt: skip
    for name in stages:
        (folder / name).mkdir(parents=True)
        lines = [{"step": step, "loss": 3.0 / step, "lr": 0.1} for step in (1, 2, 3)]
        lines[-1]["dev_loss"] = 1.5
        (folder / name / "losses.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with (folder / "planner" / "losses.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    (folder / "costs.json").write_text(json.dumps(costs))
    return folder


def trained(*, variant: str = "alpha-umi", stage: str = "planner", tokens: int) -> dict[str, Any]:
    """The manifest of a model that a stage of such a training produced."""
    source = (
        f"trained by alpha-umi train {variant} (stage {stage}, seed 0, {tokens:,} tokens of the data 0123abcd) from: x"
    )
    return {"id": f"{variant}-{tokens}", "template": "toolbench", "manifest": {"source": source}}
