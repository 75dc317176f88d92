"""Scores: all figures with n, no dropped cases, and an empty suite is refused."""

from __future__ import annotations

import pytest
from support.measured_steps import GAVE_UP, case_of, pairs_of, right

from evaluation.files.published import pair
from evaluation.metrics import METRICS
from evaluation.scoring import score
from recordings.errors import EmptySuite


def test_every_metric_has_a_figure_with_its_number() -> None:
    scores = score(pairs_of({"a/1": GAVE_UP}))
    figures = {figure.metric.name: figure for figure in scores.figures}
    assert list(figures) == [metric.name for metric in METRICS]
    assert (figures["plan_em"].value, figures["plan_em"].n) == (pytest.approx(2 / 3), 3)
    assert (figures["action_em"].value, figures["action_em"].n) == (0, 1)
    assert (scores.steps, scores.trajectories, scores.missing) == (3, 3, ())
    assert scores.decisions["caller"]["give up"] == 1


def test_missing_predictions_are_named_and_counted_as_wrong() -> None:
    complete, holed = score(pairs_of({})), score(pairs_of({"a/1": None, "b/1": None}))
    assert holed.missing == ("a/1", "b/1")
    for before, after in zip(complete.figures, holed.figures, strict=True):
        if after.metric.name not in ("argument_validity", "invented_tools", "hard_f1", "easy_f1"):
            assert after.n == before.n, after.metric.name
    assert (holed.value("plan_em"), holed.value("rouge"), holed.value("call_match")) == (pytest.approx(1 / 3), 0, 0)
    assert sum(row["missing"] for row in holed.decisions.values()) == 2


def test_a_figure_without_a_step_is_none() -> None:
    case = case_of(decision="give up")
    figures = {figure.metric.name: figure for figure in score([pair(case, right(case))]).figures}
    for name in ("action_em", "rouge", "f1", "call_match", "invented_tools"):
        assert (figures[name].value, figures[name].n, figures[name].interval) == (None, 0, None)


def test_the_same_seed_gives_the_same() -> None:
    pairs = pairs_of({"a/1": GAVE_UP})
    assert score(pairs, seed=3) == score(pairs, seed=3)


def test_an_empty_suite_is_refused() -> None:
    with pytest.raises(EmptySuite, match="no step to score"):
        score([])
