"""Time windows, and the alarming roles in them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from support.synthetic_trajectories import BEGAN, step, trajectory

from alpha_umi.contract.trajectories import Trajectory
from evaluation.drift.page import drift_page
from evaluation.drift.report import DriftReport, drift_report, messages
from evaluation.drift.windows import Drift, WindowUnusable, drift, window_length

DAY = timedelta(days=1)
HOSTILE = "<script>alert(1)</script>"
MIDNIGHT = BEGAN.replace(hour=0)
LATER = BEGAN + 365 * DAY


def day(number: int, count: int = 60, *, gives_up: int = 0, repairs: int = 0) -> list[Trajectory]:
    """Trajectories of one day: `gives_up` of them give up, and in `repairs` of them the planner had to be repaired."""
    return [
        trajectory(
            f"{number}-{each}",
            status="gave_up" if each < gives_up else "completed",
            steps=[step(0, attempts=2 if each < repairs else 1, observation=HOSTILE), step(1, "conclusion")],
            instruction=f"{HOSTILE} {each}",
            after=number * DAY + timedelta(minutes=each),
        )
        for each in range(count)
    ]


def reported(matches: Drift, now: datetime = LATER) -> DriftReport:
    return drift_report(matches, {"not ended yet": 2}, now=now, resamples=2_000, seed=0)


def test_a_role_that_goes_wrong_differs_from_the_others() -> None:
    report = reported(drift([*day(0, gives_up=3), *day(1, gives_up=4), *day(2, gives_up=30)], DAY))
    assert [window.is_reference for window in report.windows] == [True, False, False]
    assert [len(window.alarms) for window in report.windows] == [0, 0, 1]
    (alarm,) = report.windows[2].alarms
    assert (alarm.role, alarm.figure, alarm.reference, alarm.value) == ("planner", "gave_up", 0.05, 0.5)
    assert alarm.low is not None
    assert 0 < alarm.low < 0.45
    assert report.alarming_roles == ["planner"]


def test_repairs_are_noticed() -> None:
    report = reported(drift([*day(0), *day(1, repairs=40)], DAY))
    assert [alarm.figure for alarm in report.windows[1].alarms] == ["repaired"]
    figure = report.windows[1].figures["planner.repaired"]
    assert (figure.n, figure.value) == (120, pytest.approx(1 / 3))


def test_like_the_reference_there_is_no_alarm_and_better_is_none() -> None:
    report = reported(drift([*day(0, gives_up=30), *day(1, gives_up=31), *day(2)], DAY))
    assert [window.alarms for window in report.windows] == [[], [], []]
    assert all(window.evaluated for window in report.windows[1:])


def test_few_trajectories_raise_no_alarm() -> None:
    report = reported(drift([*day(0), *day(1, count=19, gives_up=19)], DAY))
    assert (report.windows[1].evaluated, report.windows[1].alarms) == (False, [])
    few = reported(drift([*day(0, count=19), *day(1, gives_up=60)], DAY))
    assert (few.windows[1].evaluated, few.alarming_roles) == (False, [])


WRONG = "going wrong in the newest full window, 2026-03-03: planner"
WRONG_SO_FAR = "going wrong in the running window, 2026-03-04: planner"
WELL = "nothing is worse in the newest full window, 2026-03-03, than in the reference"
WELL_AGAIN = "nothing is worse in the newest full window, 2026-03-04, than in the reference"
FEW = "too few trajectories for a verdict: 1 newer window"


@pytest.mark.parametrize(
    ("before", "newest", "now", "sentences"),
    [
        ({"gives_up": 24}, {"count": 3}, 2, [WRONG, FEW]),
        ({"gives_up": 24}, {"count": 3}, 9, [WRONG, FEW]),
        ({"gives_up": 24}, {}, 2, [WRONG]),
        ({"gives_up": 24}, {}, 3, [WELL_AGAIN]),
        ({"gives_up": 24}, {"gives_up": 24}, 2, [WRONG, WRONG_SO_FAR]),
        ({}, {"count": 3, "gives_up": 3}, 2, [WELL, FEW]),
        ({}, {"gives_up": 24}, 2, [WRONG_SO_FAR]),
        ({"count": 19, "gives_up": 19}, {"gives_up": 24}, 2, [WRONG_SO_FAR]),
    ],
)
def test_a_window_that_runs_can_add_an_alarm_but_silences_none(
    before: dict[str, int], newest: dict[str, int], now: int, sentences: list[str]
) -> None:
    matches = drift([*day(0), *day(1, **before), *day(2, **newest)], DAY)
    report = reported(matches, now=MIDNIGHT + now * DAY + timedelta(minutes=10))
    assert [each.text for each in messages(report)] == sentences
    assert report.alarming_roles == (["planner"] if "wrong" in sentences[0] else [])
    page = drift_page(matches, report)
    assert all(f"{text[0].upper()}{text[1:]}." in page for text in sentences)


def test_without_a_full_window_there_is_no_alarm() -> None:
    report = reported(drift([*day(0), *day(1, count=19), *day(2, count=3)], DAY))
    assert ([each.kind for each in messages(report)], report.evaluated_windows) == (["inconclusive"], [])


def test_a_reference_of_its_own_holds_every_window() -> None:
    matches = drift(day(5, gives_up=30), DAY, reference=day(0))
    assert reported(matches).windows[0].alarms[0].figure == "gave_up"
    first_two = drift([*day(0), *day(1), *day(2)], DAY, reference_windows=2)
    assert len(first_two.reference.trajectories) == 120
    assert [window.against is None for window in first_two.windows] == [True, True, False]


def test_windows_begin_at_multiples_of_their_length_and_empty_ones_are_omitted() -> None:
    matches = drift([*day(0), *day(4)], DAY)
    assert [window.began for window in matches.windows] == [datetime(2026, 3, day, tzinfo=UTC) for day in (2, 6)]


@pytest.mark.parametrize("text", ["1", "d", "0d", "1y", "-1d", "1.5h", "999999d"])
def test_a_length_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(WindowUnusable, match="is not a length of time"):
        window_length(text)


def test_too_many_windows_are_refused() -> None:
    with pytest.raises(WindowUnusable, match="more than 366"):
        drift([each for number in range(10) for each in day(number)], window_length("1m"))


@pytest.mark.parametrize(("days", "windows"), [(1, 1), (3, 3), (3, 50)])
def test_a_reference_that_leaves_no_window_is_refused(days: int, windows: int) -> None:
    served = [each for number in range(days) for each in day(number, count=1)]
    with pytest.raises(WindowUnusable, match="none is left to compare with it") as refused:
        drift(served, DAY, reference_windows=windows)
    assert "--reference-windows" in str(refused.value.remedy)
    assert drift(served, DAY, reference=served, reference_windows=windows).windows


def test_a_long_observation_is_shown_with_both_ends() -> None:
    long = [step(0, observation="begin" + "x" * 500_000 + "end"), step(1, "conclusion")]
    worse = [each.model_copy(update={"steps": long}) for each in day(1, gives_up=30)]
    matches = drift([*day(0), *worse], DAY)
    page = drift_page(matches, reported(matches))
    assert len(page) < 1_000_000
    assert "begin" in page
    assert "xend" in page
    assert "characters of the middle are left out" in page


def test_the_page_shows_what_is_behind_an_alarm_as_text() -> None:
    matches = drift([*day(0), *day(1, gives_up=30)], DAY)
    page = drift_page(matches, reported(matches))
    assert "Going wrong in the newest full window, 2026-03-03: planner." in page
    assert 'href="#alarm-1-planner-gave_up"' in page
    assert 'id="alarm-1-planner-gave_up"' in page
    assert HOSTILE not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert page.count("<svg") > 5
    assert "not ended yet (2)" in page
