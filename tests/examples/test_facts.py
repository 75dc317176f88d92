"""Facts in answers: notations that match, and those that do not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from examples.facts import Fact, missing_facts, rounds_to, states

INSTRUCTIONS = Path(__file__).parents[2] / "examples" / "instructions.jsonl"


@pytest.mark.parametrize(
    ("fact", "answer"),
    [
        (13, "Portugal has 13 public holidays in 2027."),
        (13, "There are **13**."),
        (13, "Holidays: 13"),
        (13, "There are thirteen public holidays."),
        (358, "It is 358 days."),
        (1358, "It is 1,358 days, or 1\u00a0358."),
        (42.16, "26.2 miles are 42.1648128 km."),
        (42.16, "About 42.16km."),
        (42.16, "It is (42.16)."),
        (37, "It is 37°C."),
        (37, "It is 37.00000000000006 degrees."),
        (37, "It is 37.0 degrees."),
        (7.25, "The mean is 7.25, the median 6.5."),
        (6.5, "mean 7.25,6.5"),
        (-3.5, "It is −3.5."),
        ("Sunday", "It is a sunday."),
        ("por", "The code is `por`."),
        ("756", "CHF has the numeric code 756."),
        ("Portuguese Republic", "Its name is the Portuguese\nRepublic."),
        ("full moon", "A full moon."),
        ("2027-02-28", "It is 2027-02-28."),
        ("2027-02-28", "It is 28 February 2027."),
        ("2027-02-28", "It is Sunday, the 28th of February, 2027!"),
        ("2027-02-28", "It is February 28, 2027."),
        ("2027-02-28", "It is Feb. 28th 2027."),
        ("2027-02-28", "It is 28/02/2027."),
        ("2027-02-28", "It is 2/28/2027."),
        ("2027-02-28", "It is 2027-02-28T00:00:00."),
        ("03:54", "The sun rises at 03:54."),
        ("03:54", "At 3:54 a.m. in Oslo."),
        ("03:54", "At 3:54:00."),
        ("08:30 PM", "At 8:30\u202fPM."),
        ("08:30 PM", "At 20:30."),
        ("08:30 PM", "At 8:30 in the evening."),
        ("17:00", "It is 5 PM there."),
        ("17:00", "It is 2027-05-01T17:00:00+09:00."),
        ("18 h 49 min", "18 h 49 min in Oslo."),
        ("18 h 49 min", "18 hours and 49 minutes."),
        ("18 h 49 min", "18h 49m"),
        ("+05:30", "UTC+05:30"),
        ("+05:30", "It is +5:30."),
    ],
)
def test_an_answer_contains_a_fact(fact: Fact, answer: str) -> None:
    assert states(answer, fact)


@pytest.mark.parametrize(
    ("fact", "answer"),
    [
        (27, "In 2027."),
        (13, "On 2013-05-01."),
        (13, "On 2027-06-13, and 13 June, and June 13th."),
        (13, "2013-…"),
        (13, "5-13, 13/5, 13:05, v13, 1.13, 13.1, 13,000, 13,000th and -13"),
        (13, "The 13th."),
        (9, "At 9 a.m. and for 9 h 30 min."),
        (9, "nine hundred, twenty-nine, nine and a half, ninety"),
        (42.16, "42.1, 42, 42.2, 42.17 and 142.16"),
        (37, "37.4"),
        (358, "1,358 and 358,000 days"),
        ("por", "The portuguese code is a portion."),
        ("756", "1756, 1,756 and 756.5"),
        ("Sunday", "Sundays"),
        ("Portuguese Republic", "Portuguese and Republic"),
        ("2027-02-28", "28 February"),
        ("2027-02-28", "28 February 2026"),
        ("2027-02-28", "2027-02-2"),
        ("2027-02-28", "12027-02-28-1"),
        ("2027-10-03", "10/03/2027 or 03/10/2027"),
        ("2027-03-03", "31 February 2027"),
        ("03:54", "13:54, 03:54 PM, 103:54, +03:54 and 3.54"),
        ("08:30 PM", "08:30"),
        ("08:30 PM", "8:30 AM"),
        ("17:00", "5:00 or 7:00"),
        ("18 h 49 min", "18 h, 40 min of it at 49 km/h; 118 h 49 min; 18:49"),
        ("+05:30", "05:30 and -05:30"),
    ],
)
def test_an_answer_lacks_a_fact(fact: Fact, answer: str) -> None:
    assert not states(answer, fact)


def test_all_facts_are_required() -> None:
    assert missing_facts("The mean is 7.25.", [7.25, 6.5]) == [6.5]
    assert missing_facts("7.25 and 6.5", [7.25, 6.5]) == []
    assert missing_facts(None, [7.25, "Sunday"]) == [7.25, "Sunday"]
    assert missing_facts("", [9]) == [9]


@pytest.mark.parametrize("line", INSTRUCTIONS.read_text("utf-8").splitlines(), ids=lambda line: json.loads(line)["id"])
def test_every_fact_of_the_examples_is_held_by_itself_and_not_by_its_question(line: str) -> None:
    entry = json.loads(line)
    assert missing_facts(f"It is {' and '.join(map(str, entry['facts']))}.", entry["facts"]) == []
    assert missing_facts(entry["instruction"], entry["facts"]) == entry["facts"]


@pytest.mark.parametrize(
    ("number", "fact", "is_it"), [(42.1648, 42.16, True), (42.17, 42.16, False), (36.9, 37, False)]
)
def test_numbers_round_to_the_digits_that_are_shown(number: float, fact: float, is_it: bool) -> None:
    assert rounds_to(number, fact) is is_it
