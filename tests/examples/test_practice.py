"""Practice questions: trajectories for training, made of real calls, without test questions."""

from __future__ import annotations

import datetime as dt
import json
import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from examples.practice.__main__ import TESTED, calls_of_tests, practice, subject_of
from examples.practice.calling import ToolApi
from examples.practice.course import Course, Kind, Maker, Question
from examples.practice.drawing import CURRENCIES
from examples.practice.kinds import COMPOSED, KINDS, ONE_CALL, half_possible, misspelled, not_possible, one, tool_fails
from examples.practice.subjects import clocks
from examples.practice.writing import WRITTEN
from examples.tool_api.app import create_app
from recordings.formats.trajectories import load
from recordings.trajectory import recorded_calls

pytestmark = pytest.mark.slow

QUESTIONS = 200
TOOL_SETS = 8


@pytest.fixture(scope="module")
def api() -> ToolApi:
    return ToolApi(WRITTEN)


@pytest.fixture(scope="module")
def made(api: ToolApi) -> list[dict[str, Any]]:
    return list(practice(api, QUESTIONS, 7, TOOL_SETS))


def draw(api: ToolApi, kind: Kind, seed: int = 0) -> tuple[Question, Course]:
    """The first question that the kind can make, as the command draws it."""
    random_numbers = random.Random(seed)
    while True:
        course = Course(api, random_numbers)
        try:
            return kind(course), course
        except LookupError:
            continue


def values(value: Any) -> list[Any]:
    """All numbers and texts of a JSON value."""
    if isinstance(value, dict):
        return [each for member in value.values() for each in values(member)]
    return [each for member in value for each in values(member)] if isinstance(value, list) else [value]


@pytest.mark.parametrize("maker", [*ONE_CALL, *COMPOSED], ids=lambda maker: f"{maker.__module__[26:]}.{maker.__name__}")
def test_what_a_part_states_comes_from_its_observations(api: ToolApi, maker: Maker) -> None:
    def kind(course: Course) -> Question:
        return Question("", "", maker(course).solve(course))

    for seed in range(5):
        question, course = draw(api, kind, seed)
        assert maker in COMPOSED or len(course.calls) == 1
        stated = "".join(call.thought for call in course.calls[1:]) + (question.answer or "")
        for call in course.calls:
            assert any(str(value)[:10] in stated for value in values(json.loads(call.observation)))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_question_ends_with_an_answer_or_gives_up_at_once(api: ToolApi, kind: Kind) -> None:
    question, course = draw(api, kind)
    assert question.instruction[0] in (question.instruction[0].upper(), question.instruction[0].lower())
    assert (question.answer is None) == (not course.calls) == question.thought.endswith("I give up.")


def test_a_rationale_names_the_tool_and_leaves_the_arguments_to_the_caller(made: list[dict[str, Any]]) -> None:
    for each in made:
        for step in each["steps"]:
            if step["action"]:
                assert step["thought"].endswith(f" I call {step['action']['name']}.")
            else:
                assert not set(re.findall(r"\d+", step["thought"]))


@pytest.mark.parametrize("seed", range(6))
def test_a_tool_that_fails_is_tried_again_and_then_reported(api: ToolApi, seed: int) -> None:
    question, course = draw(api, tool_fails, seed)
    first, second = course.calls
    assert first.is_error
    assert (first.tool, first.arguments) == (second.tool, second.arguments)
    assert "I try it once more" in second.thought
    assert second.is_error == ("failed twice" in (question.answer or ""))


def test_a_misspelled_name_is_replaced_by_the_suggested_one(api: ToolApi) -> None:
    _, course = draw(api, misspelled)
    wrong, right = course.calls
    assert wrong.is_error
    assert not right.is_error
    (argument,) = {name for name, value in right.arguments.items() if wrong.arguments[name] != value}
    assert f"did you mean {right.arguments[argument]}" in wrong.observation


def test_the_reason_of_the_tool_is_the_answer_where_there_is_none(api: ToolApi) -> None:
    question, course = draw(api, not_possible)
    detail = json.loads(course.calls[-1].observation.partition(": ")[2])["detail"]
    assert detail in (question.answer or "")


def test_what_no_tool_can_do_is_named_beside_the_answer_to_the_rest(api: ToolApi) -> None:
    question, course = draw(api, half_possible)
    assert not course.calls[-1].is_error
    assert "I have no tool for" in (question.answer or "")


