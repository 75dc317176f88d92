"""`ask` and `tail` against an orchestrator over real HTTP: their output, their requests, their exit codes."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from rich.console import Console
from support.unreadable_events import unreadable_plan

from alpha_umi.client.errors import StreamBroken
from alpha_umi.client.orchestrator import OrchestratorClient
from alpha_umi.client.retry import RetryPolicy
from alpha_umi.client.sync import SyncOrchestratorClient
from alpha_umi.contract.stream_events import TextDelta
from alpha_umi.contract.trajectories import CreateTrajectory
from alpha_umi.plain_text import plain
from alpha_umi.roles.turns import Tool
from alpha_umi.trajectory import (
    ActionRequired,
    AnswerWritten,
    CallMade,
    LimitReached,
    Limits,
    PlannerDecided,
    RoleFailed,
    StepTaken,
    ToolObserved,
    TrajectoryCreated,
    TrajectoryFinished,
    Usage,
)
from cli.commands.questions import read_events
from cli.steps_view import LiveOutput, StepsView, ended

Fake = Any
Invoke = Callable[..., Any]

CREATED = TrajectoryCreated("How warm is it in Oslo?", ("temperature",))
STEP = (
    PlannerDecided("I ask the thermometer.", "caller", "I ask the thermometer. Next: caller.", usage=Usage(10, 5)),
    CallMade("call_1", "temperature", {"city": "Oslo"}, "Action: temperature", usage=Usage(20, 6)),
    ToolObserved("call_1", '{"celsius": 19.5}', latency_ms=3),
)
CONCLUDED = PlannerDecided("It is known.", "conclusion", "It is known. Next: conclusion.", usage=Usage(30, 7))
COMPLETED = (CREATED, *STEP, CONCLUDED, AnswerWritten("It is 19.5 degrees.", usage=Usage(40, 8)), TrajectoryFinished())
EXHAUSTED = (
    TrajectoryCreated("How warm is it?", ("temperature",), Limits(max_steps=1)),
    *STEP,
    AnswerWritten("19.5 degrees, as far as is known."),
    TrajectoryFinished(),
)
FAILED = (CREATED, *STEP, RoleFailed("planner", "it is down"), TrajectoryFinished())
GAVE_UP = (CREATED, PlannerDecided("I cannot.", "give up", "I cannot. Next: give up."), TrajectoryFinished())


def client_of(url: str) -> SyncOrchestratorClient:
    return SyncOrchestratorClient(OrchestratorClient(url, resume=RetryPolicy(wait_s=0.5, first_pause_s=0.01)))


def with_deltas(role: Any, pieces: Sequence[str], event: Any) -> list[Any]:
    return [*(TextDelta(role, 0, piece) for piece in pieces), event]


def test_everything_that_happens_is_printed(fake: Fake, url: str, invoke: Invoke) -> None:
    fake.add(COMPLETED)
    result = invoke("ask", "How warm is it in Oslo?", "--url", url)
    assert result.exit_code == 0, result.output
    lines = [" ".join(line.split()) for line in result.stdout.splitlines() if line.strip()]
    assert lines == [
        "traj_1",
        "instruction How warm is it in Oslo?",
        "Step 1",
        "thought I ask the thermometer.",
        "next caller",
        'call temperature {"city": "Oslo"}',
        'observation {"celsius": 19.5}',
        "Step 2",
        "thought It is known.",
        "next conclusion",
        "answer It is 19.5 degrees.",
        "completed · 2 steps, 100 prompt + 26 completion tokens, 2.5 s · traj_1",
    ]
    assert fake.requests[0]["stream"] is True
    assert fake.requests[0]["tools"] is None


def test_text_is_printed_once_also_when_it_was_streamed(fake: Fake, url: str, invoke: Invoke) -> None:
    first = with_deltas("planner", ["I ask ", "the thermometer", ". Next: caller."], STEP[0])
    answer = with_deltas("summarizer", ["It is ", "19.5 degrees."], COMPLETED[-2])
    fake.add([CREATED, *first, *STEP[1:], CONCLUDED, *answer, TrajectoryFinished()])
    output = invoke("ask", "How warm?", "--url", url).stdout
    assert output.count("I ask the thermometer") == 1
    assert output.count("It is 19.5 degrees.") == 1
    assert "request was repeated" not in output


def test_a_preview_that_does_not_count_is_followed_by_what_does(fake: Fake, url: str, invoke: Invoke) -> None:
    first = with_deltas("planner", ["Something half done"], STEP[0])
    fake.add([CREATED, *first, *COMPLETED[2:]])
    output = invoke("ask", "How warm?", "--url", url).stdout
    assert (
        output.index("Something half done")
        < output.index("request was repeated")
        < output.index("I ask the thermometer.")
    )


def test_an_unreadable_decision_is_printed(fake: Fake, url: str, invoke: Invoke) -> None:
    fake.add(
        [CREATED, unreadable_plan("Er.", "there is no decision"), AnswerWritten("I do not know."), TrajectoryFinished()]
    )
    result = invoke("ask", "How warm?", "--url", url)
    assert "no decision could be read (there is no decision)" in result.stdout


ALONE = (
    TrajectoryCreated("How warm is it in Oslo?", ("temperature",), strategy="single"),
    StepTaken("I ask.", "caller", "Action: temperature", "call_1", "temperature", {"city": "Oslo"}),
    STEP[2],
    StepTaken("No, elsewhere.", "caller", "Action: x", reason="there is no tool 'x'"),
    StepTaken("It is known.", "conclusion", "It is 19.5 degrees.", answer="It is 19.5 degrees."),
    TrajectoryFinished(),
)


def test_the_steps_of_a_single_model(fake: Fake, url: str, invoke: Invoke) -> None:
    fake.add(ALONE)
    result = invoke("ask", "How warm is it in Oslo?", "--strategy", "single", "--url", url)
    assert result.exit_code == 0, result.output
    assert fake.requests[0]["strategy"] == "single"
    lines = [" ".join(line.split()) for line in result.stdout.splitlines() if line.strip()]
    assert lines[2:-1] == [
        "Step 1",
        "thought I ask.",
        "next caller",
        'call temperature {"city": "Oslo"}',
        'observation {"celsius": 19.5}',
        "Step 2",
        "thought No, elsewhere.",
        "next caller",
        "observation No call was made: there is no tool 'x'",
        "Step 3",
        "thought It is known.",
        "next conclusion",
        "answer It is 19.5 degrees.",
    ]


def test_a_single_model_that_is_streamed_is_printed_once(fake: Fake, url: str, invoke: Invoke) -> None:
    created, called, observed, _, answered, finished = ALONE
    first = with_deltas("backbone", ["I ask.\n", "Action: temperature"], called)
    pieces = ("It is known.\nconclusion: ", "It is 19.5 degrees.")
    last = [*(TextDelta("backbone", 1, piece) for piece in pieces), answered]
    fake.add([created, *first, observed, *last, finished])
    output = invoke("ask", "How warm?", "--url", url).stdout
    for text in ("I ask.", "Action: temperature", "It is 19.5 degrees.", "Step 2"):
        assert output.count(text) == 1, text
    assert "request was repeated" not in output


@pytest.mark.parametrize(
    ("items", "status", "code"),
    [(COMPLETED, "completed", 0), (EXHAUSTED, "exhausted", 0), (FAILED, "failed", 1), (GAVE_UP, "gave_up", 1)],
)
def test_the_exit_code_says_whether_there_is_an_answer(
    fake: Fake, url: str, invoke: Invoke, items: Sequence[Any], status: str, code: int
) -> None:
    fake.add(items)
    result = invoke("ask", "How warm?", "--url", url, "--json")
    assert result.exit_code == code
    assert json.loads(result.stdout)["status"] == status
    assert json.loads(result.stdout)["id"] == "traj_1"


def test_options_become_the_request(fake: Fake, url: str, invoke: Invoke) -> None:
    fake.add(COMPLETED)
    fake.tools = [{"name": name, "description": "", "parameters": {}, "source": "s", "effect": "read"} for name in "ab"]
    invoke("ask", "How warm?", "--tools", "a, b", "--max-steps", "3", "--url", url, "--api-key", "secret")
    assert (fake.requests[0]["tools"], fake.requests[0]["max_steps"]) == (["a", "b"], 3)
    invoke("ask", "How warm?", "--no-tools", "--url", url, "--api-key", "secret")
    assert fake.requests[-1]["tools"] == []
    assert fake.authorizations[0] == "Bearer secret"


def test_a_search_is_requested_with_its_limits(fake: Fake, url: str, invoke: Invoke) -> None:
    fake.add(COMPLETED)
    invoke("ask", "How warm?", "--strategy", "dfsdt", "--max-tokens", "9000", "--max-depth", "6", "--url", url)
    request = fake.requests[0]
    assert (request["strategy"], request["max_tokens"], request["max_depth"]) == ("dfsdt", 9_000, 6)


def test_a_problem_document_is_shown_in_full(fake: Fake, url: str, invoke: Invoke) -> None:
    fake.add(COMPLETED)
    result = invoke("ask", "How warm?", "--tools", "nope", "--url", url)
    assert result.exit_code == 2
    assert result.stdout == ""
    for part in ("A tool of this name is not registered", "'nope'", "tools.0", "choose one of the list"):
        assert part in result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["ask", "  "], "instruction: the instruction is blank"),
        (["ask", "x", "--tools", "a,a"], "tools: a tool is listed twice"),
        (["ask", "x", "--tools", ","], "--tools names no tool"),
        (["ask", "x", "--tools", "a", "--no-tools"], "leave one of them out"),
        (["ask", "x", "--max-steps", "0"], "max-steps"),
        (["ask", "x", "--max-tokens", "10000001"], "max-tokens"),
        (["ask", "x", "--max-depth", "65"], "max-depth"),
        (["ask", "x", "--strategy", "bfs"], "strategy"),
        (["ask", "x", "--url", "nowhere"], "--url: 'nowhere' is not an address"),
        (["ask", "x", "--url", "http://["], "--url"),
        (["ask"], "instruction"),
    ],
)
def test_bad_usage_is_refused_before_anything_is_sent(invoke: Invoke, arguments: list[str], says: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert says in result.stderr


def test_nobody_there(invoke: Invoke, ports: Callable[[], int]) -> None:
    result = invoke("ask", "How warm?", "--url", f"http://127.0.0.1:{ports()}")
    assert result.exit_code == 2
    assert "is unavailable: ConnectError" in result.stderr
    assert "alpha-umi up" in result.stderr


def test_a_cut_stream_is_taken_up_without_gap_or_repetition(fake: Fake, url: str) -> None:
    fake.add(COMPLETED)
    fake.connections = [2, 4]
    with client_of(url) as client:
        output = io.StringIO()
        trajectory = ended(
            read_events(client.stream(CreateTrajectory(instruction="How warm?"))),
            LiveOutput(StepsView(Console(file=output))),
        )
    assert trajectory.status == "completed"
    assert fake.last_event_ids == ["2", "4"]
    for once in ("I ask the thermometer.", "celsius", "It is known.", "It is 19.5 degrees."):
        assert output.getvalue().count(once) == 1


def test_a_stream_that_always_breaks_is_given_up(fake: Fake, url: str) -> None:
    fake.add(COMPLETED)
    fake.connections = [0] * 20
    with client_of(url) as client, pytest.raises(StreamBroken) as caught:
        ended(read_events(client.follow("traj_1")))
    assert "alpha-umi show traj_1" in str(caught.value.remedy)


HOSTILE = "[red]x[/red] :smile: \x1b[31mred\x1b]0;title\x07 \x9b31m \u202egnp.exe \r\x08\x00 \u200b end"


def test_what_models_and_tools_write_is_text(fake: Fake, url: str, invoke: Invoke) -> None:
    fake.add(
        [
            TrajectoryCreated("q\x1b[2J", ("temperature",)),
            *with_deltas("planner", ["thinking \x1b", "[31m hard"], PlannerDecided(HOSTILE, "caller", HOSTILE)),
            CallMade("call_1", "temperature", {"city": HOSTILE}, ""),
            ToolObserved("call_1", HOSTILE, is_error=True),
            CONCLUDED,
            AnswerWritten(HOSTILE),
            TrajectoryFinished(),
        ]
    )
    result = invoke("ask", "How warm?", "--url", url)
    assert result.exit_code == 0, result.output
    assert result.stdout.count("[red]x[/red] :smile: ␛[31mred␛]0;title␇ <U+009B>31m <U+202E>gnp.exe") == 3
    assert not any(ord(character) < 0x20 and character != "\n" for character in result.stdout)
    assert not set("\x7f\x9b\u202e\u200b") & set(result.stdout)


def test_a_terminal_gets_our_colours_and_nobody_elses() -> None:
    output = io.StringIO()
    view = StepsView(Console(file=output, force_terminal=True, color_system="standard", width=80))
    view.part("answer", "\x1b[5mblink\x1b[0m [bold]b[/bold]", style="green")
    assert "\x1b[32m" in output.getvalue()
    assert "\x1b[5m" not in output.getvalue()
    assert "[bold]b[/bold]" in output.getvalue()


def test_half_a_character_can_be_printed() -> None:
    assert plain("a\ud800b").encode() == b"a<U+D800>b"


def test_joiners_and_line_breaks_stay() -> None:
    assert plain("a\r\nb\tc 👩\u200d🔬") == "a\nb\tc 👩\u200d🔬"


def test_a_long_observation_is_cut(fake: Fake, url: str, invoke: Invoke) -> None:
    content = "\n".join(f"line {number}" for number in range(1_000))
    fake.add([CREATED, *STEP[:2], ToolObserved("call_1", content), *COMPLETED[4:]])
    output = invoke("ask", "How warm?", "--url", url).stdout
    assert "line 11\n" in output
    assert "line 12\n" not in output
    assert "more characters" in output


def test_ctrl_c_cancels(fake: Fake, url: str) -> None:
    fake.add(COMPLETED)
    fake.hold_after = 3
    command = [sys.executable, "-m", "cli.main", "ask", "How warm?", "--url", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "200"}) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("call"):
                process.send_signal(signal.SIGINT)
                break
        rest = process.stdout.read()
    assert process.returncode == 1
    assert fake.cancelled == ["traj_1"]
    assert "cancelled · 1 step" in rest


def test_a_further_turn_is_sent_and_printed(fake: Fake, url: str, invoke: Invoke) -> None:
    fake.add(COMPLETED)
    fake.further = [
        TextDelta("planner", 2, "Still "),
        TextDelta("planner", 2, "known."),
        PlannerDecided("Still known.", "conclusion", "Still known."),
        AnswerWritten("As I said."),
        TrajectoryFinished(),
    ]
    result = invoke("ask", "--continue", "traj_1", "Are you sure?", "--url", url)
    assert result.exit_code == 0, result.output
    lines = [" ".join(line.split()) for line in result.stdout.splitlines() if line.strip()]
    assert lines == [
        "traj_1",
        "message Are you sure?",
        "Step 3",
        "thought Still known.",
        "next conclusion",
        "answer As I said.",
        "completed · 3 steps, 100 prompt + 26 completion tokens · traj_1",
    ]
    assert fake.requests == [{"content": "Are you sure?", "stream": True, "background": False}]
    shown = invoke("show", "traj_1", "--url", url).stdout
    parts = ("How warm is it in Oslo?", "It is 19.5 degrees.", "Are you sure?", "As I said.")
    places = [shown.index(part) for part in parts]
    assert places == sorted(places)
    tailed = invoke("tail", "traj_1", "--url", url).stdout
    assert tailed.index("It is 19.5 degrees.") < tailed.index("Are you sure?") < tailed.index("As I said.")


def test_a_further_turn_that_cannot_be(fake: Fake, url: str, invoke: Invoke) -> None:
    fake.add(COMPLETED[:3])
    busy = invoke("ask", "--continue", "traj_1", "And now?", "--url", url)
    assert (busy.exit_code, "The trajectory has not ended yet" in busy.stderr) == (2, True)
    for option in (
        ["--tools", "a"],
        ["--no-tools"],
        ["--max-steps", "3"],
        ["--max-tokens", "9"],
        ["--strategy", "dfsdt"],
    ):
        result = invoke("ask", "--continue", "traj_1", "And now?", *option, "--url", url)
        assert (
            result.exit_code,
            "leave out --tools, --no-tools, --max-steps, --max-tokens, --max-depth and --strategy"
            in " ".join(result.stderr.split()),
        ) == (2, True)
    blank = invoke("ask", "--continue", "traj_1", " ", "--url", url)
    assert (blank.exit_code, "content: the content is blank" in blank.stderr) == (2, True)


def test_a_call_that_the_application_executes_is_printed(fake: Fake, url: str, invoke: Invoke) -> None:
    created = TrajectoryCreated("How warm is it?", ("temperature",), client_tool_definitions=(Tool("temperature"),))
    required = ActionRequired("call_1", "2026-11-21T12:00:00+00:00")
    fake.add([created, *STEP[:2], required, *COMPLETED[3:]])
    result = invoke("tail", "traj_1", "--url", url)
    assert result.exit_code == 0, result.output
    for part in ("waits until 2026-11-21T12:00:00+00:00", "/v1/trajectories/traj_1/tool_outputs", "call_1"):
        assert part in result.stdout
    fake.add([created, *STEP[:2], required])
    shown = invoke("show", "traj_1", "--url", url).stdout
    assert "waits until 2026-11-21T12:00:00+00:00" in shown
    assert "requires_action · 1 step" in shown


def test_tail_follows_the_newest_that_runs(fake: Fake, url: str, invoke: Invoke) -> None:
    fake.add(COMPLETED, "traj_1")
    result = invoke("tail", "--url", url)
    assert (result.exit_code, "traj_1" in result.stdout) == (0, True)
    fake.add([CREATED, *STEP], "traj_2")
    fake.add(GAVE_UP, "traj_3")
    with client_of(url) as client:
        running = client.newest(status="running")
        newest = client.newest()
    assert (running and running.id, newest and newest.id) == ("traj_2", "traj_3")


def test_tail_of_one_that_ended_by_its_deadline(fake: Fake, url: str, invoke: Invoke) -> None:
    fake.add(
        [CREATED, *STEP, LimitReached("deadline"), AnswerWritten("As far as is known."), TrajectoryFinished()], "traj_1"
    )
    result = invoke("tail", "traj_1", "--url", url)
    assert result.exit_code == 0
    assert "deadline: the time limit" in result.stdout


def test_tail_without_any(url: str, invoke: Invoke) -> None:
    result = invoke("tail", "--url", url)
    assert result.exit_code == 2
    assert "there is no trajectory yet" in result.stderr


def test_an_address_that_is_something_else(serve: Callable[[Any], str], invoke: Invoke) -> None:
    async def page(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for kind in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{kind}.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
        await send({"type": "http.response.body", "body": b"<html>"})

    address = serve(page)
    for arguments in (["ask", "x"], ["show", "traj_1"], ["tools"]):
        result = invoke(*arguments, "--url", address)
        assert result.exit_code == 1
        assert "error:" in result.stderr
