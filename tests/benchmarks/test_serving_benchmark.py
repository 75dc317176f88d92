"""The serving benchmark with a real engine and random weights; times are not checked."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.fuzz_depth import LONG

from alpha_umi.serving.vllm_engine import VllmOptions
from benchmarks.random_model import write_configuration
from benchmarks.serving import measure

pytestmark = [pytest.mark.engine, LONG]


async def test_one_engine_with_three_adapters_beside_itself(embedded_model: Path, tmp_path: Path) -> None:
    model = write_configuration(tmp_path / "model", "1m", embedded_model)
    options = VllmOptions(model, context=4_096, kv_cache_gib=0.25, threads=2, load_format="dummy")
    tables = await measure(options, ["shared"], [1], rounds=1)
    [times] = tables.times
    assert (times["engines"], times["at once"], times["rounds"]) == ("shared", 1, 1)
    # Four steps to the limit, with at least a rationale and a call each, and the answer.
    assert times["generations"] >= 9
    assert times["ratio"] > 0
    planner = {row["step"]: row for row in tables.steps if row["role"] == "planner"}
    assert planner[1]["cached, of the prompt"] == 0
    assert all(planner[step]["cached, of the known prefix"] > 0.9 for step in (2, 3, 4))
    assert tables.starts[0]["all services"] >= tables.starts[0]["planner"] > 0
