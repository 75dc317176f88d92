"""What a run cost, role by role."""

from __future__ import annotations

from measured_steps import pairs_of, run_of

from evaluation.costs import RoleCost, role_costs


def test_tokens_and_time_are_counted_by_role() -> None:
    costs = role_costs(run_of(pairs_of({})).predictions)
    assert costs == {
        "planner": RoleCost(3, 300, 30, 0, 20.5, 20.5),
        "caller": RoleCost(1, 100, 10, 0, 20.5, 20.5),
        "summarizer": RoleCost(1, 100, 10, 0, 20.5, 20.5),
    }
    assert role_costs([]) == {}
