"""Whole trajectories in a file: a real orchestrator with a calculator; only the language models are scripted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from generated_suites import NAME, sums
from scripted_roles import Reply, ScriptedRoles, call, decide, say
from serving_on_loopback import Serve
from system import Roles, orchestrated

from evaluation.asking import OrchestratorRefused
from evaluation.errors import CutShort, DuplicateId, EmptySuite, EvaluationError, NotTheFormat
from evaluation.growing_lines import OtherRun
from evaluation.replay.servers import create_calculator_server
from evaluation.suites.gsm8k import is_right
from evaluation.suites.recorded import RecordedTrajectory
from evaluation.whole import summarize
from evaluation.whole_run import WholeRunRecord, ask_all, read_whole_run

ABOUT = WholeRunRecord(suite=NAME, trajectories=4, max_steps=4)


def plan(request: dict[str, Any]) -> Reply:
    known = request["history"][-1]["role"] == "observation"
    return decide("It is known.", "conclusion") if known else decide("I compute it.", "caller")


def compute(request: dict[str, Any]) -> Reply:
    number = request["history"][0]["content"].split()[2]
    return call("calculator", expression=f"{number}+{number}")


def answer(request: dict[str, Any]) -> Reply:
    """Right for all sums but the third."""
    number = int(request["history"][0]["content"].split()[2])
    return say(f"It is {2 * number + (number == 3)}.")


@pytest.fixture
def recorded(tmp_path: Path) -> tuple[RecordedTrajectory, ...]:
    return sums(tmp_path, 4).trajectories


@pytest.fixture
def roles() -> ScriptedRoles:
    return ScriptedRoles(planner=plan, caller=compute, summarizer=answer)


@pytest.fixture
async def client(serve: Serve, roles: ScriptedRoles, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A real orchestrator that has a calculator."""
    address = serve(roles.application())
    calculator = serve(create_calculator_server())
    async with orchestrated(Roles(address, address, address, {}), calculator, tmp_path) as asking:
        yield asking


async def test_whole_trajectories_are_asked_kept_and_measured(
    client: httpx.AsyncClient, recorded: tuple[RecordedTrajectory, ...], tmp_path: Path
) -> None:
    path = tmp_path / "whole.jsonl"
    run = await ask_all(client, ABOUT, recorded, path, concurrency=2)
    assert run == read_whole_run(path)
    assert {record.recorded for record in run.asked} == {trajectory.id for trajectory in recorded}
    figures = {figure.name: figure for figure in summarize(run.measured(is_right))}
    assert (figures["right"].value, figures["right"].n, figures["steps"].value) == (0.75, 4, 2)
    assert figures["planner.calls"].value == 2
    # Two were cut off, one of them in the middle of its line.
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]) + lines[3][:50])
    again = await ask_all(client, ABOUT, recorded, path, concurrency=2)
    assert again.asked[:2] == run.asked[:2]
    assert {record.recorded for record in again.asked} == {trajectory.id for trajectory in recorded}
    assert len({record.trajectory.id for record in (*run.asked, *again.asked)}) == 6
    with pytest.raises(OtherRun):
        await ask_all(client, ABOUT.model_copy(update={"max_steps": 5}), recorded, path)
    with pytest.raises(OtherRun):
        await ask_all(client, ABOUT, recorded[:1], path)


async def test_an_orchestrator_that_is_not_there_leaves_a_file_that_can_go_on(
    recorded: tuple[RecordedTrajectory, ...], tmp_path: Path, free_port: int
) -> None:
    path = tmp_path / "whole.jsonl"
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{free_port}") as nobody:
        with pytest.raises(OrchestratorRefused, match="ConnectError"):
            await ask_all(nobody, ABOUT, recorded, path)
    assert read_whole_run(path).asked == ()


HEAD = ABOUT.model_dump_json()


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("", EmptySuite, "is empty"),
        (HEAD[:-5], CutShort, "line 1 ends in the middle"),
        ("words", NotTheFormat, "line 1 is not JSON"),
        (f"{HEAD}\n{HEAD}", NotTheFormat, "second `whole-run` line"),
        (HEAD + '\n{"kind":"asked"}', NotTheFormat, "line 2: asked.recorded: Field required"),
    ],
)
def test_what_is_no_run_is_refused(tmp_path: Path, text: str, error: type[EvaluationError], said: str) -> None:
    path = tmp_path / "whole.jsonl"
    path.write_text(text)
    with pytest.raises(error, match=said):
        read_whole_run(path)


async def test_a_trajectory_twice_is_refused(
    client: httpx.AsyncClient, recorded: tuple[RecordedTrajectory, ...], tmp_path: Path
) -> None:
    path = tmp_path / "whole.jsonl"
    await ask_all(client, ABOUT, recorded[:1], path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[1]]))
    with pytest.raises(DuplicateId, match="trajectories share the id"):
        read_whole_run(path)
