"""`alpha-umi evaluate generate`: the real command against role applications whose language models are scripted."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from rich.console import Console
from support.generated_suites import calculating_roles, sums_file
from support.role_apps import application, scripted
from support.serving_on_loopback import Serve, until
from support.system import Roles
from typer.testing import Result

from alpha_umi.serving.manifest import CanaryText, ModelManifest
from alpha_umi.serving.scripted import Rule
from cli.commands.generate import role_access
from cli.generation_view import progress_bar
from cli.local.state import ProcessIdentity, RunRecord, ServiceRecord, StateFolder
from evaluation.files.step_run import read_run
from recordings.contamination import instruction_digest
from services.planner import create_router as planner_router

Invoke = Callable[..., Result]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No service that this machine knows of otherwise; those that are served here do not log to our output."""
    for role in ("PLANNER", "CALLER", "SUMMARIZER", "BACKBONE"):
        monkeypatch.delenv(f"ALPHA_UMI_{role}_URL", raising=False)
    monkeypatch.delenv("ALPHA_UMI_ROLE_TOKEN", raising=False)
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a suite of twenty sums, forty steps."""
    monkeypatch.setenv("ALPHA_UMI_DATA", str(tmp_path))
    return sums_file(tmp_path, 20)


def arguments(suite: Path, roles: Roles, *more: str) -> list[str]:
    addresses = ("--planner-url", roles.planner, "--caller-url", roles.caller, "--summarizer-url", roles.summarizer)
    output = str(suite.parent / "run.jsonl")
    return ["evaluate", "generate", "--suite", str(suite), "--output", output, *addresses, *more]


def stderr_of(result: Result) -> str:
    return " ".join(result.stderr.split())


def test_predictions_are_generated_and_scored(invoke: Invoke, suite: Path, serve: Serve) -> None:
    roles = calculating_roles(serve)
    result = invoke(*arguments(suite, roles, "--limit", "7", "--unconstrained", "--concurrency", "3"))
    assert (result.exit_code, result.stdout) == (0, f"{suite.parent}/run.jsonl: 7 predictions\n")
    assert "planner: scripted; the manifest does not say" in stderr_of(result)
    run = read_run(suite.parent / "run.jsonl")
    assert (run.about.constrained, len(run.predictions)) == (False, 7)
    scored = invoke("evaluate", "score", str(suite.parent / "run.jsonl"))
    assert scored.stdout.startswith("sums: 7 steps of 4 trajectories\n")
    again = invoke(*arguments(suite, roles, "--limit", "7", "--unconstrained"))
    assert again.stdout == f"{suite.parent}/run.jsonl: 7 predictions, 7 of them from before\n"
    other = invoke(*arguments(suite, roles, "--limit", "7"))
    assert (other.exit_code, other.stdout) == (2, "")
    assert "its `constrained` is False, and now it would be True → name another file" in stderr_of(other)


def test_a_killed_run_is_resumed(suite: Path, serve: Serve, tmp_path: Path) -> None:
    roles = calculating_roles(serve, delay_s=0.02)
    command = [sys.executable, "-m", "cli.main", *arguments(suite, roles, "--concurrency", "2")]
    output = tmp_path / "run.jsonl"

    def predictions() -> int:
        return output.read_bytes().count(b'{"kind":"prediction"') if output.exists() else 0

    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as killed:
        asyncio.run(until(lambda: predictions() >= 5, seconds=60))
        killed.send_signal(signal.SIGKILL)
        assert killed.wait(10) == -signal.SIGKILL
    left = output.read_bytes()
    there = read_run(output)
    assert 5 <= len(there.predictions) < 40
    # As if the machine had taken a part of the last line only.
    output.write_bytes(left[:-100])
    prompts = len(roles.engines["planner"].prompts)
    for rule in roles.engines["planner"].rules:
        rule.delay_s = 0
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    complete = len(there.predictions) - 1
    assert (done.returncode, done.stdout) == (0, f"{output}: 40 predictions, {complete} of them from before\n")
    assert "━" not in done.stderr
    run = read_run(output)
    assert {prediction.id for prediction in run.predictions} == {case.id for case in run.cases}
    assert run.predictions[:complete] == there.predictions[:complete]
    # What was under way when it was killed was asked for twice, nothing else.
    assert len(roles.engines["planner"].prompts) - prompts == 40 - complete


def test_an_interrupted_run_goes_on(suite: Path, serve: Serve, tmp_path: Path) -> None:
    roles = calculating_roles(serve, delay_s=0.02)
    command = [sys.executable, "-m", "cli.main", *arguments(suite, roles, "--concurrency", "2")]
    output = tmp_path / "run.jsonl"
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as interrupted:
        begun = b'{"kind":"prediction"'
        asyncio.run(until(lambda: output.exists() and begun in output.read_bytes(), seconds=60))
        interrupted.send_signal(signal.SIGINT)
        _, message = interrupted.communicate(timeout=10)
    assert (interrupted.returncode, message.splitlines()[-1]) == (130, "interrupted")
    assert output.read_bytes().endswith(b"\n")
    assert 0 < len(read_run(output).predictions) < 40


def test_a_service_that_goes_away_leaves_a_file_that_can_go_on(invoke: Invoke, suite: Path, serve: Serve) -> None:
    roles = calculating_roles(serve)
    # It dies with the first answer that is asked for.
    roles.engines["summarizer"].dead = True
    ended = invoke(*arguments(suite, roles, "--wait", "0.2", "--concurrency", "1"))
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert "run.jsonl has 1 of 40 predictions → run the same command again" in stderr_of(ended)
    roles.summarizer = calculating_roles(serve).summarizer
    done = invoke(*arguments(suite, roles))
    assert (done.exit_code, done.stdout) == (0, f"{suite.parent}/run.jsonl: 40 predictions, 1 of them from before\n")


def test_errors_are_counted_aloud(invoke: Invoke, suite: Path, serve: Serve) -> None:
    roles = calculating_roles(serve)
    roles.engines["caller"].context = 10
    result = invoke(*arguments(suite, roles, "--limit", "4"))
    assert result.exit_code == 0
    assert "without an output of the caller: context-exceeded: 2" in result.stdout


def test_a_model_that_was_trained_on_the_suite_is_named(invoke: Invoke, suite: Path, serve: Serve) -> None:
    manifest = ModelManifest(
        name="p", role="planner", template="toolbench", context=4_096, base="b", source="s",
        canary=CanaryText(prompt="?", expected="!"), trained_on=(instruction_digest("What is 3 plus 3?"),),
    )  # fmt: skip
    roles = calculating_roles(serve)
    engine = scripted(Rule(["I stop. Next: give up."]))
    roles.planner = serve(application("planner", planner_router, engine, manifest=manifest))
    result = invoke(*arguments(suite, roles, "--limit", "2"))
    assert "planner: scripted; trained on 1 of the suite's 20 instructions" in stderr_of(result)


def test_exclusions_are_printed_and_recorded(invoke: Invoke, suite: Path, serve: Serve) -> None:
    with (suite.parent / "sums.jsonl").open("a") as data:
        data.write(json.dumps({"question": "What is it?", "answer": "Nobody knows."}) + "\n")
    result = invoke(*arguments(suite, calculating_roles(serve), "--limit", "2"))
    excluded = "excluded from the suite, because it cannot be measured: a solution without a final number (1)"
    assert (result.exit_code, excluded in stderr_of(result)) == (0, True)
    assert read_run(suite.parent / "run.jsonl").about.excluded == {"a solution without a final number": 1}
    assert excluded in invoke("evaluate", "score", str(suite.parent / "run.jsonl")).stdout


def test_a_file_that_does_not_say_what_is_left_out_goes_on(invoke: Invoke, suite: Path, serve: Serve) -> None:
    roles, file = calculating_roles(serve), suite.parent / "run.jsonl"
    invoke(*arguments(suite, roles, "--limit", "2"))
    earlier = file.read_text().replace(',"excluded":{}', "", 1)
    assert earlier != file.read_text()
    file.write_text(earlier)
    again = invoke(*arguments(suite, roles, "--limit", "2"))
    assert again.stdout == f"{file}: 2 predictions, 2 of them from before\n"
    assert file.read_text() == earlier


def test_services_that_are_not_there(invoke: Invoke, suite: Path, free_port: int) -> None:
    nowhere = f"http://127.0.0.1:{free_port}"
    result = invoke(*arguments(suite, Roles(nowhere, nowhere, nowhere, {})))
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"the planner at {nowhere} is unavailable" in stderr_of(result)
    assert not (suite.parent / "run.jsonl").exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (("--suite", "nothing-like-it"), "there is no suite 'nothing-like-it'"),
        (("--planner-url", "ftp://x"), "--planner-url: 'ftp://x' is not an address"),
        (("--planner-url", ","), "--planner-url: ',' is not an address"),
        (("--caller-url", "http://x:port"), "--caller-url: Invalid port"),
        (("--output", "/no/folder/run.jsonl"), "cannot be written: No such file"),
    ],
)
def test_errors_name_the_cause(
    invoke: Invoke, suite: Path, serve: Serve, changed: tuple[str, str], message: str
) -> None:
    result = invoke(*arguments(suite, calculating_roles(serve), *changed))
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in stderr_of(result)
    assert "Traceback" not in result.stderr


def test_services_that_are_up_get_their_token(state: StateFolder) -> None:
    state.create()
    process = ProcessIdentity(pid=os.getpid(), started=0)
    record = ServiceRecord(name="planner", url="http://127.0.0.1:9", ready_url="x", log=Path("x"), process=process)
    state.write_run(RunRecord(role_token="of-this-run", services=(record,)))
    try:
        access = role_access({"planner": None, "caller": None}, None, state.path)
        named = role_access({"planner": None, "caller": "http://elsewhere, http://else"}, None, state.path)
        with_token = role_access({"planner": None}, "mine", state.path)
    finally:
        state.delete_run()
    assert access.addresses == {"planner": ("http://127.0.0.1:9",), "caller": ("http://127.0.0.1:8002",)}
    assert (access.token, with_token.token) == ("of-this-run", "mine")
    assert "of-this-run" not in repr(access)
    assert (named.addresses["caller"], named.token) == (("http://elsewhere", "http://else"), None)


def test_a_terminal_shows_a_bar() -> None:
    console = Console(force_terminal=True, width=80, record=True)
    with progress_bar(console, 2) as advance:
        advance()
        advance()
    assert "2/2" in console.export_text()
