"""The cost of a run by role."""

from __future__ import annotations

from support.measured_steps import pairs_of, run_of

from evaluation.files.predictions import CostReport, role_costs
from evaluation.files.step_run import ErrorRecord, PredictionRecord


def cost(*values: float) -> CostReport:
    return CostReport.model_validate(dict(zip(CostReport.model_fields, values, strict=True)))


def test_tokens_and_time_are_counted_by_role() -> None:
    costs = role_costs(run_of(pairs_of({})).predictions)
    assert costs == {
        "planner": cost(3, 300, 30, 0, 0, 0, 20.5, 20.5),
        "caller": cost(1, 100, 10, 0, 0, 0, 20.5, 20.5),
        "summarizer": cost(1, 100, 10, 0, 0, 0, 20.5, 20.5),
    }
    assert role_costs([]) == {}


def test_second_attempts_and_failures_are_counted() -> None:
    prediction = run_of(pairs_of({})).predictions[0]
    again = [output.model_copy(update={"attempts": 2}) for output in prediction.outputs[:1]]
    error = ErrorRecord(role="caller", problem="internal", status=500, detail="?")
    costs = role_costs([PredictionRecord.of(prediction.id, again, error)])
    assert (costs["planner"].again, costs["planner"].failed) == (1, 0)
    assert costs["caller"] == cost(0, 0, 0, 0, 0, 1, 0.0, 0.0)