def test_the_command_writes_what_training_reads(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "examples.practice", "--questions", "30", "--output"]
    for name in ("own", "again"):
        subprocess.run([*command, str(tmp_path / name)], check=True, capture_output=True)
    for name in ("trajectories.jsonl", "tools.json"):
        assert (tmp_path / "own" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    loaded = load(tmp_path / "own")
    assert len(loaded.trajectories) == 30
    assert not loaded.excluded
    for trajectory in loaded.trajectories:
        names = {tool.name for tool in trajectory.tools}
        assert {result.call.name for result in recorded_calls(trajectory)} <= names


def test_a_seed_makes_the_same_trajectories_again(api: ToolApi, made: list[dict[str, Any]]) -> None:
    again = list(practice(api, QUESTIONS, 7, TOOL_SETS))
    assert json.dumps(again) == json.dumps(made)
    # Of all tools `current_time` alone answers with the hour it is.
    assert any(step["action"] and step["action"]["name"] == "current_time" for each in made for step in each["steps"])
    other = list(practice(api, QUESTIONS, 8, TOOL_SETS))
    assert [each["instruction"] for each in other] != [each["instruction"] for each in made]


def test_a_share_of_the_questions_has_all_tools(api: ToolApi) -> None:
    few, many = (
        [len(each["tools"]) for each in practice(api, 60, 3, TOOL_SETS, all_tools=share)] for share in (0.0, 0.9)
    )
    assert few.count(len(api.names)) < 30 < many.count(len(api.names))


def test_the_clock_of_practice_shows_the_time_that_is_set(api: ToolApi) -> None:
    api.now = dt.datetime(2029, 5, 6, 7, 8, tzinfo=dt.UTC)
    _, course = draw(api, lambda course: Question("", "", clocks.now(course).solve(course)))
    observation = json.loads(course.calls[0].observation)
    assert observation["time"] == f"{api.now.astimezone(ZoneInfo(observation['time_zone'])):%Y-%m-%d %H:%M}"


def test_no_call_of_the_example_instructions_is_practised(api: ToolApi, made: list[dict[str, Any]]) -> None:
    tested = [json.loads(line) for path in TESTED for line in path.read_text(encoding="utf-8").splitlines()]
    calls = [(call["tool"], call["arguments"]) for line in tested for call in line["calls"]]
    actions = [step["action"] for each in made for step in each["steps"] if step["action"]]
    assert len(actions) > QUESTIONS / 2
    assert not [action for action in actions if (action["name"], action["arguments"]) in calls]
    assert not {each["instruction"] for each in made} & {line["instruction"] for line in tested}


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("public_holidays", {"country": "Portugal", "year": 2027}),
        ("sun_times", {"city": "oslo", "date": "2027-06-21", "X-Clock": "12h"}),
        ("current_time", {"zone": "Kolkata"}),
        ("convert_time", {"time": "2027-05-01T09:00", "from_zone": "Lisbon", "to_zone": "Tokyo"}),
        ("convert_unit", {"value": 26.2, "from_unit": "miles", "to_unit": "km"}),
        ("language_info", {"language": "pt"}),
    ],
)
def test_a_tested_call_is_known_in_other_words(api: ToolApi, tool: str, arguments: dict[str, Any]) -> None:
    assert subject_of(tool, api.call(tool, arguments).content) in calls_of_tests(api, TESTED)


def test_calls_of_further_files_are_excluded_even_where_the_tool_fails(api: ToolApi, tmp_path: Path) -> None:
    calls = [{"tool": "currency_info", "arguments": {"currency": code}} for code in CURRENCIES]
    (tmp_path / "exam.jsonl").write_text(json.dumps({"calls": calls}) + "\n", encoding="utf-8")
    kinds = dict.fromkeys((one, tool_fails), 1)
    made = practice(api, 60, 3, TOOL_SETS, excluded=[tmp_path / "exam.jsonl"], kinds=kinds)
    assert not [
        step for each in made for step in each["steps"] if (step["action"] or {}).get("name") == "currency_info"
    ]


def test_few_tool_sets_are_offered_and_all_tools_most_often(api: ToolApi, made: list[dict[str, Any]]) -> None:
    for each in made:
        needed = {step["action"]["name"] for step in each["steps"] if step["action"]}
        assert needed <= set(each["tools"])
        assert len(each["tools"]) == len(set(each["tools"]))
    sets = Counter(tuple(each["tools"]) for each in made)
    assert 2 < len(sets) <= TOOL_SETS
    # The order in which the orchestrator offers them is that of the document.
    assert sets.most_common(1)[0][0] == tuple(api.names)
    assert list(api.names) == [
        route["operationId"] for path in create_app().openapi()["paths"].values() for route in path.values()
    ]
