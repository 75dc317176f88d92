"""Trajectory runs are compared question by question."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.synthetic_trajectories import step, trajectory, trajectory_run

from evaluation.compare import Comparison, compare_trajectories
from evaluation.errors import CasesDiffer
from evaluation.files.trajectory_run import TrajectoryRun
from evaluation.statistics.paired import Difference
from recordings.errors import EmptySuite

HALF = [number < 50 for number in range(100)]


def of(comparison: Comparison, name: str) -> Difference:
    return next(item for item in comparison.differences if item.metric.name == name)


def test_fewer_right_answers_are_worse() -> None:
    matches = compare_trajectories(trajectory_run(HALF), trajectory_run([*[False] * 20, *HALF[20:]]))
    assert (matches.steps, matches.trajectories) == (None, 100)
    success = of(matches, "success")
    assert (success.first, success.second, success.verdict) == (0.5, 0.3, "worse")
    assert success.interval is not None
    assert success.interval.low < -0.2 < success.interval.high < 0
    assert of(matches, "completed").verdict == "inconclusive"


def test_the_order_does_not_matter_and_pairing_does() -> None:
    first, second = trajectory_run(HALF), trajectory_run([*[False] * 5, *HALF[5:]])
    turned = replace(second, records=second.records[::-1])
    assert compare_trajectories(first, turned).differences == compare_trajectories(first, second).differences
    # Five of a hundred: two samples apart would say nothing of that.
    assert of(compare_trajectories(first, second), "right").verdict == "worse"


def test_more_repeated_calls_are_worse() -> None:
    first = trajectory_run(HALF)
    again = [step(0), step(1, arguments={"item": 0}), step(2, "conclusion")]
    records = tuple(
        record.model_copy(update={"trajectory": trajectory(instruction=record.trajectory.instruction, steps=again)})
        for record in first.records[:60]
    )
    matches = of(compare_trajectories(first, replace(first, records=(*records, *first.records[60:]))), "repeated_calls")
    assert (matches.second, matches.verdict) == (0.6, "worse")
    assert not matches.metric.is_share


def test_a_question_that_did_not_run_is_not_right_and_makes_the_rest_incomparable() -> None:
    matches = compare_trajectories(trajectory_run(HALF), trajectory_run([None] * 30 + HALF[30:]))
    assert matches.second_missing == tuple(f"q{number}" for number in range(30))
    assert of(matches, "success").second == 0.2
    assert of(matches, "success").verdict == "worse"
    assert of(matches, "steps").incomparable
    both = compare_trajectories(trajectory_run([None, True, True]), trajectory_run([None, True, True]))
    assert (both.trajectories, len(both.first_missing)) == (3, 1)
    assert of(both, "right").first == pytest.approx(2 / 3)


def _other(what: str) -> TrajectoryRun:
    run = trajectory_run(HALF)
    record = run.records[0]
    changed = {
        "instruction": {"trajectory": record.trajectory.model_copy(update={"instruction": "Another?"})},
        "tools": {"trajectory": record.trajectory.model_copy(update={"tools": ["other"]})},
        "expected": {"expected": "5"},
    }[what]
    return replace(run, records=(record.model_copy(update=changed), *run.records[1:]))


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (
            replace(trajectory_run(HALF), about=trajectory_run(HALF).about.model_copy(update={"suite": "other"})),
            "`suite`",
        ),
        (trajectory_run(HALF[:40]), "`trajectories`: 100 and 40"),
        (trajectory_run(HALF, compared="last-number"), "`compared`"),
        (_other("instruction"), "another instruction for the trajectory 'q0'"),
        (_other("tools"), "another offer of tools"),
        (_other("expected"), "another expected answer"),
    ],
    ids=["suite", "number", "compared", "instruction", "tools", "expected"],
)
def test_files_of_other_questions_are_refused(second: TrajectoryRun, message: str) -> None:
    with pytest.raises(CasesDiffer, match=message):
        compare_trajectories(trajectory_run(HALF), second)


def test_another_sample_is_refused() -> None:
    first = trajectory_run(HALF)
    second = replace(first, records=(*first.records[1:], first.records[0].model_copy(update={"recorded": "q100"})))
    with pytest.raises(CasesDiffer, match="other samples of the suite: 'q0', 'q100'"):
        compare_trajectories(first, second)


def test_a_file_without_a_trajectory_is_refused() -> None:
    with pytest.raises(EmptySuite):
        compare_trajectories(trajectory_run(HALF), trajectory_run([None] * 100))
