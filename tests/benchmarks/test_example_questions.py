"""The example questions sent to a real orchestrator with the real tools; only the language models are scripted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from support.example_roles import ExampleRoles
from support.orchestrator_process import orchestrator_process, settings_for
from support.scripted_roles import ScriptedRoles
from support.serving_on_loopback import Serve, until

from benchmarks.example_questions import (
    Target,
    ToolsMissing,
    example_tool_names,
    read_questions,
    run_questions,
    score,
)
from benchmarks.processes import ROOT
from evaluation.files.trajectory_run import TrajectoryRun, TrajectoryRunRecord, read_trajectory_run
from examples.tool_api.app import create_app
from recordings.errors import NotTheFormat

Start = Callable[[ScriptedRoles], str]
QUESTIONS = read_questions()


@pytest.fixture
def start(serve: Serve, tmp_path: Path) -> Iterator[Start]:
    """Start an orchestrator for roles, with the example tools; its address."""
    with contextlib.ExitStack() as stack:

        def started(roles: ScriptedRoles) -> str:
            address, tools = serve(roles.application()), serve(create_app())
            url = stack.enter_context(orchestrator_process(settings_for(address, tmp_path))).address
            source = {"name": "demo", "kind": "openapi", "url": f"{tools}/openapi.json", "effect": "read"}
            httpx.post(f"{url}/v1/tool-sources", json=source, timeout=120).raise_for_status()
            return url

        yield started


def command(url: str, folder: Path, *more: str) -> list[str]:
    options = ["--url", url, "--output", str(folder / "examples.jsonl"), "--state-dir", str(folder / "state")]
    return [sys.executable, "-m", "benchmarks.example_questions", *options, *more]


def run(url: str, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "400"}
    return subprocess.run(command(url, folder, *more), capture_output=True, text=True, timeout=250, env=environment)


def test_answers_are_scored_by_their_facts(start: Start, tmp_path: Path) -> None:
    wrong = {"holidays-portugal": "In 2013 there\nwere 14 holidays.", "median": "It is 7.25."}
    roles = ExampleRoles(wrong, frozenset({"moon"}))
    done = run(start(roles.roles()), tmp_path, "--concurrency", "4", "--max-steps", "5")
    assert done.returncode == 0, done.stderr
    title = "17 of 20 answers contain every fact (95 % interval 64 to 95 %)"
    assert " ".join(done.stdout.split()).startswith(title)
    # All tools were on offer, and the file has complete trajectories.
    stored = read_trajectory_run(tmp_path / "examples.jsonl")
    assert {tuple(record.trajectory.tools) for record in stored.records} == {tuple(example_tool_names())}
    assert stored.about.max_steps == 5
    rows = {str(row["question"]): row for row in score(QUESTIONS, stored)}
    miles = rows["How many kilometres are 26.2 miles?"]
    # Four role calls of 10 and 5 tokens.
    assert [miles[name] for name in ("correct", "status", "steps", "tokens")] == ["yes", "completed", 2, "40 + 20"]
    moon = rows["What phase is the moon in on 24 December 2026?"]
    assert [moon[name] for name in ("correct", "status", "steps", "missing")] == ["no", "failed", 0, "full moon"]
    holidays = rows["How many public holidays does Portugal have in 2027?"]
    assert (holidays["missing"], holidays["answer"]) == ("13", "In 2013 there were 14 holidays.")


def test_other_questions_and_strategies_are_run(start: Start, tmp_path: Path) -> None:
    further = ROOT / "examples" / "further_instructions.jsonl"
    lines = further.read_text("utf-8").splitlines()[:2]
    questions = tmp_path / "questions.jsonl"
    questions.write_text("\n".join(lines), "utf-8")
    roles = ExampleRoles(entries=[json.loads(line) for line in lines])
    done = run(start(roles.roles()), tmp_path, "--questions", str(questions), "--strategy", "dfsdt")
    assert (done.returncode, done.stdout.strip().startswith("2 of 2 ")) == (0, True), done.stderr
    assert read_trajectory_run(tmp_path / "examples.jsonl").about.strategy == "dfsdt"


def test_a_killed_run_is_continued(start: Start, tmp_path: Path) -> None:
    url, file = start(ExampleRoles().roles()), tmp_path / "examples.jsonl"
    with subprocess.Popen(command(url, tmp_path), stderr=subprocess.DEVNULL) as killed:
        asyncio.run(until(lambda: file.exists() and file.read_bytes().count(b'"kind":"trajectory"') >= 3, seconds=200))
        killed.send_signal(signal.SIGKILL)
        assert killed.wait(10) == -signal.SIGKILL
    before = read_trajectory_run(file).records
    file.write_bytes(file.read_bytes()[:-100])
    done = run(url, tmp_path)
    assert (done.returncode, done.stdout.strip().startswith("20 of 20 ")) == (0, True), done.stderr
    assert read_trajectory_run(file).records[: len(before) - 1] == before[:-1]
    # Another number of steps is another run.
    other = run(url, tmp_path, "--max-steps", "7")
    assert (other.returncode, "its `max_steps` is 6, and now it would be 7" in other.stderr) == (1, True)


def test_an_interrupted_run_ends_with_130(start: Start, tmp_path: Path) -> None:
    url, file = start(ExampleRoles().roles()), tmp_path / "examples.jsonl"
    with subprocess.Popen(command(url, tmp_path), stderr=subprocess.PIPE, text=True) as ended:
        asyncio.run(until(lambda: file.exists() and b'"kind":"trajectory"' in file.read_bytes(), seconds=200))
        ended.send_signal(signal.SIGINT)
        _, errors = ended.communicate(timeout=120)
    assert (ended.returncode, "interrupted; the same command continues the run" in errors) == (130, True)


async def test_a_system_without_the_tools_is_refused(serve: Serve, tmp_path: Path) -> None:
    address = serve(ExampleRoles().roles().application())
    missing = pytest.raises(ToolsMissing, match="does not offer the example tools public_holidays, ")
    with orchestrator_process(settings_for(address, tmp_path)) as started, missing:
        await run_questions(Target(started.address), QUESTIONS, tmp_path / "file.jsonl", max_steps=6)
    assert not (tmp_path / "file.jsonl").exists()


async def test_a_file_of_other_questions_is_refused(start: Start, tmp_path: Path) -> None:
    url, path = start(ExampleRoles().roles()), tmp_path / "file.jsonl"
    await run_questions(Target(url), QUESTIONS[:1], path, max_steps=6)
    path.write_text(path.read_text().replace("Portugal have in 2027", "Portugal have in 2028"))
    with pytest.raises(NotTheFormat, match=r"another instruction for 'holidays-portugal': .* in 2028"):
        score(QUESTIONS, read_trajectory_run(path))
    with pytest.raises(NotTheFormat, match="another instruction"):
        await run_questions(Target(url), QUESTIONS[:1], path, max_steps=6)


def test_questions_that_were_not_run_are_not_correct() -> None:
    started = TrajectoryRun(TrajectoryRunRecord(suite="examples", trajectories=20, max_steps=6), ())
    rows = score(QUESTIONS, started)
    assert {(row["correct"], row["status"]) for row in rows} == {("no", "not run")}
    assert len(rows) == 20
