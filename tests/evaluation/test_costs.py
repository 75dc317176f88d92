"""What a run cost, role by role."""

from __future__ import annotations

from support.measured_steps import pairs_of, run_of

from evaluation.costs import RoleCost, role_costs
from evaluation.files.step_run import ErrorRecord, PredictionRecord


def test_tokens_and_time_are_counted_by_role() -> None:
    costs = role_costs(run_of(pairs_of({})).predictions)
    assert costs == {
        "planner": RoleCost(3, 300, 30, 0, 0, 0, 20.5, 20.5),
        "caller": RoleCost(1, 100, 10, 0, 0, 0, 20.5, 20.5),
        "summarizer": RoleCost(1, 100, 10, 0, 0, 0, 20.5, 20.5),
    }
    assert role_costs([]) == {}


def test_second_attempts_and_failures_are_counted() -> None:
    prediction = run_of(pairs_of({})).predictions[0]
    again = [output.model_copy(update={"attempts": 2}) for output in prediction.outputs[:1]]
    error = ErrorRecord(role="caller", problem="internal", status=500, detail="?")
    costs = role_costs([PredictionRecord.of(prediction.id, again, error)])
    assert (costs["planner"].again, costs["planner"].failed) == (1, 0)
    assert costs["caller"] == RoleCost(0, 0, 0, 0, 0, 1, 0.0, 0.0)
