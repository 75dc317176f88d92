"""`alpha-umi evaluate judge`: the real command and a real server of chat completions, whose answers are scripted."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from support.judges import ScriptedJudge, completion, run_file, trajectory
from support.measured_steps import pairs_of, run_of
from support.serving_on_loopback import Serve, served, until
from support.toolbench_server import queries_file
from support.trajectory_suites import shop_file
from typer.testing import Result

from evaluation.files.step_run import write_run
from evaluation.judge.verdicts import read_verdicts

Invoke = Callable[..., Result]
Json = dict[str, Any]
KEY = "a-key-of-ours"


@pytest.fixture(autouse=True)
def no_judge_in_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KEY", "URL", "MODEL"):
        monkeypatch.delenv(f"ALPHA_UMI_JUDGE_{name}", raising=False)


def arguments(run: Path, url: str, *more: str) -> list[str]:
    output = str(run.parent / "verdicts.jsonl")
    return ["evaluate", "judge", str(run), "--judge-url", f"{url}/v1", "--judge-model", "m", "--output", output, *more]


def message_of(result: Result) -> str:
    return " ".join(result.stderr.split())


def figures(result: Result) -> dict[str, float]:
    assert result.exit_code == 0, result.stderr
    return {name: figure["value"] for name, figure in json.loads(result.stdout)["figures"].items()}


def status(name: str, answers: dict[str, str]) -> Callable[[str, Json], Response | Json | str]:
    """A judge that says of each answer what is written of it, and of every task `name`."""

    def script(function: str, request: Json) -> Json:
        prompt = request["messages"][0]["content"]
        if function == "check_task_solvable":
            return {"task_status": name, "reason": "r"}
        matches = next((message for text, message in answers.items() if text in prompt), "Unsolved")
        if function == "parse_answer_status":
            matches = {"Unsure": "Unsure"}.get(matches, matches)
        return {"answer_status": matches, "reason": "r"}

    return script


def test_solvable_pass_rate(invoke: Invoke, tmp_path: Path, serve: Serve) -> None:
    judge = ScriptedJudge(status("Unsure", {"yes": "Solved", "perhaps": "Unsure", "no": "Unsolved"}))
    run = run_file(
        tmp_path / "run.jsonl",
        trajectory("a", answer="yes"),
        trajectory("b", answer="perhaps"),
        trajectory("c", answer="no"),
        trajectory("d", status="gave_up", answer=None),
        trajectory("e", status="exhausted", answer="yes"),
    )
    result = invoke(*arguments(run, serve(judge.application()), "--repeat", "2", "--json"))
    assert figures(result) == {"solvable_pass_rate": 0.3}
    report = json.loads(result.stdout)
    assert report["verdicts"] == {"judge": 6, "rule": 4, "nonsense": 0, "too-long": 0}
    assert report["labels"] == {"answer_status": {"Solved": 2, "Unsolved": 6, "Unsure": 2}}
    assert report["agreement"] == {"answer_status": {"trajectories": 3, "unanimous": 1.0, "alpha": 1.0}}
    assert (report["prompt_tokens"], len(judge.requests)) == (800, 8)
    (requests, *_) = judge.requests
    assert (requests["model"], requests["temperature"], requests["max_tokens"]) == ("m", 0.2, 1000)
    assert requests["tools"][0]["function"]["parameters"]["required"] == ["answer_status", "reason"]
    unsure = next(each for each in read_verdicts(tmp_path / "verdicts.jsonl").verdicts if each.recorded == "b")
    assert [question.name for question in unsure.questions] == ["check_answer_status", "parse_answer_status"]
    assert json.loads(unsure.questions[0].texts[0]) == {"answer_status": "Unsure", "reason": "r"}


@pytest.mark.parametrize(
    ("answer", "task", "passes"),
    [("Solved", "Unsolvable", "Passed"), ("Unsolved", "Solvable", "Failed"), ("Unsolved", "Unsolvable", "Passed"),
     ("Unsolved", "Unsure", "Unsure"), ("Unsure", "Solvable", "Unsure"), ("Unsure", "Unsure", "Unsure"),
     ("Unsure", "Unsolvable", "Passed")],
)  # fmt: skip
def test_pass_rate(invoke: Invoke, tmp_path: Path, serve: Serve, answer: str, task: str, passes: str) -> None:
    judge = ScriptedJudge(status(task, {"yes": answer}))
    shop = shop_file(tmp_path, "lamp")
    run = run_file(tmp_path / "run.jsonl", trajectory("judged-lamp", answer="yes"))
    more = ("--procedure", "toolbench-pass", "--suite", str(shop), "--json")
    result = invoke(*arguments(run, serve(judge.application()), *more))
    (verdict,) = read_verdicts(tmp_path / "verdicts.jsonl").verdicts
    assert (verdict.labels["answer_status"], verdict.labels["passes"]) == (answer, passes)
    drawn = verdict.labels["drawn"]
    assert drawn in ("Passed", "Failed") if passes == "Unsure" else drawn == passes
    assert figures(result)["pass_rate"] == (drawn == "Passed")
    if answer != "Solved":
        (task_request,) = [
            requests for requests in judge.requests if "check_task_solvable" in str(requests["tool_choice"])
        ]
        assert '"name": "price_of"' in task_request["messages"][0]["content"]
        assert '"name": "Finish"' in task_request["messages"][0]["content"]


def test_unsure_is_drawn_the_same_each_time_and_ties_pass(invoke: Invoke, tmp_path: Path, serve: Serve) -> None:
    judge = ScriptedJudge(status("Unsure", {}))
    shop = shop_file(tmp_path, *"abcdefgh")
    run = run_file(tmp_path / "run.jsonl", *(trajectory(f"judged-{item}") for item in "abcdefgh"))
    address, matches = serve(judge.application()), []
    for _ in range(2):
        more = ("--procedure", "toolbench-pass", "--suite", str(shop), "--repeat", "2", "--json")
        matches.append(figures(invoke(*arguments(run, address, *more))))
        drawn: dict[str, list[str]] = {}
        for verdict in read_verdicts(tmp_path / "verdicts.jsonl").verdicts:
            drawn.setdefault(verdict.recorded, []).append(verdict.labels["drawn"])
        (tmp_path / "verdicts.jsonl").unlink()
    assert matches[0] == matches[1]
    assert matches[0]["pass_rate"] == sum("Passed" in values for values in drawn.values()) / 8
    assert {len(set(values)) for values in drawn.values()} == {1, 2}


def test_a_run_of_toolbench_questions_is_judged_with_their_tools(invoke: Invoke, tmp_path: Path, serve: Serve) -> None:
    judge, suite = ScriptedJudge(status("Solvable", {})), queries_file(tmp_path)
    run = run_file(tmp_path / "run.jsonl", trajectory("G1_instruction/1073"))
    more = ("--procedure", "toolbench-pass", "--suite", str(suite))
    assert invoke(*arguments(run, serve(judge.application()), *more)).exit_code == 0
    assert '"example_value": "taylor swift"' in judge.requests[-1]["messages"][0]["content"]


def better(index: int, statuses: dict[str, str]) -> Callable[[str, Json], Response | Json | str]:
    solving = status("Solvable", statuses)

    def script(function: str, request: Json) -> Response | Json | str:
        return {"index": index} if function == "select_better_answer" else solving(function, request)

    return script


@pytest.mark.parametrize(
    ("first", "second", "requests", "wins"),
    [("Solved", "Unsolved", 2, 1.0), ("Unsolved", "Unsure", 3, 0.0), ("Solved", "Solved", 3, None),
     ("Unsure", "Unsure", 5, None), ("Unsolved", "Unsolved", 3, None)],
)  # fmt: skip
def test_win_rate(
    invoke: Invoke, tmp_path: Path, serve: Serve, first: str, second: str, requests: int, wins: float | None
) -> None:
    judge = ScriptedJudge(better(0, {"of ours": first, "of theirs": second}))
    ours = run_file(tmp_path / "run.jsonl", trajectory("a", answer="of ours", instruction="What?"))
    theirs = run_file(tmp_path / "other.jsonl", trajectory("a", answer="of theirs", instruction="What?"))
    more = ("--procedure", "toolbench-win", "--against", str(theirs), "--json")
    matches = figures(invoke(*arguments(ours, serve(judge.application()), *more)))
    (verdict,) = read_verdicts(tmp_path / "verdicts.jsonl").verdicts
    assert (len(judge.requests), matches["tie_rate"]) == (requests, 0)
    # Which is shown first is left to chance, and known; the first is preferred.
    assert matches["win_rate"] == (verdict.labels["first"] == "candidate" if wins is None else wins)


def test_wins_without_a_question_and_ties(invoke: Invoke, tmp_path: Path, serve: Serve) -> None:
    judge = ScriptedJudge(better(1, {}))
    ours = run_file(tmp_path / "run.jsonl", trajectory("a"), trajectory("b"), trajectory("same"))
    theirs = run_file(tmp_path / "other.jsonl", trajectory("c"), trajectory("b", answer="Other."), trajectory("same"))
    more = ("--procedure", "toolbench-win", "--against", str(theirs), "--repeat", "6", "--json")
    matches = figures(invoke(*arguments(ours, serve(judge.application()), *more)))
    verdicts = read_verdicts(tmp_path / "verdicts.jsonl").verdicts
    by_name = {
        name: {v.labels["preferred"] for v in verdicts if v.recorded == name} for name in ("a", "b", "c", "same")
    }
    assert by_name == {"a": {"candidate"}, "c": {"reference"}, "b": {"candidate", "reference"},
                       "same": {"candidate", "reference"}}  # fmt: skip
    assert sum(matches.values()) == 1
    assert not any(question.name == "select_better_answer" for v in verdicts if v.recorded == "same"
                   for question in v.questions)  # fmt: skip


def alpaca(folder: Path) -> Path:
    """A suite of ToolAlpaca with one instruction."""
    api = {"Name": "Shop", "NLDocumentation": "price_of: The price.", "Instructions": ["What does $it cost?"],
           "Function_Description": {"price_of": 'The price. Parameters: {"item": "string. The item."}'},
           "Golden_Answers": [[{"Action": "price_of", "Action_Input": '{"item": "it"}'}]]}  # fmt: skip
    (folder / "alpaca.json").write_text(json.dumps([api]))
    lines = ("name: alpaca", "title: t", "loader: toolalpaca-golden", "data: alpaca.json", "licence: n", "source: s")
    (folder / "alpaca.yaml").write_text("\n".join(lines))
    return folder / "alpaca.yaml"


def test_toolalpaca(invoke: Invoke, tmp_path: Path, serve: Serve) -> None:
    message = "It fits.\n## Results\nProcess Correctness: Yes\nFinal Response Correctness: Uncertain"
    judge = ScriptedJudge(lambda function, request: message)
    calls = [("price_of", {"item": "it"}, "40")]
    made = trajectory("a", calls=calls, answer="40.", instruction="What does $it cost?")
    none = trajectory("b", calls=[], thoughts=["No."], instruction="What does $it cost?")
    run = run_file(tmp_path / "run.jsonl", made, none)
    more = ("--procedure", "toolalpaca", "--suite", str(alpaca(tmp_path)), "--json")
    result = invoke(*arguments(run, serve(judge.application()), *more))
    assert figures(result) == {"process": 0.5, "response": 0.0, "both": 0.0}
    assert json.loads(result.stdout)["labels"]["process"] == {"No call": 1, "Yes": 1}
    (requests,) = judge.requests
    assert "tools" not in requests
    assert "max_tokens" not in requests
    shown = requests["messages"][0]["content"]
    assert "## Documentation\nprice_of: The price.\n" in shown
    assert '## Standard Answer\n1. Function: price_of\nParameters: {"item": "it"}\n' in shown
    assert 'Solution\n1. Function: price_of\nParameters: {"item": "it"}\nRetruns: 40\n2. Final Response: 40.\n' in shown


def test_nonsense_is_a_class_of_its_own(invoke: Invoke, tmp_path: Path, serve: Serve) -> None:
    def script(function: str, request: Json) -> Json | str:
        nonsense = "What of odd?" in request["messages"][0]["content"]
        return "I like <b>it</b>." if nonsense else {"answer_status": "Solved"}

    judge = ScriptedJudge(script)
    run = run_file(tmp_path / "run.jsonl", trajectory("odd"), trajectory("a"), not_run=3)
    result = invoke(*arguments(run, serve(judge.application())))
    assert result.exit_code == 0
    assert message_of(result) == "not run yet, in no figure: 3 trajectories of the run"
    assert "without a meaning, counted as neither: 1" in result.stdout
    assert "solvable_pass_rate  1.0000" in result.stdout
    odd = next(each for each in read_verdicts(tmp_path / "verdicts.jsonl").verdicts if each.recorded == "odd")
    assert (odd.basis, odd.labels, odd.questions[0].texts) == ("nonsense", {}, ["I like <b>it</b>."] * 3)
    assert len(judge.requests) == 4


def test_an_answer_that_cannot_be_read_is_nonsense(invoke: Invoke, tmp_path: Path, serve: Serve) -> None:
    """Invalid token counts count as none; an unreadable answer is requested again."""
    wrong = completion({"answer_status": "Solved"}).body.replace(b'"prompt_tokens":100', b'"prompt_tokens":-5')
    odd = [JSONResponse({"choices": []}), PlainTextResponse("hello"), Response(b'{"choices": "\\ud800"}')]
    message = [Response(wrong), *odd, Response(wrong)]
    judge = ScriptedJudge(lambda function, request: message.pop(0))
    run = run_file(tmp_path / "run.jsonl", *map(trajectory, "abcd"))
    more = ("--concurrency", "1", "--json")
    address = serve(judge.application())
    # The last answer never comes: what is there stays readable, and is gone on with.
    judge.hang_after = 5
    stopped = invoke(*arguments(run, address, *more, "--timeout", "1", "--wait", "0"))
    assert stopped.exit_code == 1, stopped.stderr
    matches = read_verdicts(tmp_path / "verdicts.jsonl").verdicts
    assert [(verdict.basis, verdict.questions[0].texts[1:]) for verdict in matches] == [
        ("judge", []), ("nonsense", ["", ""]), ("judge", []),
    ]  # fmt: skip
    assert [verdict.questions[0].prompt_tokens for verdict in matches] == [0, 0, 0]
    judge.hang_after, message[:] = None, [odd[0], completion({"answer_status": "Solved"})]
    result = invoke(*arguments(run, address, *more))
    assert figures(result) == {"solvable_pass_rate": 1.0}
    assert json.loads(result.stdout)["verdicts"] == {"judge": 3, "rule": 0, "nonsense": 1, "too-long": 0}


def test_a_reason_with_half_a_character_is_stored(invoke: Invoke, tmp_path: Path, serve: Serve) -> None:
    message = Response(b'{"error": {"message": "the context ends at \\ud800"}}', 400)
    judge = ScriptedJudge(lambda function, request: message)
    result = invoke(*arguments(run_file(tmp_path / "run.jsonl", trajectory("a")), serve(judge.application())))
    assert result.exit_code == 0, result.stderr
    (verdict,) = read_verdicts(tmp_path / "verdicts.jsonl").verdicts
    assert (verdict.basis, verdict.questions[0].texts) == ("too-long", ["too long: the context ends at ?"])


def test_nothing_but_nonsense_has_no_figure(invoke: Invoke, tmp_path: Path, serve: Serve) -> None:
    judge = ScriptedJudge(lambda function, request: {"answer_status": "perfect"})
    result = invoke(*arguments(run_file(tmp_path / "run.jsonl", trajectory("a")), serve(judge.application()), "--json"))
    assert figures(result) == {}
    assert json.loads(result.stdout)["verdicts"]["nonsense"] == 1


@pytest.mark.parametrize(
    ("code", "message"),
    [(400, "the context length is exceeded"), (422, "prompt is too long"), (413, "no reason")],
)
def test_a_question_beyond_the_context_is_counted(
    invoke: Invoke, tmp_path: Path, serve: Serve, code: int, message: str
) -> None:
    def script(function: str, request: Json) -> Response | Json:
        long = "What of long?" in request["messages"][0]["content"]
        return JSONResponse({"error": {"message": message}}, code) if long else {"answer_status": "Solved"}

    run = run_file(tmp_path / "run.jsonl", trajectory("long"), trajectory("a"))
    result = invoke(*arguments(run, serve(ScriptedJudge(script).application()), "--json"))
    assert figures(result) == {"solvable_pass_rate": 1.0}
    assert json.loads(result.stdout)["verdicts"]["too-long"] == 1


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (JSONResponse({"error": {"message": f"no model m for {KEY}"}}, 404), "status 404: no model m for [key]"),
        (JSONResponse({"detail": [{"msg": "bad"}]}, 422), 'status 422: [{"msg": "bad"}]'),
        (PlainTextResponse("oops", 418), "status 418: no reason is given"),
        (PlainTextResponse("hello"), "its answer is not a chat completion"),
        (JSONResponse({"choices": []}), "its answer is not a chat completion"),
    ],
)
def test_a_judge_that_takes_no_question(
    invoke: Invoke, tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch, message: Response, reason: str
) -> None:
    monkeypatch.setenv("ALPHA_UMI_JUDGE_KEY", KEY)
    judge = ScriptedJudge(lambda function, request: message, key=KEY)
    result = invoke(*arguments(run_file(tmp_path / "run.jsonl", trajectory("a")), serve(judge.application())))
    assert result.exit_code == 2
    assert f"refuses a question: {reason}" in message_of(result)
    assert read_verdicts(tmp_path / "verdicts.jsonl").verdicts == ()


def test_the_key_is_shown_to_the_judge_alone(invoke: Invoke, tmp_path: Path, serve: Serve) -> None:
    judge = ScriptedJudge(status("Solvable", {}), key=KEY)
    run, address = run_file(tmp_path / "run.jsonl", trajectory("a")), serve(judge.application())
    (tmp_path / "key").write_text("another")
    wrong = invoke(*arguments(run, address, "--judge-key-file", str(tmp_path / "key")))
    assert wrong.exit_code == 2
    assert "refuses the key" in message_of(wrong)
    assert judge.requests == []
    (tmp_path / "key").write_text(f"{KEY}\n")
    right = invoke(*arguments(run, address, "--judge-key-file", str(tmp_path / "key")))
    assert right.exit_code == 0
    assert KEY not in right.output + right.stderr + (tmp_path / "verdicts.jsonl").read_text()


def test_a_judge_that_is_not_there(invoke: Invoke, tmp_path: Path, free_port: int) -> None:
    run = run_file(tmp_path / "run.jsonl", trajectory("a"))
    result = invoke(*arguments(run, f"http://user:word@127.0.0.1:{free_port}"))
    assert result.exit_code == 1
    assert f"the judge at http://127.0.0.1:{free_port}/v1 is unavailable" in message_of(result)
    assert "verdicts.jsonl has 0 of 1 verdicts" in message_of(result)
    assert "word" not in message_of(result).replace("words", "")


def test_a_request_to_an_overloaded_judge_is_retried(invoke: Invoke, tmp_path: Path, serve: Serve) -> None:
    message = [Response(status_code=429), Response(status_code=500), completion({"answer_status": "Solved"})]
    judge = ScriptedJudge(lambda function, request: message.pop(0))
    result = invoke(*arguments(run_file(tmp_path / "run.jsonl", trajectory("a")), serve(judge.application()), "--json"))
    assert figures(result) == {"solvable_pass_rate": 1.0}


def test_no_answer_in_time(invoke: Invoke, tmp_path: Path, serve: Serve) -> None:
    judge = ScriptedJudge(status("Solvable", {}), hang_after=0)
    run = run_file(tmp_path / "run.jsonl", trajectory("a"))
    result = invoke(*arguments(run, serve(judge.application()), "--timeout", "0.3", "--wait", "0"))
    assert (result.exit_code, "is unavailable: ReadTimeout" in message_of(result)) == (1, True)


def test_a_killed_judging_goes_on(tmp_path: Path) -> None:
    run, output = run_file(tmp_path / "run.jsonl", *map(trajectory, "abcd")), tmp_path / "verdicts.jsonl"
    judge = ScriptedJudge(status("Solvable", {}), hang_after=2)
    with served(judge.application()) as address:
        command = [sys.executable, "-m", "cli.main", *arguments(run, address, "--concurrency", "1", "--json")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as killed:
            asyncio.run(until(lambda: len(judge.requests) == 3, seconds=60))
            killed.send_signal(signal.SIGKILL)
            assert killed.wait(10) == -signal.SIGKILL
        there = output.read_bytes()
        assert len(read_verdicts(output).verdicts) == 2
        output.write_bytes(there[:-20])
        judge.hang_after = None
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["missing"] == 0
    assert output.read_bytes().startswith(there[: there.rindex(b'{"kind":"verdict"')])
    assert [verdict.recorded for verdict in read_verdicts(output).verdicts] == [*"abcd"]
    # All of it is there, so that nobody is asked.
    again = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (again.returncode, again.stdout) == (0, done.stdout)


def test_other_verdicts_stay_as_they_are(invoke: Invoke, tmp_path: Path, serve: Serve) -> None:
    run, output = run_file(tmp_path / "run.jsonl", *map(trajectory, "ab")), tmp_path / "verdicts.jsonl"
    address = serve(ScriptedJudge(status("Solvable", {})).application())
    assert invoke(*arguments(run, address)).exit_code == 0
    head, first, second = output.read_text().splitlines(keepends=True)
    refused = {
        head + first[:50] + "\n" + second: "line 2 ends in the middle",
        head + first + first: "share the id",
        head + head: "second `judge-run` line",
        first: "does not begin with a `judge-run` line",
        head.replace('"model":"m"', '"model":"n"') + first: "their `model` is 'n'",
        head.replace('"version":1', '"version":2', 1) + first: "the file is of version 2",
        "words\n": "line 1 is not JSON",
    }
    for text, message in refused.items():
        output.write_text(text)
        result = invoke(*arguments(run, address))
        assert (result.exit_code, output.read_text()) == (2, text)
        assert message in message_of(result)
    output.write_text(head + first + second)
    run_file(run, *map(trajectory, "abc"))
    assert "`run_sha256` is" in message_of(invoke(*arguments(run, address)))


def test_what_cannot_be_judged(invoke: Invoke, tmp_path: Path, serve: Serve) -> None:
    address = serve(ScriptedJudge(status("Solvable", {})).application())
    run = run_file(tmp_path / "run.jsonl", trajectory("a"))
    other = run_file(tmp_path / "other.jsonl", trajectory("a"), suite="elsewhere")
    shop = ("--suite", str(shop_file(tmp_path, "lamp")))
    cases: dict[tuple[str, ...], str] = {
        ("--procedure", "toolbench-win"): "name the other with --against",
        ("--procedure", "toolbench-pass", "--against", str(other)): "only toolbench-win compares two runs",
        ("--against", str(other)): "of the suite 'shop', and",
        ("--procedure", "toolbench-pass"): "there is no suite 'shop'",
        ("--procedure", "toolbench-pass", *shop): "trajectories that the suite",
        ("--procedure", "toolalpaca", *shop): "has no golden calls",
        ("--procedure", "toolalpaca", "--suite", str(alpaca(tmp_path))): "trajectories that the suite",
        ("--judge-url", "nowhere"): "--judge-url: 'nowhere' is not an address",
        ("--report", str(run)): "is an input of the command",
    }
    for more, message in cases.items():
        result = invoke(*arguments(run, address, *more))
        assert (result.exit_code, message in message_of(result)) == (2, True), (more, result.stderr)
    write_run(tmp_path / "steps.jsonl", run_of(pairs_of({})))
    steps = invoke(*arguments(tmp_path / "steps.jsonl", address))
    assert "is a file of predictions for steps" in message_of(steps)
    assert "give a file of `alpha-umi evaluate trajectories`" in message_of(steps)
    empty = run_file(tmp_path / "run.jsonl")
    assert "has no trajectory to judge" in message_of(invoke(*arguments(empty, address)))
    assert not (tmp_path / "verdicts.jsonl").exists()
