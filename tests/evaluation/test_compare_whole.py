"""Whole trajectories are compared question by question."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.synthetic_trajectories import step, trajectory, whole_run

from evaluation.compare import Comparison, compare_trajectories
from evaluation.errors import CasesDiffer
from evaluation.statistics.paired import Difference
from evaluation.whole_run import WholeRun
from recordings.errors import EmptySuite

HALF = [number < 50 for number in range(100)]


def of(comparison: Comparison, name: str) -> Difference:
    return next(item for item in comparison.differences if item.metric.name == name)


def test_fewer_right_answers_are_worse() -> None:
    matches = compare_trajectories(whole_run(HALF), whole_run([*[False] * 20, *HALF[20:]]))
    assert (matches.steps, matches.trajectories) == (None, 100)
    success = of(matches, "success")
    assert (success.first, success.second, success.verdict) == (0.5, 0.3, "worse")
    assert success.interval is not None
    assert success.interval.low < -0.2 < success.interval.high < 0
    assert of(matches, "completed").verdict == "inconclusive"


def test_the_order_does_not_matter_and_pairing_does() -> None:
    first, second = whole_run(HALF), whole_run([*[False] * 5, *HALF[5:]])
    turned = replace(second, asked=second.asked[::-1])
    assert compare_trajectories(first, turned).differences == compare_trajectories(first, second).differences
    # Five of a hundred: two samples apart would say nothing of that.
    assert of(compare_trajectories(first, second), "right").verdict == "worse"


def test_more_repeated_calls_are_worse() -> None:
    first = whole_run(HALF)
    again = [step(0), step(1, arguments={"item": 0}), step(2, "conclusion")]
    asked = tuple(
        record.model_copy(update={"trajectory": trajectory(instruction=record.trajectory.instruction, steps=again)})
        for record in first.asked[:60]
    )
    matches = of(compare_trajectories(first, replace(first, asked=(*asked, *first.asked[60:]))), "repeated_calls")
    assert (matches.second, matches.verdict) == (0.6, "worse")
    assert not matches.metric.is_share


def test_a_question_that_was_not_asked_is_not_right_and_hides_the_rest() -> None:
    matches = compare_trajectories(whole_run(HALF), whole_run([None] * 30 + HALF[30:]))
    assert matches.second_missing == tuple(f"q{number}" for number in range(30))
    assert of(matches, "success").second == 0.2
    assert of(matches, "success").verdict == "worse"
    assert of(matches, "steps").incomparable
    both = compare_trajectories(whole_run([None, True, True]), whole_run([None, True, True]))
    assert (both.trajectories, len(both.first_missing)) == (3, 1)
    assert of(both, "right").first == pytest.approx(2 / 3)


def _other(what: str) -> WholeRun:
    run = whole_run(HALF)
    record = run.asked[0]
    changed = {
        "instruction": {"trajectory": record.trajectory.model_copy(update={"instruction": "Another?"})},
        "tools": {"trajectory": record.trajectory.model_copy(update={"tools": ["other"]})},
        "expected": {"expected": "5"},
    }[what]
    return replace(run, asked=(record.model_copy(update=changed), *run.asked[1:]))


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (replace(whole_run(HALF), about=whole_run(HALF).about.model_copy(update={"suite": "other"})), "`suite`"),
        (whole_run(HALF[:40]), "`trajectories`: 100 and 40"),
        (whole_run(HALF, compared="last-number"), "`compared`"),
        (_other("instruction"), "another instruction for the trajectory 'q0'"),
        (_other("tools"), "another offer of tools"),
        (_other("expected"), "another expected answer"),
    ],
    ids=["suite", "number", "compared", "instruction", "tools", "expected"],
)
def test_files_of_other_questions_are_refused(second: WholeRun, message: str) -> None:
    with pytest.raises(CasesDiffer, match=message):
        compare_trajectories(whole_run(HALF), second)


def test_another_sample_is_refused() -> None:
    first = whole_run(HALF)
    second = replace(first, asked=(*first.asked[1:], first.asked[0].model_copy(update={"recorded": "q100"})))
    with pytest.raises(CasesDiffer, match="other samples of the suite: 'q0', 'q100'"):
        compare_trajectories(first, second)


def test_a_file_without_a_trajectory_is_refused() -> None:
    with pytest.raises(EmptySuite):
        compare_trajectories(whole_run(HALF), whole_run([None] * 100))
