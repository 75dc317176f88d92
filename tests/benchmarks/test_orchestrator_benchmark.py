"""The orchestrator benchmark with few jobs and real processes; times are not checked."""

from __future__ import annotations

import pytest

from benchmarks.orchestrator import LANGGRAPH_PYTHON, Sizes, measure
from benchmarks.own_time import ClientWait, ServiceCall, own_times, percentile


def test_every_loop_has_a_row_that_adds_up() -> None:
    rows = measure(Sizes(open_s=0.3, jobs={4: 8}))
    assert {row["loop"] for row in rows} >= {"bare loop", "orchestrator"}
    assert len(rows) == (4 if LANGGRAPH_PYTHON.exists() else 3)
    for row in rows:
        assert row["effects/s"] > 0
        assert row["peak MB"] > 10
        assert row["CPU ms/effect"] > 0
    assert 0 < rows[0]["own ms/step p50"] <= rows[0]["own ms/step p99"]


def test_own_time_is_what_no_service_had() -> None:
    calls = [
        ServiceCall("a", "/v1/plan", 1.0, 2.0),
        ServiceCall("b", "/v1/plan", 1.5, 9.0),
        ServiceCall("a", "/v1/call", 2.5, 3.0),
        ServiceCall("a", "/tool", 3.25, 5.0),
        ServiceCall("a", "/v1/plan", 5.5, 6.0),
        ServiceCall("a", "/v1/summarize", 6.0, 7.0),
    ]
    assert own_times(calls, {"a": ClientWait(0.0, 7.25)}) == [1.0 + 0.5 + 0.25, 0.5 + 0.0 + 0.25]


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 5), (0.99, 10), (1.0, 10)])
def test_percentiles(share: float, expected: float) -> None:
    assert percentile([float(value) for value in range(10, 0, -1)], share) == expected
