"""The benchmark of contention starts the system, asks under each load, and stops everything again."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.contention import CONFIGURATIONS, USUAL, measure


def test_each_load_has_a_figure(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text(json.dumps([{"texts": ["Nothing more is needed. Next: conclusion."]}]))
    row = measure({}, 1, ["--script", str(script)])
    assert row.keys() == {"ready", "first", "alone", "busy", "busy / alone", "two", "two / alone"}
    assert all(figure > 0 for figure in row.values())


def test_the_usual_configurations_exist() -> None:
    assert set(USUAL) <= set(CONFIGURATIONS)
