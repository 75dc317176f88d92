"""A batch of writes: each is accepted or refused independently, in order."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.store import SequenceConflict, TrajectoryExists, TrajectoryNotFound
from orchestrator.store.writes import LogWrite, plan_writes


def append(trajectory_id: str, after: int, count: int = 1, status: str | None = None) -> LogWrite:
    return LogWrite(trajectory_id, after, rows(trajectory_id, after, count), status=status)


def creation(trajectory_id: str, count: int = 1) -> LogWrite:
    return LogWrite(trajectory_id, 0, rows(trajectory_id, 0, count), trajectory={"id": trajectory_id})


def rows(trajectory_id: str, after: int, count: int) -> list[dict[str, Any]]:
    return [{"trajectory_id": trajectory_id, "seq": after + 1 + index} for index in range(count)]


def test_one_writers_conflict_leaves_the_others_alone() -> None:
    plan = plan_writes({"a": 1, "b": 5}, [append("a", 1), append("b", 4), append("c", 0), append("a", 2, 2)])
    assert [type(outcome) for outcome in plan.outcomes] == [
        type(None),
        SequenceConflict,
        TrajectoryNotFound,
        type(None),
    ]
    assert plan.events == rows("a", 1, 3)
    assert [row["end"] for row in plan.ends] == [2, 4]


def test_of_two_that_append_at_one_place_the_first_wins() -> None:
    plan = plan_writes({"a": 1}, [append("a", 1), append("a", 1)])
    assert plan.outcomes[0] is None
    assert isinstance(plan.outcomes[1], SequenceConflict)


def test_of_two_that_create_one_id_the_first_wins_and_can_be_appended_to() -> None:
    plan = plan_writes({}, [creation("a", 2), creation("a"), append("a", 2, status="failed")])
    assert plan.outcomes[0] is None
    assert isinstance(plan.outcomes[1], TrajectoryExists)
    assert plan.outcomes[2] is None
    assert plan.trajectories == [{"id": "a"}]
    assert plan.ends == [{"of": "a", "end": 3, "new_status": "failed", "new_finished_at": None}]


writes = st.builds(
    lambda name, after, count, create: creation(name, count) if create else append(name, after, count),
    st.sampled_from("abc"),
    st.integers(0, 4),
    st.integers(0, 3),
    st.booleans(),
)


@given(st.dictionaries(st.sampled_from("abc"), st.integers(0, 3)), st.lists(writes, max_size=12))
def test_logs_stay_without_gaps_for_any_writes(ends: dict[str, int], writes: list[LogWrite]) -> None:
    plan = plan_writes(ends, writes)
    assert len(plan.outcomes) == len(writes)
    for name in "abc":
        written = [row["seq"] for row in plan.events if row["trajectory_id"] == name]
        start = ends.get(name, 0)
        assert written == list(range(start + 1, start + 1 + len(written)))
        moved = [row["end"] for row in plan.ends if row["of"] == name]
        assert not moved or moved[-1] == start + len(written)
