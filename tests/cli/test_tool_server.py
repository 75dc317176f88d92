"""`alpha-umi evaluate trajectories --tool-server`: ToolBench's questions, a real orchestrator, recorded answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.generated_suites import sums_file
from support.judges import ScriptedJudge
from support.orchestrator_process import orchestrator_process, settings_for
from support.scripted_roles import Reply, ScriptedRoles, call, decide, say
from support.serving_on_loopback import Serve, served, until
from support.toolbench_server import ToolBenchServer, queries_file
from typer.testing import Result

from evaluation.files.trajectory_run import read_trajectory_run

Invoke = Callable[..., Result]
KEY = "a-key-of-ours"


@pytest.fixture(autouse=True)
def toolbench_key(quiet: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALPHA_UMI_TOOLBENCH_KEY", KEY)


@pytest.fixture
def url(serve: Serve, tmp_path: Path) -> Iterator[str]:
    """An orchestrator whose roles look for sites and for keywords, and then answer."""
    address = serve(ScriptedRoles(planner=plan, caller=look_up, summarizer=lambda _: say("Pinterest.")).application())
    with orchestrator_process(settings_for(address, tmp_path)) as running:
        yield running.address


def plan(request: dict[str, Any]) -> Reply:
    observations = sum(turn["role"] == "observation" for turn in request["history"])
    return decide("I look it up.", "caller") if observations < 2 else decide("It is known.", "conclusion")


def look_up(request: dict[str, Any]) -> Reply:
    names = [tool["name"] for tool in request["tools"]]
    observations = sum(turn["role"] == "observation" for turn in request["history"])
    if "querykeywords_for_keyword_analysis" in names:
        name = ("popularsitesforquery_for_keyword_analysis", "querykeywords_for_keyword_analysis")[observations]
        return call(name, q="birthday party ideas")
    return call("get_channel_details_for_kick_com_api_kick_api", channel_name="gmhikaru")


def arguments(suite: Path, url: str, server: str | None, *more: str) -> list[str]:
    named = [] if server is None else ["--tool-server", server]
    output = str(suite.parent / "trajectories.jsonl")
    return ["evaluate", "trajectories", "--suite", str(suite), "--output", output, "--url", url, *named, *more]


def stderr_of(result: Result) -> str:
    return " ".join(result.stderr.split())


def test_questions_are_answered_with_recorded_answers(invoke: Invoke, folder: Path, serve: Serve, url: str) -> None:
    server = ToolBenchServer(KEY)
    suite = queries_file(folder)
    result = invoke(*arguments(suite, url, serve(server.application()), "--max-steps", "12"))
    assert result.exit_code == 0, result.stderr
    assert "calls of the tool server: answered 4" in stderr_of(result)
    run = read_trajectory_run(folder / "trajectories.jsonl")
    assert run.about.tool_server is not None
    assert (run.about.tool_server.strip, run.about.tool_server.max_characters) == ("truncate", 1024)
    (record,) = [each for each in run.records if each.recorded == "G1_instruction/1073"]
    seen = [step.observation.content for step in record.trajectory.steps if step.observation]
    assert seen[1] == '"<b><i>party</i></b>,<b><i>ideas</i></b>,<i>birthday</i>"'
    assert (record.trajectory.status, record.trajectory.answer) == ("completed", "Pinterest.")
    assert {info.category for info in server.calls} == {"Data"}
    assert KEY not in (folder / "trajectories.jsonl").read_text() + result.output + result.stderr


def test_what_was_answered_is_judged(invoke: Invoke, folder: Path, serve: Serve, url: str) -> None:
    suite, run = queries_file(folder), folder / "trajectories.jsonl"
    assert invoke(*arguments(suite, url, serve(ToolBenchServer(KEY).application()))).exit_code == 0

    def say_what_it_is(function: str, request: dict[str, Any]) -> dict[str, str]:
        keywords = "birthday party" in request["messages"][0]["content"]
        if function == "check_task_solvable":
            return {"task_status": "Solvable"}
        return {"answer_status": "Solved" if keywords else "Unsolved"}

    judge = ScriptedJudge(say_what_it_is)
    judged = invoke(
        "evaluate", "judge", str(run), "--judge-url", f"{serve(judge.application())}/v1", "--judge-model", "m",
        "--output", str(folder / "verdicts.jsonl"), "--procedure", "toolbench-pass", "--suite", str(suite), "--json",
    )  # fmt: skip
    figures = {name: figure["value"] for name, figure in json.loads(judged.stdout)["figures"].items()}
    assert figures == {"pass_rate": 0.5, "solvable_pass_rate": 0.5}


def test_answers_are_cut_and_stripped_by_the_options(invoke: Invoke, folder: Path, serve: Serve, url: str) -> None:
    server, suite = ToolBenchServer(KEY), queries_file(folder)
    more = ("--max-observation", "40", "--strip", "random", "--limit", "1")
    assert invoke(*arguments(suite, url, serve(server.application()), *more)).exit_code == 0
    (record,) = read_trajectory_run(folder / "trajectories.jsonl").records
    assert all(step.observation.content.endswith("...") for step in record.trajectory.steps if step.observation)
    assert {info.strip for info in server.calls} == {"random"}
    again = invoke(*arguments(suite, url, serve(server.application()), "--limit", "1"))
    assert again.exit_code == 2
    assert "its `tool_server` is" in stderr_of(again)


def test_the_key_can_be_in_a_file(invoke: Invoke, folder: Path, serve: Serve, url: str) -> None:
    (folder / "key").write_text("of-the-file\n")
    server = ToolBenchServer("of-the-file")
    more = ("--tool-key-file", str(folder / "key"), "--limit", "1")
    assert invoke(*arguments(queries_file(folder), url, serve(server.application()), *more)).exit_code == 0
    assert {info.toolbench_key for info in server.calls} == {"of-the-file"}


@pytest.mark.parametrize(("text", "message"), [("", "is empty"), ("a b", "the key is invalid"), ("ü", "has no key")])
def test_what_is_no_key(invoke: Invoke, folder: Path, text: str, message: str) -> None:
    (folder / "key").write_text(text, encoding="utf-8")
    more = ("--tool-key-file", str(folder / "key"))
    result = invoke(*arguments(queries_file(folder), "http://127.0.0.1:9", "http://127.0.0.1:9", *more))
    assert result.exit_code == 2
    assert message in stderr_of(result)


def test_refusals_before_the_first_request(
    invoke: Invoke, folder: Path, serve: Serve, url: str, free_port: int
) -> None:
    suite = queries_file(folder)
    away = invoke(*arguments(suite, url, f"http://127.0.0.1:{free_port}"))
    assert away.exit_code == 1
    assert f"error: the tool server at http://127.0.0.1:{free_port}/virtual is unavailable" in stderr_of(away)
    none = invoke(*arguments(suite, url, None))
    assert (none.exit_code, "needs a ToolBench tool server" in stderr_of(none)) == (2, True)
    other = invoke(*arguments(suite, url, f"{serve(ToolBenchServer().application())}/other"))
    assert (other.exit_code, "there is no tool server at" in stderr_of(other)) == (2, True)
    sums = invoke(*arguments(sums_file(folder, 2), url, f"http://127.0.0.1:{free_port}"))
    assert (sums.exit_code, "needs no tool server" in stderr_of(sums)) == (2, True)
    assert not (folder / "trajectories.jsonl").exists()


def test_a_wrong_key_ends_the_run(invoke: Invoke, folder: Path, serve: Serve, url: str) -> None:
    result = invoke(*arguments(queries_file(folder), url, serve(ToolBenchServer("right").application())))
    assert result.exit_code == 2
    assert "refuses the key" in stderr_of(result)
    assert KEY not in result.output + result.stderr
    assert read_trajectory_run(folder / "trajectories.jsonl").records == ()


def test_a_server_that_goes_away_leaves_a_file_that_can_go_on(folder: Path, url: str) -> None:
    # The third call is the first of the second trajectory.
    suite, output, server = queries_file(folder), folder / "trajectories.jsonl", ToolBenchServer(KEY, hang_after=2)
    more = ("--concurrency", "1", "--wait", "0.3")
    with contextlib.ExitStack() as there:
        address = there.enter_context(served(server.application()))
        command = [sys.executable, "-m", "cli.main", *arguments(suite, url, address, *more)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            asyncio.run(until(lambda: len(server.calls) >= 3, seconds=60))
            there.close()
            _, message = process.communicate(timeout=60)
    assert process.returncode == 1, message
    assert "the tool server at" in message
    assert "run the same command again when it is available" in message
    assert not any("tool-server-away" in line for line in output.read_text().splitlines())
    assert len(read_trajectory_run(output).records) == 1
    server.hang_after = None
    with served(server.application()) as address:
        command = [sys.executable, "-m", "cli.main", *arguments(suite, url, address, *more)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert len(read_trajectory_run(output).records) == 2


def test_a_trajectory_runs_again_after_the_tool_server_was_unavailable(
    invoke: Invoke, folder: Path, serve: Serve, url: str
) -> None:
    # The first probe is before anything is asked, the second after a call that was not answered.
    server = ToolBenchServer(KEY, away_probes=2)
    more = ("--limit", "1", "--tool-timeout", "2", "--json")
    result = invoke(*arguments(queries_file(folder), url, serve(server.application()), *more))
    assert result.exit_code == 0, result.stderr
    assert "tool-server-away 2" in stderr_of(result)
    (record,) = read_trajectory_run(folder / "trajectories.jsonl").records
    assert not any(step.observation.is_error for step in record.trajectory.steps if step.observation)
    assert json.loads(result.stdout)["figures"]["completed"]["value"] == 1
