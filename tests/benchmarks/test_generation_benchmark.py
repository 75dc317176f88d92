"""The generation benchmark with a real engine; times are not checked. `evaluate generate` has tests of its own."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from support.fuzz_depth import LONG

from benchmarks.evaluate import synthetic_cases
from benchmarks.generation import measure_generation

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400), LONG]


def test_services_over_http_beside_their_engine(embedded_model: Path) -> None:
    cases = list(synthetic_cases(random.Random(0), 1))
    [row] = measure_generation(embedded_model, cases, [2], ["over HTTP"])
    assert (row["engine reached"], row["steps"], row["at once"]) == ("over HTTP", 1, 2)
    # A planner, and whoever it decides for unless it gives up.
    assert row["generations"] >= 1
    assert row["tokens"] > 500
    assert row["ratio"] > 0
