"""The gate: a regression stops a release, an inconclusive result does not, and unusable files are refused."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from support.measured_steps import GAVE_UP, called, case_of, right, run_of

from evaluation.compare import Comparison, compare, gate_comparison, require_complete, require_same_settings
from evaluation.errors import GateRefused
from evaluation.files.published import Pair, pair
from evaluation.metrics import METRICS
from evaluation.statistics import Correction

EVERY = [metric.name for metric in METRICS]


def calls(good: Sequence[bool], *, invents: int = 0) -> list[Pair]:
    """Calls of as many trajectories, right or given up; the last of them invent a tool."""
    cases = [case_of(f"{number}/1") for number in range(len(good))]
    invented = [place >= len(good) - invents for place in range(len(good))]
    return [
        pair(case, called("magic", "{}") if invents_one else right(case) if is_good else GAVE_UP)
        for case, is_good, invents_one in zip(cases, good, invented, strict=True)
    ]


def fallen(by: int, of: int = 100) -> Comparison:
    """The first run is right in half of the trajectories; the second in `by` fewer."""
    first = [number < of // 2 for number in range(of)]
    return compare(calls(first), calls([*[False] * by, *first[by:]]))


def test_a_clear_fall_is_worse_and_says_by_how_much() -> None:
    matches = gate_comparison(fallen(30), EVERY)
    worse = {figure.item.metric.name: figure for figure in matches.worse}
    assert worse.keys() >= {"plan_em", "action_em", "call_match"}
    figure = worse["call_match"]
    assert (figure.item.first, figure.item.second) == (0.5, 0.2)
    assert figure.interval is not None
    assert figure.interval.high < 0


def test_what_is_better_or_open_passes() -> None:
    back = compare(calls([False] * 50 + [True] * 50), calls([True] * 100))
    assert gate_comparison(back, EVERY).worse == ()
    assert gate_comparison(fallen(1), EVERY).worse == ()


def test_more_inventions_are_worse() -> None:
    matches = gate_comparison(
        compare(calls([True] * 60), calls([True] * 60, invents=30)), ["hallu_rate", "invented_tools"]
    )
    assert [figure.item.metric.name for figure in matches.worse] == ["hallu_rate", "invented_tools"]


def test_many_looks_are_corrected_and_one_is_not() -> None:
    """A fall that one look at 95 % would show, and eleven looks must not."""
    comparison = fallen(7)
    names = [item.metric.name for item in comparison.differences if item.verdict == "worse"]
    assert "call_match" in names
    alone = gate_comparison(comparison, ["call_match"])
    assert [figure.confidence for figure in alone.figures] == [0.95]
    assert len(alone.worse) == 1
    uncorrected = gate_comparison(comparison, EVERY, Correction.NONE)
    assert [figure.item.metric.name for figure in uncorrected.worse] == names
    unlikely = gate_comparison(fallen(5), EVERY)
    assert {round(figure.confidence, 6) for figure in unlikely.figures} == {round(1 - 0.05 / 11, 6)}


def test_holm_goes_on_with_those_that_are_left() -> None:
    """Figures that are rejected at the highest confidence leave the others a lower one."""
    matches = gate_comparison(fallen(30), EVERY)
    levels = {figure.item.metric.name: figure.confidence for figure in matches.figures}
    assert levels["call_match"] == pytest.approx(1 - 0.05 / 11)
    left = [figure for figure in matches.figures if figure.verdict == "inconclusive"]
    assert left
    assert {round(figure.confidence, 6) for figure in left} == {round(1 - 0.05 / len(left), 6)}


def test_the_smallest_fall_is_what_would_be_called_worse() -> None:
    first = [number < 100 for number in range(200)]
    second = [not good if number % 10 == 0 else good for number, good in enumerate(first)]
    figure = gate_comparison(compare(calls(first), calls(second)), ["call_match"]).figures[0]
    assert figure.verdict == "inconclusive"
    assert figure.interval is not None
    assert figure.minimum_detectable_effect == pytest.approx(figure.interval.high)
    assert figure.is_underpowered(figure.minimum_detectable_effect - 0.001)
    assert not figure.is_underpowered(figure.minimum_detectable_effect + 0.001)


@pytest.mark.parametrize("by", [1, 2, 3])
def test_a_fall_that_does_not_show_is_smaller_than_the_smallest(by: int) -> None:
    """Where hardly anything differs the resamples hardly scatter, and would promise too much."""
    figure = gate_comparison(fallen(by), ["call_match"]).figures[0]
    assert figure.verdict == "inconclusive"
    assert figure.minimum_detectable_effect is not None
    assert by / 100 < figure.minimum_detectable_effect < 0.05


def test_equal_files_could_hide_no_more_than_the_score_interval_allows() -> None:
    same = calls([number % 2 == 0 for number in range(100)])
    figure = gate_comparison(compare(same, same), ["call_match"]).figures[0]
    assert (figure.verdict, figure.interval) == ("inconclusive", None)
    assert figure.minimum_detectable_effect == pytest.approx(1.96**2 / (100 + 1.96**2), abs=1e-4)


def test_few_trajectories_show_no_fall_at_all() -> None:
    figure = gate_comparison(fallen(8, of=16), ["call_match"]).figures[0]
    assert (figure.verdict, figure.minimum_detectable_effect) == ("inconclusive", None)
    assert figure.is_underpowered(0.99)


def test_an_unknown_figure_is_named_with_the_known_ones() -> None:
    with pytest.raises(GateRefused, match="no figure is called 'accuracy'") as refused:
        gate_comparison(fallen(1), ["accuracy"])
    assert "call_match" in (refused.value.remedy or "")


def test_missing_predictions_are_refused() -> None:
    with pytest.raises(GateRefused, match="the second file lacks 2 predictions: 'a/1', 'b/1'"):
        require_complete((), ("a/1", "b/1"))


@pytest.mark.parametrize(
    ("field", "value"), [("suite", "four"), ("constrained", False), ("attempts", 1)], ids=lambda value: str(value)
)
def test_runs_with_different_settings_are_refused(field: str, value: object) -> None:
    about = run_of(calls([True])).about
    with pytest.raises(GateRefused, match=f"`{field}` is {getattr(about, field)!r} and {value!r}"):
        require_same_settings(about, about.model_copy(update={field: value}))
    require_same_settings(about, about.model_copy(update={"models": {}, "template": "another"}))
