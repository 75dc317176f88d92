"""The example questions asked of a real orchestrator with the real tools; only the language models are scripted."""

from __future__ import annotations

import asyncio
import contextlib
import json
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

from benchmarks.brought_up import brought_up
from benchmarks.examples.asking import Target, ToolsMissing, ask_questions, example_tool_names
from benchmarks.examples.questions import judged, read_questions
from benchmarks.examples.section import code, section, text
from cli.state import ORCHESTRATOR
from evaluation.whole_run import WholeRun, WholeRunRecord, read_whole_run
from examples.tool_api.app import create_app
from recordings.errors import NotTheFormat

Start = Callable[[ScriptedRoles], str]
QUESTIONS = read_questions()
PAGE = "# Results\n"


@pytest.fixture
def start(serve: Serve, tmp_path: Path) -> Iterator[Start]:
    """Start an orchestrator for roles, with the example tools; its address."""
    with contextlib.ExitStack() as stack:

        def started(roles: ScriptedRoles) -> str:
            address, tools = serve(roles.application()), serve(create_app())
            url = stack.enter_context(orchestrator_process(settings_for(address, tmp_path))).address
            source = {"name": "demo", "kind": "openapi", "url": f"{tools}/openapi.json", "effect": "read"}
            httpx.post(f"{url}/v1/tool-sources", json=source).raise_for_status()
            return url

        yield started


def command(url: str, folder: Path, *more: str) -> list[str]:
    """The command, with a page and a folder of the test."""
    (folder / "page.md").write_text(PAGE)
    options = ["--url", url, "--folder", str(folder), "--page", str(folder / "page.md")]
    return [sys.executable, "-m", "benchmarks.examples", *options, *more]


def run(url: str, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(url, folder, *more), capture_output=True, text=True, timeout=60)


def row(page: str, instruction: str) -> list[str]:
    line = next(line for line in page.splitlines() if line.startswith(f"| {instruction} |"))
    return [cell.strip() for cell in line.strip("|").split(" | ")][1:]


def test_answers_are_judged_and_failures_are_shown(start: Start, tmp_path: Path) -> None:
    wrong = {
        "holidays-portugal": "In 2013 there\nwere 14 | 15 <!-- end examples --> holidays.",
        "median": "It is 7.25.",
    }
    roles = ExampleRoles(wrong, frozenset({"moon"}))
    done = run(start(roles.roles()), tmp_path, "--concurrency", "4", "--max-steps", "5")
    assert (done.returncode, done.stdout) == (0, "17 of 20 answered with the expected facts\n"), done.stderr
    page = (tmp_path / "page.md").read_text()
    assert "**17 of 20** were answered with the expected facts (95 % interval 64 to 95 %)" in page
    assert "They ended as: completed 19, failed 1." in page
    assert (
        "`python -m benchmarks.examples --name examples --title 'The example questions' --max-steps 5 --concurrency 4`"
        in page
    )
    assert "each with all 14 example tools on offer" in page
    # Four role calls of 10 and 5 tokens.
    assert row(page, "How many kilometres are 26.2 miles?")[:4] == ["right", "completed", "2", "40 + 20"]
    assert row(page, "What phase is the moon in on 24 December 2026?")[:3] == ["**wrong**", "failed", "0"]
    shown = row(page, "How many public holidays does Portugal have in 2027?")
    assert (shown[0], shown[-1]) == (
        "**wrong**", r"In 2013 there were 14 \| 15 &lt;!-- end examples --&gt; holidays."
    )  # fmt: skip
    failures = page.partition("### Without the expected facts")[2]
    assert "**How many public holidays does Portugal have in 2027?** It lacks `13`; it ended as: completed." in failures
    assert '1. I look it up. → `public_holidays({"country": "PT", "year": 2027})` → `{"country":"' in failures
    assert "2. It is known. → *conclusion*" in failures
    assert "It lacks `6.5`" in failures
    assert "It lacks `full moon`; it ended as: failed." in failures
    assert failures.count("\n- the error: ") == 1
    # All tools were on offer, and the file holds whole trajectories.
    kept = read_whole_run(tmp_path / "examples.jsonl")
    assert {tuple(record.trajectory.tools) for record in kept.asked} == {tuple(example_tool_names())}
    assert kept.about.max_steps == 5

    # The section is made again from the answers alone, and stays a single one.
    again = run("http://127.0.0.1:1", tmp_path, "--tables-only", "--max-steps", "5", "--concurrency", "4")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "page.md").read_text() == page


