"""The benchmark of common prefixes counts the tokens of all roles, and computes one step both ways."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.tiny_training import make_world, write_config

from benchmarks import prefixes

WAYS = ("once", "repeated")


def test_it_counts_tokens_and_times_a_step(
    tmp_path: Path, embedded_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = make_world(tmp_path, embedded_model)
    config = write_config(tmp_path / "tiny.yaml", world.backbone, lora={"rank": 4, "alpha": 8})
    table = tmp_path / "table.json"
    prefixes.main(world.data, batch=8, seconds_tokens=500, config_name=str(config), json_file=table)
    rows = json.loads(table.read_bytes())["rows"]
    assert [(row["role"], row["source"]) for row in rows] == [
        (role, "toy") for role in ("backbone", "planner", "caller", "summarizer", "all")
    ]
    assert rows[1]["x"] > 2
    assert rows[-1]["computed"] == sum(row["computed"] for row in rows[:-1])
    lines = [line.split("│") for line in capsys.readouterr().out.splitlines()]
    losses = {line[1].strip(): float(line[-2]) for line in lines if line[0] == "" and line[1].strip() in WAYS}
    assert losses["once"] == pytest.approx(losses["repeated"], rel=1e-3)
