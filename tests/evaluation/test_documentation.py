"""docs/evaluation.md defines every metric and every record field."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.files.offered_tools import ToolRecord
from evaluation.files.published import Pair
from evaluation.files.step_run import (
    CaseRecord,
    ErrorRecord,
    OutputRecord,
    ParsedRecord,
    PredictionRecord,
    ReferenceRecord,
    RunRecord,
)
from evaluation.files.trajectory_run import TrajectoryRecord, TrajectoryRunRecord
from evaluation.metrics import METRICS, Metric
from evaluation.metrics.trajectory import TRAJECTORY_METRICS

PAGE = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
RECORDS = (
    RunRecord, CaseRecord, ReferenceRecord, PredictionRecord, OutputRecord, ErrorRecord, ParsedRecord,
    TrajectoryRunRecord, ToolRecord, TrajectoryRecord,
)  # fmt: skip
ROLES_LIKE_PLANNER = ("caller", "summarizer", "backbone")


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_metric_is_defined(metric: Metric[Pair]) -> None:
    table = [line for line in PAGE.splitlines() if line.startswith("| `")]
    assert any(f"`{metric.name}`" in line for line in table)


@pytest.mark.parametrize(
    "name",
    [metric.name for metric in TRAJECTORY_METRICS if metric.name.partition(".")[0] not in ROLES_LIKE_PLANNER],
)
def test_every_trajectory_metric_is_defined(name: str) -> None:
    table = [line for line in PAGE.splitlines() if line.startswith("| `")]
    assert any(f"`{name}`" in line.split("|")[1] for line in table)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_every_field_of_a_record_is_named(record: type[RunRecord]) -> None:
    assert [name for name in record.model_fields if name != "kind" and f"`{name}`" not in PAGE] == []
