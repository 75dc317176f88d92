"""`show` and `replay`: a recorded trajectory, and its replay through the state machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.unreadable_events import unreadable_call, unreadable_plan, unreadable_step

from alpha_umi.roles.turns import Tool
from alpha_umi.trajectory import (
    ActionRequired,
    AnswerWritten,
    Backtracked,
    CallMade,
    Cancelled,
    EffectIntended,
    LimitReached,
    Limits,
    MessageAdded,
    PlannerDecided,
    RoleFailed,
    StepTaken,
    ToolObserved,
    TrajectoryCreated,
    TrajectoryFinished,
    Usage,
    dump_event,
)

Fake = Any
Invoke = Callable[..., Any]

CREATED = TrajectoryCreated("How warm is it in Oslo?", ("temperature",), Limits(max_steps=2))
DECIDED = PlannerDecided("I ask.", "caller", "I ask. Next: caller.")
CALLED = CallMade("call_1", "temperature", {"city": "Oslo"}, "Action: temperature")
OBSERVED = ToolObserved("call_1", "19.5")
STEP = (DECIDED, CALLED, OBSERVED)
CONCLUDED = PlannerDecided("Known.", "conclusion", "Known. Next: conclusion.")
ANSWERED = AnswerWritten("19.5 degrees.")
COMPLETED = (CREATED, *STEP, CONCLUDED, ANSWERED, TrajectoryFinished())
ALONE = TrajectoryCreated("How warm is it in Oslo?", ("temperature",), Limits(max_steps=2), strategy="single")
STEPPED = StepTaken("I ask.", "caller", "Action: temperature", "call_1", "temperature", {"city": "Oslo"})
STEPPED_TO_ANSWER = StepTaken("Known.", "conclusion", "19.5 degrees.", answer="19.5 degrees.")
SEARCH = TrajectoryCreated("How warm is it in Oslo?", ("temperature",), Limits(max_steps=9, max_depth=2), "dfsdt")
GIVEN_UP = PlannerDecided("No.", "give up", "No. Next: give up.")
OTHER = (DECIDED, CallMade("call_2", "temperature", {"city": "Bergen"}, "Action: temperature"),
         ToolObserved("call_2", "20.5"))  # fmt: skip
PATIENT = Limits(max_repeats=2, on_unreadable="give up")
STUBBORN = Limits(max_repeats=9)

RUNS: dict[str, Sequence[Any]] = {
    "completed": COMPLETED,
    "with intents": (CREATED, EffectIntended("planner:0"), DECIDED, EffectIntended("caller:0"), *COMPLETED[2:]),
    "gave up": (CREATED, PlannerDecided("No.", "give up", "No. Next: give up."), TrajectoryFinished()),
    "steps exhausted": (CREATED, *STEP, *STEP, ANSWERED, TrajectoryFinished()),
    "call unreadable": (
        CREATED,
        DECIDED,
        unreadable_call("?", "there is no call"),
        CONCLUDED,
        ANSWERED,
        TrajectoryFinished(),
    ),
    "planner unreadable": (CREATED, unreadable_plan("er", "no decision"), ANSWERED, TrajectoryFinished()),
    "another policy": (
        TrajectoryCreated("q", ("temperature",), PATIENT),
        unreadable_plan("er", "no decision", "give up"),
        TrajectoryFinished(),
    ),
    "repeated": (TrajectoryCreated("q", ("temperature",), PATIENT), *STEP, *STEP, ANSWERED, TrajectoryFinished()),
    "repeated, but allowed to": (
        TrajectoryCreated("q", ("temperature",), STUBBORN),
        *STEP * 4,
        CONCLUDED,
        ANSWERED,
        TrajectoryFinished(),
    ),
    "role failed": (CREATED, *STEP, RoleFailed("planner", "it is down"), TrajectoryFinished()),
    "summarizer failed": (CREATED, CONCLUDED, RoleFailed("summarizer", "it is down"), TrajectoryFinished()),
    "cancelled": (CREATED, DECIDED, Cancelled("the client disconnected"), TrajectoryFinished()),
    "deadline": (CREATED, DECIDED, LimitReached("deadline"), ANSWERED, TrajectoryFinished()),
    "search": (
        SEARCH,
        *STEP,
        GIVEN_UP,
        Backtracked(None, "gave_up"),
        *STEP,
        CONCLUDED,
        ANSWERED,
        TrajectoryFinished(),
    ),
    "search, given up": (
        SEARCH,
        *STEP,
        GIVEN_UP,
        Backtracked(None, "gave_up"),
        *STEP,
        GIVEN_UP,
        TrajectoryFinished(),
    ),
    "search, exhausted": (
        TrajectoryCreated("q", ("temperature",), Limits(max_depth=1), "dfsdt"),
        *STEP,
        Backtracked(None, "max_depth"),
        *OTHER,
        ANSWERED,
        TrajectoryFinished(),
    ),
    "search, repeated": (
        TrajectoryCreated("q", ("temperature",), Limits(max_repeats=2), "dfsdt"),
        *STEP,
        *STEP,
        Backtracked(0, "repeated_call"),
        *OTHER,
        CONCLUDED,
        ANSWERED,
        TrajectoryFinished(),
    ),
    "tokens exhausted": (
        TrajectoryCreated("q", ("temperature",), Limits(max_tokens=9)),
        DECIDED,
        unreadable_call("?", "no call", Usage(9, 1)),
        ANSWERED,
        TrajectoryFinished(),
    ),
    "single": (ALONE, STEPPED, OBSERVED, STEPPED_TO_ANSWER, TrajectoryFinished()),
    "single, exhausted": (ALONE, STEPPED, OBSERVED, STEPPED, OBSERVED, STEPPED_TO_ANSWER, TrajectoryFinished()),
    "single, no call": (
        ALONE,
        StepTaken("I ask.", "caller", "Action: x", reason="no such tool"),
        STEPPED_TO_ANSWER,
        TrajectoryFinished(),
    ),
    "single, unreadable": (ALONE, unreadable_step("er", "neither"), TrajectoryFinished()),
    "single, unreadable conclusion": (
        ALONE,
        STEPPED,
        OBSERVED,
        STEPPED,
        OBSERVED,
        unreadable_step("er", "neither", concludes=True),
        TrajectoryFinished(),
    ),
    "single, failed": (ALONE, STEPPED, OBSERVED, RoleFailed("backbone", "it is down"), TrajectoryFinished()),
    "single, deadline": (ALONE, LimitReached("deadline"), STEPPED_TO_ANSWER, TrajectoryFinished()),
    "single, deadline twice": (ALONE, LimitReached("deadline"), LimitReached("deadline"), TrajectoryFinished()),
    "single, gave up": (ALONE, StepTaken("No.", "give up"), TrajectoryFinished()),
    "client tool": (
        TrajectoryCreated("q", ("temperature",), client_tool_definitions=(Tool("temperature"),)),
        *STEP[:2],
        ActionRequired("call_1", "2026-11-21T12:00:00+00:00"),
        *COMPLETED[3:],
    ),
    "further turn": (*COMPLETED, MessageAdded("m"), CONCLUDED, ANSWERED, TrajectoryFinished()),
    "further turn after none": (
        CREATED,
        Cancelled(),
        TrajectoryFinished(),
        MessageAdded("m"),
        CONCLUDED,
        ANSWERED,
        TrajectoryFinished(),
    ),
    "further turn without answer": (*COMPLETED, MessageAdded("m"), RoleFailed("planner", "down"), TrajectoryFinished()),
    "deadline twice": (CREATED, DECIDED, LimitReached("deadline"), LimitReached("deadline"), TrajectoryFinished()),
    "deadline while summarizing": (CREATED, *STEP, CONCLUDED, LimitReached("deadline"), TrajectoryFinished()),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_replay_leads_to_what_the_orchestrator_shows(fake: Fake, url: str, invoke: Invoke, name: str) -> None:
    fake.add(RUNS[name])
    result = invoke("replay", "traj_1", "--url", url)
    assert result.exit_code == 0, result.output
    assert "the replay leads to what the orchestrator shows" in result.stdout
    assert f"status  {fake.document('traj_1')['status']}" in result.stdout


def test_the_states_are_printed_one_by_one(fake: Fake, url: str, invoke: Invoke) -> None:
    fake.add(COMPLETED)
    lines = [line.split() for line in invoke("replay", "traj_1", "--url", url).stdout.splitlines()]
    assert lines[1:8] == [
        ["1", "trajectory.created", "planning", "planner:0", "0"],
        ["2", "planner.decided", "calling", "caller:0", "1"],
        ["3", "caller.called", "running_tool", "tool:0", "1"],
        ["4", "tool.observed", "planning", "planner:1", "1"],
        ["5", "planner.decided", "summarizing", "summarizer:2", "2"],
        ["6", "summarizer.answered", "ending", "finish", "2"],
        ["7", "trajectory.finished", "finished", "2"],
    ]


def test_one_that_runs_is_not_replayed(fake: Fake, url: str, invoke: Invoke) -> None:
    fake.add(COMPLETED[:3])
    result = invoke("replay", "traj_1", "--url", url)
    assert result.exit_code == 2
    assert "alpha-umi tail traj_1" in result.stderr


def rows(events: Sequence[Any]) -> str:
    packed = [dump_event(event) for event in events]
    return "\n".join(json.dumps({"seq": 1, "type": event.pop("type"), "payload": event}) for event in packed)


def test_an_exported_log_is_replayed_without_an_orchestrator(tmp_path: Path, invoke: Invoke) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(rows(RUNS["with intents"]) + "\n\n")
    result = invoke("replay", "--file", str(file))
    assert result.exit_code == 0, result.output
    assert "effect.intended" in result.stdout
    assert "answer  19.5 degrees." in result.stdout


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("{", 2, "line 1: document: Invalid JSON"),
        ('{"type": "trajectory.created"}', 2, "line 1: payload: Field required"),
        ('\n{"type": "nonsense", "payload": {}}', 2, "line 2: unknown event kind 'nonsense'"),
        ('{"type": "trajectory.created", "payload": {"instruction": "q"}}', 2, "'trajectory.created' is incomplete"),
        (rows([DECIDED]), 1, "event 1 (planner.decided) does not follow from those before it"),
        (rows([CREATED, AnswerWritten(5)]), 2, "wrong: answer: Input should be a valid string"),  # type: ignore[arg-type]
    ],
)
def test_a_log_that_is_none_is_refused(tmp_path: Path, invoke: Invoke, text: str, code: int, says: str) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(text)
    result = invoke("replay", "--file", str(file))
    assert result.exit_code == code
    assert says in " ".join(result.stderr.split())


@pytest.mark.parametrize("arguments", [[], ["traj_1", "--file", "x"], ["--database", "x"]])
def test_replay_needs_one_log(invoke: Invoke, arguments: list[str]) -> None:
    result = invoke("replay", *arguments)
    assert result.exit_code == 2
    assert "--file alone" in result.stderr


async def test_the_orchestrators_own_file_is_replayed(tmp_path: Path) -> None:
    from datetime import UTC, datetime

    from cli.event_log import read_database
    from orchestrator.log import new_event
    from orchestrator.store import open_store

    path = tmp_path / "log.db"
    async with open_store(f"sqlite:///{path}") as store:
        await store.create(
            "traj_1", [new_event(event) for event in COMPLETED], at=datetime.now(UTC),
            instruction="q", tools=("temperature",), strategy="chain", metadata={}, background=False,
        )  # fmt: skip
        assert read_database(path, "traj_1") == list(COMPLETED)


def test_a_file_that_is_no_log(tmp_path: Path, invoke: Invoke) -> None:
    file = tmp_path / "log.db"
    for content in (None, "not a database, whatever its name says"):
        if content is not None:
            file.write_text(content)
        result = invoke("replay", "traj_1", "--database", str(file))
        assert result.exit_code == 2
        assert "cannot be read as an event log" in result.stderr


def test_show(fake: Fake, url: str, invoke: Invoke) -> None:
    fake.add(COMPLETED)
    result = invoke("show", "traj_1", "--url", url)
    assert result.exit_code == 0
    for part in ("How warm is it in Oslo?", "I ask.", 'temperature {"city": "Oslo"}', "19.5 degrees.", "completed"):
        assert part in result.stdout
    assert json.loads(invoke("show", "traj_1", "--json", "--url", url).stdout) == fake.document("traj_1")


def test_a_search_is_shown_with_its_branches(fake: Fake, url: str, invoke: Invoke) -> None:
    fake.add(RUNS["search"])
    shown = invoke("show", "traj_1", "--url", url)
    assert shown.exit_code == 0, shown.output
    for line in ("Step 1 · abandoned", "Step 2 · abandoned", "Step 3 · after the question", "Step 4"):
        assert f"{line}\n" in shown.output
    assert "4 steps (2 abandoned)" in shown.output


def test_a_search_is_printed_as_it_goes_back(fake: Fake, url: str, invoke: Invoke) -> None:
    fake.add(RUNS["search"])
    tailed = invoke("tail", "traj_1", "--url", url)
    assert tailed.exit_code == 0, tailed.output
    before, note, after = tailed.output.partition("dead end: the planner gave up\n")
    assert note
    assert "Step 2" in before
    assert after.split("\n")[0].strip() == "back to the question, without steps 1, 2"
    assert "Step 3" in after


def test_a_replayed_search_shows_the_branch_it_stands_on(fake: Fake, url: str, invoke: Invoke) -> None:
    fake.add(RUNS["search"])
    replayed = invoke("replay", "traj_1", "--url", url)
    lines = [line.split() for line in replayed.output.splitlines()]
    assert lines[0] == ["event", "phase", "wants", "steps", "branch"]
    decided = [line[-3:] for line in lines if "planner.decided" in line]
    assert decided == [["caller:0", "1", "1"], ["1", "›", "2"], ["caller:2", "3", "3"], ["3", "›", "4"]]
    (back,) = [line for line in lines if "search.backtracked" in line]
    assert back[1:] == ["search.backtracked", "planning", "planner:2", "2"]


def test_show_of_nobodys_id(url: str, invoke: Invoke) -> None:
    result = invoke("show", "../tools", "--url", url)
    assert result.exit_code == 2
    assert "error:" in result.stderr
    result = invoke("show", "traj_0", "--url", url)
    assert (result.exit_code, "There is no such trajectory" in result.stderr) == (2, True)