def test_a_killed_run_goes_on_where_it_was(start: Start, tmp_path: Path) -> None:
    roles = ExampleRoles().roles()
    url, file = start(roles), tmp_path / "examples.jsonl"
    with subprocess.Popen(command(url, tmp_path), stderr=subprocess.DEVNULL) as killed:
        asyncio.run(until(lambda: file.exists() and file.read_bytes().count(b'"kind":"asked"') >= 3, seconds=60))
        killed.send_signal(signal.SIGKILL)
        assert killed.wait(10) == -signal.SIGKILL
    there = read_whole_run(file).asked
    partly = run(url, tmp_path, "--tables-only")
    assert f"**{len(there)} of 20**" in (tmp_path / "page.md").read_text()
    assert partly.stdout == f"{len(there)} of 20 answered with the expected facts\n"
    file.write_bytes(file.read_bytes()[:-100])
    done = run(url, tmp_path)
    assert (done.returncode, done.stdout) == (0, "20 of 20 answered with the expected facts\n"), done.stderr
    assert read_whole_run(file).asked[: len(there) - 1] == there[:-1]
    assert "### Without" not in (tmp_path / "page.md").read_text()
    # Other steps make another run.
    other = run(url, tmp_path, "--max-steps", "7")
    assert (other.returncode, "its `max_steps` is 6, and now it would be 7" in other.stderr) == (1, True)


def test_an_interrupted_run_ends_with_130(start: Start, tmp_path: Path) -> None:
    url, file = start(ExampleRoles().roles()), tmp_path / "examples.jsonl"
    with subprocess.Popen(command(url, tmp_path), stderr=subprocess.PIPE, text=True) as ended:
        asyncio.run(until(lambda: file.exists() and b'"kind":"asked"' in file.read_bytes(), seconds=60))
        ended.send_signal(signal.SIGINT)
        _, said = ended.communicate(timeout=30)
    assert (ended.returncode, "interrupted; the same command goes on" in said) == (130, True)


async def test_a_system_without_the_tools_is_not_asked(serve: Serve, tmp_path: Path) -> None:
    address = serve(ExampleRoles().roles().application())
    missing = pytest.raises(ToolsMissing, match="does not offer the example tools public_holidays, ")
    with orchestrator_process(settings_for(address, tmp_path)) as started, missing:
        await ask_questions(Target(started.address), QUESTIONS, tmp_path / "file.jsonl", max_steps=6)
    assert not (tmp_path / "file.jsonl").exists()


async def test_a_file_of_other_questions_is_refused(start: Start, tmp_path: Path) -> None:
    url, path = start(ExampleRoles().roles()), tmp_path / "file.jsonl"
    await ask_questions(Target(url), QUESTIONS[:1], path, max_steps=6)
    path.write_text(path.read_text().replace("Portugal have in 2027", "Portugal have in 2028"))
    with pytest.raises(NotTheFormat, match=r"'holidays-portugal' was asked in other words: .* in 2028"):
        judged(QUESTIONS, read_whole_run(path))
    with pytest.raises(NotTheFormat, match="asked in other words"):
        await ask_questions(Target(url), QUESTIONS[:1], path, max_steps=6)


def test_a_system_is_brought_up_and_taken_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ALPHA_UMI_API_KEYS", "ALPHA_UMI_ROLE_MODEL"):
        monkeypatch.delenv(name, raising=False)
    script = tmp_path / "script.json"
    script.write_text(json.dumps([{"when": "assistant: ", "texts": ["I have no tool for that. Next: give up."]}]))
    path = tmp_path / "file.jsonl"
    with brought_up(tmp_path / "state", "--script", str(script), environment={}) as up:
        url = up.url_of(ORCHESTRATOR) or ""
        asyncio.run(ask_questions(Target(url, role_token=up.role_token), QUESTIONS[:2], path, max_steps=2))
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)
    kept = read_whole_run(path)
    shown = section("Title", "command", kept.about, judged(QUESTIONS[:2], kept))
    assert "Models: planner `scripted` (template: " in shown
    assert "**0 of 2** were answered with the expected facts (95 % interval 0 to 66 %)" in shown
    assert "They ended as: gave up 2." in shown
    assert "1. I have no tool for that. → *give up*" in shown


def test_questions_that_were_not_asked_are_not_right() -> None:
    begun = WholeRun(WholeRunRecord(suite="examples", trajectories=20, max_steps=6), ())
    nothing = judged(QUESTIONS, begun)
    assert not any(each.right for each in nothing)
    shown = section("Title", "command", begun.about, nothing)
    assert row(shown, "What is the official name of Portugal?") == ["**wrong**", "not asked", *["–"] * 4]
    assert "The models are not known" in shown


def test_a_text_is_shown_as_it_is_in_one_line() -> None:
    assert text("a | b\n*c* `d` [e](f) <g> #1", None) == r"a \| b \*c\* \`d\` \[e\](f) &lt;g&gt; \#1"
    assert text("12345 789", 6) == "12345 …"
    assert code("a `b`\n<!-- c") == "`a 'b' <! -- c`"
    assert code("") == "(nothing)"
