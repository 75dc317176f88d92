"""The evaluation benchmark with few steps: its rows and its synthetic steps are correct; times are not checked."""

from __future__ import annotations

import random

import pytest

from benchmarks.evaluate import ANSWER_WORDS, STEPS_PER_TRAJECTORY, _pairs, measure
from evaluation.scoring import score


def test_every_part_has_a_row() -> None:
    rows = measure(20)
    assert [row["what"].split(" (")[0].split(",")[0] for row in rows] == [
        "read records",
        "read published",
        "score",
        "compare",
    ]
    assert all(row["steps"] == 20 and row["seconds"] > 0 for row in rows)


def test_the_steps_are_half_right() -> None:
    pairs = list(_pairs(random.Random(1), 100 * STEPS_PER_TRAJECTORY))
    scores = score(pairs, resamples=100)
    assert scores.trajectories == 100
    assert scores.value("call_match") == pytest.approx(0.5, abs=0.1)
    answers = [pair.case.reference.answer for pair in pairs if pair.case.reference.answer is not None]
    assert {len(answer.split()) for answer in answers} == {ANSWER_WORDS}
    assert 0.4 < (scores.value("rouge") or 0) < 0.9
