"""`alpha-umi evaluate trajectories`: the real command, a real orchestrator; only language models are scripted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.generated_suites import calculating_roles, sums_file
from support.orchestrator_process import orchestrator_process, settings_for
from support.role_apps import application, scripted
from support.scripted_roles import ScriptedRoles, hang, in_turn
from support.serving_on_loopback import Serve, until
from support.system import Roles
from support.trajectory_suites import computing, pricing, programming, searching, shop_file
from typer.testing import Result

from alpha_umi.serving.manifest import CanaryText, ModelManifest
from alpha_umi.serving.scripted import Rule
from evaluation.files.trajectory_run import read_trajectory_run
from evaluation.replay.servers import create_calculator_server
from recordings.contamination import instruction_digest
from services.caller import create_router as caller_router
from services.planner import create_router as planner_router
from services.summarizer import create_router as summarizer_router

pytestmark = pytest.mark.usefixtures("quiet")

UNKNOWN = "the models are not known, so whether they were trained on this is not checked: "
Invoke = Callable[..., Result]
Start = Callable[..., str]


@pytest.fixture
def start(serve: Serve, tmp_path: Path) -> Iterator[Start]:
    """Start an orchestrator for roles; its address."""
    with contextlib.ExitStack() as stack:

        def started(roles: Roles | ScriptedRoles, **more: Any) -> str:
            settings = settings_of(serve, roles, tmp_path) | more
            return stack.enter_context(orchestrator_process(settings)).address

        yield started


def settings_of(serve: Serve, roles: Roles | ScriptedRoles, folder: Path) -> dict[str, Any]:
    if isinstance(roles, ScriptedRoles):
        return settings_for(serve(roles.application()), folder)
    addresses = {f"{role}_url": getattr(roles, role) for role in ("planner", "caller", "summarizer")}
    return settings_for("", folder) | addresses


def arguments(suite: Path, url: str, *more: str) -> list[str]:
    output = str(suite.parent / "trajectories.jsonl")
    return ["evaluate", "trajectories", "--suite", str(suite), "--output", output, "--url", url, *more]


def stderr_of(result: Result) -> str:
    return " ".join(result.stderr.split())


def sources(url: str) -> list[str]:
    return [source["name"] for source in httpx.get(f"{url}/v1/tool-sources").json()["data"]]


def test_sums_are_computed_from_end_to_end(invoke: Invoke, folder: Path, start: Start) -> None:
    suite, url = sums_file(folder, 4), start(computing())
    result = invoke(*arguments(suite, url, "--max-steps", "3", "--report", str(folder / "report.json")))
    assert result.exit_code == 0
    assert UNKNOWN in stderr_of(result)
    lines = {line.split("  ")[0]: line.split() for line in result.stdout.splitlines()}
    assert "sums: 4 trajectories, strategy chain" in lines
    assert "ended: completed 4" in lines
    assert lines["right answer"][3] == "0.7500"
    assert result.stdout.count("planner") == 4
    assert not any(line.startswith("backbone") for line in lines)
    report = json.loads((folder / "report.json").read_text())
    assert (report["figures"]["success"]["value"], report["figures"]["calls"]["value"]) == (0.75, 1)
    assert (report["run"]["max_steps"], report["run"]["models"]) == (3, {})
    observed = [
        step.observation
        for record in read_trajectory_run(folder / "trajectories.jsonl").records
        for step in record.trajectory.steps
    ]
    assert sorted(each.content for each in observed if each) == [f'{{"result":"{2 * n}"}}' for n in range(1, 5)]
    assert sources(url) == []
    again = invoke("evaluate", "score", str(folder / "trajectories.jsonl"), "--format", "trajectories")
    assert again.stdout == result.stdout
    score_again = ("evaluate", "score", str(folder / "trajectories.jsonl"), "--format", "trajectories", "--json")
    assert json.loads(invoke(*score_again).stdout) == report
    other = json.loads(invoke(*score_again, "--seed", "5", "--resamples", "101").stdout)
    assert (other["seed"], other["resamples"], report["seed"], report["resamples"]) == (5, 101, 0, 2_000)


def test_what_was_served_is_exported_and_read_as_traffic(invoke: Invoke, folder: Path, start: Start) -> None:
    suite, url = sums_file(folder, 4), start(computing())
    assert invoke(*arguments(suite, url)).exit_code == 0
    served = folder / "served.jsonl"
    exported = invoke("export", "--url", url, "--status", "completed", "--output", str(served))
    assert (exported.exit_code, exported.stderr) == (0, "4 trajectories\n")
    newest = json.loads(served.read_text().splitlines()[0])
    assert newest == httpx.get(f"{url}/v1/trajectories/{newest['id']}").json()
    one_window = ("--window", "9999w")  # A day's would be two if this ran over midnight.
    read = invoke("evaluate", "drift", str(served), "--reference", str(served), *one_window, "--json")
    (window,) = json.loads(read.stdout)["windows"]
    figures = {name: (figure["value"], figure["n"]) for name, figure in window["figures"].items()}
    assert (window["trajectories"], figures["planner.gave_up"]) == (4, (0, 4))
    assert (figures["planner.repaired"], figures["caller.repaired"], figures["summarizer.failed"]) == (
        (0, 8), (0, 4), (0, 4),
    )  # fmt: skip


def test_sums_are_computed_with_python(invoke: Invoke, folder: Path, start: Start) -> None:
    programs = ("1 +", "open('/etc/passwd')", "a = 1\nprint(a + a)")
    suite, url = sums_file(folder, 1, "gsm8k-python"), start(programming(*programs, answer="It is 2."))
    result = invoke(*arguments(suite, url, "--json"))
    assert result.exit_code == 0, result.stderr
    figures = {name: figure["value"] for name, figure in json.loads(result.stdout)["figures"].items()}
    assert (figures["success"], figures["calls"], figures["tool_errors"]) == (1, 3, 2)
    (record,) = read_trajectory_run(folder / "trajectories.jsonl").records
    assert [step.observation.content for step in record.trajectory.steps if step.observation] == [
        "HTTP 422 from the tool: SyntaxError: Expected an expression (line 1)",
        "HTTP 422 from the tool: PermissionError: Permission denied: '/etc/passwd' (line 1)",
        "2",
    ]
    assert sources(url) == []


def test_formulas_are_compared_as_such(invoke: Invoke, folder: Path, start: Start) -> None:
    problem = {"problem": "Half of one?", "solution": "It is $\\boxed{\\frac{1}{2}}$.", "level": "1", "type": "t"}
    (folder / "halves" / "algebra").mkdir(parents=True)
    (folder / "halves" / "algebra" / "1.json").write_text(json.dumps(problem))
    (folder / "halves.yaml").write_text(
        "{name: halves, title: t, loader: math, data: halves, licence: none, source: these tests}"
    )
    url = start(programming("1 / 2", answer="So it is $\\tfrac12$."))
    result = invoke(*arguments(folder / "halves.yaml", url, "--json"))
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert (report["figures"]["success"]["value"], report["run"]["compared"]) == (1, "formula")
    steps = invoke("evaluate", "generate", "--suite", str(folder / "halves.yaml"), "--output", str(folder / "s.jsonl"))
    assert steps.exit_code == 2


def test_golden_calls_are_made_with_answers_that_are_made_up(invoke: Invoke, folder: Path, start: Start) -> None:
    api = {
        "Name": "Shop",
        "Function_Description": {
            "price_of": 'The price.\nParameters: {"item": "Required. string. Which."}\n'
            "Output: Ok.\n - Format: application/json\n - Structure: Object{item, price}"
        },
        "Instructions": ["What is a lamp?", "What is a moon?"],
        "Golden_Answers": [
            [{"Action": "price_of", "Action_Input": f'{{"item": "{item}"}}'}] for item in ("lamp", "moon")
        ],
    }
    (folder / "golden.json").write_text(json.dumps([api]))
    suite = folder / "golden.yaml"
    suite.write_text(
        "{name: g, title: t, loader: toolalpaca-golden, data: golden.json, licence: l, source: these tests}"
    )
    result = invoke(*arguments(suite, start(pricing("lamp")), "--json"))
    assert result.exit_code == 0
    assert json.loads(result.stdout)["figures"]["tool_errors"]["value"] == 0
    seen = [
        record.trajectory.steps[0].observation for record in read_trajectory_run(folder / "trajectories.jsonl").records
    ]
    assert [each.content for each in seen if each] == ['{"item":"lamp","price":"price-1"}'] * 2


def test_a_recorded_call_is_answered_and_another_is_counted(invoke: Invoke, folder: Path, start: Start) -> None:
    suite, url = shop_file(folder, "lamp", "desk"), start(pricing("lamp", "moon", "lamp"))
    result = invoke(*arguments(suite, url, "--json"))
    assert result.exit_code == 0
    assert UNKNOWN in stderr_of(result)
    figures = {name: figure["value"] for name, figure in json.loads(result.stdout)["figures"].items()}
    assert {name: figures[name] for name in ("completed", "success", "calls", "repeated_calls", "tool_errors")} == {
        "completed": 1, "success": None, "calls": 3, "repeated_calls": 1, "tool_errors": 1,
    }  # fmt: skip
    assert figures["not_recorded"] == 1
    shown = invoke("evaluate", "score", str(folder / "trajectories.jsonl"), "--format", "trajectories").stdout
    assert "completed" in shown
    assert "success" not in shown
    assert "right answer" not in shown
    (first, *_) = read_trajectory_run(folder / "trajectories.jsonl").records
    seen = [step.observation.content for step in first.trajectory.steps if step.observation]
    assert seen[0] == seen[2] == "lamp: 40"
    assert "urn:alpha-umi:problem:call-not-recorded" in seen[1]


def test_a_chain_beside_a_search_with_what_that_costs(invoke: Invoke, folder: Path, start: Start) -> None:
    suite, url = shop_file(folder, "lamp"), start(searching("moon", "lamp"))
    chain, search = str(folder / "chain.jsonl"), str(folder / "search.jsonl")
    given = ("--url", url, "--max-tokens", "5000", "--max-repeats", "64", "--json")
    results = [
        invoke("evaluate", "trajectories", "--suite", str(suite), "--output", output, "--strategy", strategy, *given)
        for output, strategy in ((chain, "chain"), (search, "dfsdt"))
    ]
    assert [result.exit_code for result in results] == [0, 0], stderr_of(results[1])
    one, other = (json.loads(result.stdout) for result in results)
    assert (one["ends"], other["ends"]) == ({"gave_up: gave_up": 1}, {"completed": 1})
    assert "branches" not in one["figures"]
    values = {name: figure["value"] for name, figure in other["figures"].items()}
    assert (values["steps"], values["calls"], values["not_recorded"]) == (4, 2, 1)
    # Of four decisions, two calls and an answer at 15 tokens, the branch that was left has taken two and one.
    assert (values["branches"], values["abandoned_steps"], values["abandoned_tokens"]) == (2, 2, 45)
    assert values["prompt_tokens"] + values["completion_tokens"] == 105
    run = other["run"]
    assert (run["strategy"], run["max_tokens"], run["max_repeats"], run["constrained"]) == ("dfsdt", 5_000, 64, True)
    shown = invoke("evaluate", "score", search, "--format", "trajectories")
    assert "abandoned tokens" in shown.stdout
    compared = invoke("evaluate", "compare", chain, search, "--format", "trajectories")
    assert compared.exit_code == 0, compared.stderr
    assert "prompt_tokens" in compared.stdout
    taken_up = invoke("evaluate", "trajectories", "--suite", str(suite), "--output", search, "--url", url)
    assert taken_up.exit_code == 2
    assert "is another run: its `max_tokens` is 5000" in stderr_of(taken_up)


def test_models_are_named_where_the_role_services_answer(
    invoke: Invoke, folder: Path, serve: Serve, start: Start
) -> None:
    result = invoke(*arguments(sums_file(folder, 3), start(calculating_roles(serve)), "--limit", "2", "--json"))
    assert "planner: scripted; the manifest does not say" in stderr_of(result)
    run = json.loads(result.stdout)["run"]
    assert (set(run["models"]), run["trajectories"]) == ({"planner", "caller", "summarizer"}, 2)
    assert run["models"]["caller"]["trained_on_suite"]["verdict"] == "unknown"


RIGHT = "right-3d90c7f15be8a2460b7d"


@pytest.mark.parametrize(("token", "named"), [(RIGHT, True), ("wrong", False), (None, False)])
def test_the_role_token_is_sent_to_the_role_services(
    invoke: Invoke, folder: Path, serve: Serve, start: Start, token: str | None, named: bool
) -> None:
    manifest = ModelManifest(
        name="p", role="planner", template="toolbench", context=4_096, base="b", source="s",
        canary=CanaryText(prompt="?", expected="!"), trained_on=(instruction_digest("What is 1 plus 1?"),),
    )  # fmt: skip
    stopping = scripted(Rule(["I stop. Next: give up."]))
    address = serve(application("planner", planner_router, stopping, manifest=manifest, keys=[RIGHT]))
    others = {
        role: serve(application(role, router, scripted(), keys=[RIGHT]))
        for role, router in (("caller", caller_router), ("summarizer", summarizer_router))
    }
    url = start(Roles(address, others["caller"], others["summarizer"], {}), role_token=RIGHT)
    suite, more = sums_file(folder, 2), () if token is None else ("--role-token", token)
    result = invoke(*arguments(suite, url, *more))
    assert result.exit_code == 0
    warning = "warning: the planner's model was trained on 1 of the suite's 2 instructions"
    if named:
        assert "planner: scripted; trained on 1 of the suite's 2 instructions" in stderr_of(result)
        assert warning in result.stdout
        assert (
            warning
            in invoke("evaluate", "score", str(folder / "trajectories.jsonl"), "--format", "trajectories").stdout
        )
    else:
        assert f"{UNKNOWN}the planner at {address} does not accept the token (set ALPHA_UMI_ROLE_TOKEN)" in stderr_of(
            result
        )
        assert warning not in result.stdout


def test_exclusions_are_printed_and_recorded(invoke: Invoke, folder: Path, start: Start) -> None:
    suite, url = sums_file(folder, 2), start(computing())
    with (folder / "sums.jsonl").open("a") as data:
        data.write(json.dumps({"question": "What is it?", "answer": "Nobody knows."}) + "\n")
    result = invoke(*arguments(suite, url))
    excluded = "excluded from the suite, because it cannot be measured: a solution without a final number (1)"
    assert excluded in stderr_of(result)
    assert excluded in result.stdout
    about = read_trajectory_run(folder / "trajectories.jsonl").about
    assert about.excluded == {"a solution without a final number": 1}


def test_a_killed_run_is_resumed(folder: Path, start: Start) -> None:
    suite, url, output = sums_file(folder, 12), start(computing()), folder / "trajectories.jsonl"
    command = [sys.executable, "-m", "cli.main", *arguments(suite, url, "--concurrency", "1")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as killed:
        asyncio.run(
            until(lambda: output.exists() and output.read_bytes().count(b'"kind":"trajectory"') >= 2, seconds=60)
        )
        killed.send_signal(signal.SIGKILL)
        assert killed.wait(10) == -signal.SIGKILL
    assert sources(url) == ["evaluation-calculator"]
    there = read_trajectory_run(output)
    output.write_bytes(output.read_bytes()[:-100])
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert done.stderr.startswith(UNKNOWN)
    run = read_trajectory_run(output)
    assert run.records[: len(there.records) - 1] == there.records[:-1]
    assert len({record.recorded for record in run.records}) == 12
    assert not any(measured.tool_errors for measured in run.measured())
    assert sources(url) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_takes_its_tools_away(folder: Path, start: Start, number: signal.Signals) -> None:
    suite, url, output = sums_file(folder, 60), start(computing()), folder / "trajectories.jsonl"
    command = [sys.executable, "-m", "cli.main", *arguments(suite, url, "--concurrency", "1")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as interrupted:
        asyncio.run(until(lambda: output.exists() and b'"kind":"trajectory"' in output.read_bytes(), seconds=60))
        interrupted.send_signal(number)
        _, message = interrupted.communicate(timeout=20)
    assert (interrupted.returncode, message.splitlines()[-1]) == (130, "interrupted")
    assert 0 < len(read_trajectory_run(output).records) < 60
    assert sources(url) == []
    assert httpx.get(f"{url}/v1/trajectories", params={"status": "running"}).json()["data"] == []


def test_what_a_killed_run_left_is_cancelled(folder: Path, start: Start) -> None:
    roles = computing()
    summarizer, roles.summarizer = roles.summarizer, in_turn(hang())
    suite, url = sums_file(folder, 3), start(roles)
    command = [sys.executable, "-m", "cli.main", *arguments(suite, url)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as killed:
        asyncio.run(until(lambda: len(roles.bodies_of("summarizer")) == 3, seconds=60))
        killed.kill()
    roles.summarizer = summarizer
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert done.stderr.startswith(UNKNOWN)
    ends = [each["status"] for each in httpx.get(f"{url}/v1/trajectories").json()["data"]]
    assert ends == ["completed"] * 3 + ["cancelled"] * 3


def test_an_orchestrator_that_stays_away_leaves_a_file_that_can_go_on(
    invoke: Invoke, folder: Path, serve: Serve, free_port: int
) -> None:
    suite, output = sums_file(folder, 40), folder / "trajectories.jsonl"
    settings = settings_of(serve, computing(), folder) | {"port": free_port}
    more = ("--wait", "0.5", "--concurrency", "2")
    command = [sys.executable, "-m", "cli.main", *arguments(suite, f"http://127.0.0.1:{free_port}", *more)]
    with orchestrator_process(settings) as gone, subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as ended:
        asyncio.run(
            until(lambda: output.exists() and output.read_bytes().count(b'"kind":"trajectory"') >= 3, seconds=60)
        )
        gone.process.kill()
        _, message = ended.communicate(timeout=30)
    assert ended.returncode == 1
    there = read_trajectory_run(output)
    scored = invoke("evaluate", "score", str(output), "--format", "trajectories").stdout
    assert f"sums: {len(there.records)} trajectories" in scored
    assert f"not run yet, counted as neither completed nor right: {40 - len(there.records)}\n" in scored
    assert f"trajectories.jsonl has {len(there.records)} of 40 trajectories\n  → run the same command again" in message
    with orchestrator_process(settings):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (done.returncode, sources(f"http://127.0.0.1:{free_port}")) == (0, [])
        assert done.stderr.startswith(UNKNOWN)
    run = read_trajectory_run(output)
    assert (run.records[: len(there.records)], len(run.records)) == (there.records, 40)


def test_a_run_that_is_under_way_is_left_alone(invoke: Invoke, folder: Path, serve: Serve, start: Start) -> None:
    url = start(computing())
    other = {"name": "evaluation-calculator", "url": f"{serve(create_calculator_server())}/openapi.json"}
    httpx.post(f"{url}/v1/tool-sources", json=other).raise_for_status()
    result = invoke(*arguments(sums_file(folder, 2), url))
    assert result.exit_code == 2
    assert "another run has the tool source 'evaluation-calculator' registered" in stderr_of(result)
    assert sources(url) == ["evaluation-calculator"]


def test_a_tool_of_the_same_name_is_in_the_way(invoke: Invoke, folder: Path, serve: Serve, start: Start) -> None:
    url = start(computing())
    other = {"name": "mine", "url": f"{serve(create_calculator_server())}/openapi.json"}
    httpx.post(f"{url}/v1/tool-sources", json=other).raise_for_status()
    result = invoke(*arguments(sums_file(folder, 2), url))
    assert result.exit_code == 2
    assert "another tool source has a tool 'calculator', too → `alpha-umi tools remove` the other source" in stderr_of(
        result
    )
    assert sources(url) == ["mine"]


def test_files_that_cannot_be_taken_up_stay_as_they_are(invoke: Invoke, folder: Path, start: Start) -> None:
    suite, url, output = sums_file(folder, 2), start(computing()), folder / "trajectories.jsonl"
    assert invoke(*arguments(suite, url)).exit_code == 0
    head, tool, first, second = output.read_text().splitlines(keepends=True)
    refused = {
        "words\n": "line 1 is not JSON",
        head + tool + first[:100] + "\n" + second: "line 3 ends in the middle",
        head + tool + first + first: "trajectories share the id",
        head + head: "second `trajectory-run` line",
        head + first: "was offered tools that have no line: '1'",
        head.replace("sums", "other") + tool + first: "its `suite` is 'other', and now it would be 'sums'",
        head + tool + first.replace('"recorded":"', '"recorded":"x'): "has trajectories that are not in the suite: 'x",
    }
    for text, message in refused.items():
        output.write_text(text)
        result = invoke(*arguments(suite, url))
        assert (result.exit_code, output.read_text()) == (2, text)
        assert message in stderr_of(result)
    assert sources(url) == []


def test_suites_that_cannot_be_gone_through(invoke: Invoke, folder: Path, free_port: int) -> None:
    suite = sums_file(folder, 0)
    empty = invoke(*arguments(suite, f"http://127.0.0.1:{free_port}"))
    assert (empty.exit_code, empty.stdout) == (2, "")
    assert "has no step with a reference" in stderr_of(empty)
    suite.write_text(suite.read_text().replace("gsm8k", "seal-tools"))
    request = '\napi_list = [{"api_name": "look", "api_description": "", "parameters": {}}]\n'
    instruction = {"from": "human", "value": f'{request}task_instruction = "Look."\nOutput:'}
    made = {"from": "gpt", "value": "[{'api': 'look', 'parameters': {}}]"}
    (folder / "sums.jsonl").write_text(json.dumps([{"id": "1", "conversations": [instruction, made]}]))
    without = invoke(*arguments(suite, f"http://127.0.0.1:{free_port}"))
    assert (without.exit_code, without.stdout) == (2, "")
    assert "its data has the calls, and not their observations → measure its steps with" in stderr_of(without)


@pytest.mark.parametrize(
    ("settings", "more", "message"),
    [
        ({"allow_loopback_tools": "false"}, (), "→ the tools are served on this machine's loopback"),
        (
            {"api_keys": "right-3d90c7f15be8a2460b7d"},
            ("--api-key", "wrong"),
            "does not accept the API key → name its key with --api-key",
        ),
        ({}, ("--strategy", "single"), "was not created: "),
        ({}, ("--strategy", "bfs"), "'bfs' is not one of"),
        ({}, ("--suite", "nothing-like-it"), "there is no suite 'nothing-like-it'"),
        ({}, ("--output", "/no/folder/trajectories.jsonl"), "cannot be written: No such file"),
        ({}, ("--url", "ftp://x"), "'ftp://x' is not an address"),
    ],
)
def test_errors_name_the_cause(
    invoke: Invoke, folder: Path, start: Start, settings: dict[str, str], more: tuple[str, ...], message: str
) -> None:
    result = invoke(*arguments(sums_file(folder, 2), start(computing(), **settings), *more))
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in stderr_of(result)
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("report", ["trajectories.jsonl", "sums.yaml", "sums.jsonl", "link"])
def test_no_report_is_written_over_what_is_needed(invoke: Invoke, folder: Path, free_port: int, report: str) -> None:
    suite = sums_file(folder, 2)
    (folder / "link").symlink_to("trajectories.jsonl")
    before = {path.name: path.read_bytes() for path in folder.glob("sums.*")}
    refused = invoke(*arguments(suite, f"http://127.0.0.1:{free_port}", "--report", str(folder / report)))
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "--report: " in stderr_of(refused)
    assert "→ name another file" in stderr_of(refused)
    assert {path.name: path.read_bytes() for path in folder.glob("sums.*")} == before


def test_an_unavailable_orchestrator(invoke: Invoke, folder: Path, free_port: int) -> None:
    result = invoke(*arguments(sums_file(folder, 2), f"http://127.0.0.1:{free_port}"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"the orchestrator at http://127.0.0.1:{free_port} is unavailable" in stderr_of(result)
    assert "→ start it with `alpha-umi up`" in stderr_of(result)
    assert not (folder / "trajectories.jsonl").exists()


def test_an_address_of_another_service(invoke: Invoke, folder: Path, serve: Serve) -> None:
    result = invoke(*arguments(sums_file(folder, 2), serve(computing().application())))
    assert result.exit_code == 2
    assert "is not an orchestrator of this version" in stderr_of(result)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ('{"kind":"trajectory-run"', "line 1 ends in the middle"),
        ("words", "is not JSON"),
        ('{"kind":"trajectory-run","suite":"s","trajectories":1}', "there is no trajectory to measure"),
    ],
)
def test_what_cannot_be_scored(invoke: Invoke, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "trajectories.jsonl"
    path.write_text(text)
    result = invoke("evaluate", "score", str(path), "--format", "trajectories")
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in stderr_of(result)


def test_trajectories_are_no_predictions(invoke: Invoke, tmp_path: Path) -> None:
    path = str(tmp_path / "trajectories.jsonl")
    published = invoke("evaluate", "score", path, "--format", "trajectories", "--write-published", f"{path}.json")
    assert published.exit_code == 2
    assert "a file of trajectories has no predictions" in stderr_of(published)
