"""Practice questions: trajectories for training, made of real calls, without test questions."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from examples.practice.__main__ import KINDS, TESTED, practice
from examples.practice.calling import ToolApi
from examples.practice.course import Course, Kind
from examples.practice.subjects import clocks
from examples.practice.writing import WRITTEN
from recordings.formats.trajectories import load
from recordings.trajectory import recorded_calls

pytestmark = pytest.mark.slow

QUESTIONS = 120


@pytest.fixture(scope="module")
def api() -> ToolApi:
    return ToolApi(WRITTEN)


@pytest.fixture(scope="module")
def made(api: ToolApi) -> list[dict[str, Any]]:
    return list(practice(api, QUESTIONS, 7, 12))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}")
def test_every_answer_comes_from_tool_output(api: ToolApi, kind: Kind) -> None:
    course = Course(api, random.Random(3))
    question = kind(course)
    assert question.instruction
    if question.answer is None:
        assert not course.calls
    else:
        assert not course.calls[-1].is_error
        observation = json.loads(course.calls[-1].observation)
        assert any(str(value)[-5:] in question.answer for value in observation.values())


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
    again = list(practice(api, QUESTIONS, 7, 12))
    assert json.dumps(again) == json.dumps(made)
    # Of all tools `current_time` alone answers with the hour it is.
    assert any(step["action"] and step["action"]["name"] == "current_time" for each in made for step in each["steps"])
    other = list(practice(api, QUESTIONS, 8, 12))
    assert [each["instruction"] for each in other] != [each["instruction"] for each in made]


def test_practice_has_one_fixed_time(api: ToolApi) -> None:
    course = Course(api, random.Random(3))
    clocks.offset(course)
    observation = json.loads(course.calls[0].observation)
    assert observation["time"][:10] in ("2026-11-20", "2026-11-21")
    assert observation["time"] == f"{WRITTEN.astimezone(ZoneInfo(observation['time_zone'])):%Y-%m-%d %H:%M}"


def test_no_call_of_the_example_instructions_is_practised(made: list[dict[str, Any]]) -> None:
    tested = [json.loads(line) for line in TESTED.read_text(encoding="utf-8").splitlines()]
    calls = [(call["tool"], call["arguments"]) for line in tested for call in line["calls"]]
    actions = [step["action"] for each in made for step in each["steps"] if step["action"]]
    assert len(actions) > QUESTIONS / 2
    assert not [action for action in actions if (action["name"], action["arguments"]) in calls]
    assert not {each["instruction"] for each in made} & {line["instruction"] for line in tested}


def test_tools_are_needed_or_chance_and_never_too_many(made: list[dict[str, Any]]) -> None:
    for each in made:
        needed = {step["action"]["name"] for step in each["steps"] if step["action"]}
        assert needed <= set(each["tools"])
        assert len(each["tools"]) == len(set(each["tools"])) <= 12
    assert len({len(each["tools"]) for each in made}) > 5
