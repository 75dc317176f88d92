"""The trajectory run file: a real orchestrator with a calculator; only the language models are scripted."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.generated_suites import NAME, sums
from support.serving_on_loopback import Serve
from support.synthetic_trajectories import trajectory_run, written
from support.system import Roles, orchestrated
from support.trajectory_suites import computing

from alpha_umi.client.errors import Unavailable
from alpha_umi.client.orchestrator import OrchestratorClient
from alpha_umi.contract.roles import ToolModel
from alpha_umi.roles.turns import Tool
from evaluation.errors import OtherVersion
from evaluation.files.jsonl import OtherRun
from evaluation.files.step_run import read_run
from evaluation.files.trajectory_run import (
    TrajectoryRecord,
    TrajectoryRun,
    TrajectoryRunRecord,
    read_trajectory_run,
    resume_trajectory_run,
)
from evaluation.metrics.trajectory import summarize
from evaluation.replay.servers import create_calculator_server
from evaluation.reporting.inputs import BootstrapOptions, read_runs
from evaluation.run.ask import RunOptions, run_all
from recordings.errors import CutShort, DataError, DuplicateId, EmptySuite, NotTheFormat
from recordings.trajectory import RecordedTrajectory

ABOUT = TrajectoryRunRecord(suite=NAME, trajectories=4, max_steps=4, compared="last-number")
OPTIONS = RunOptions(max_steps=4)


@pytest.fixture
def recorded(tmp_path: Path) -> tuple[RecordedTrajectory, ...]:
    return sums(tmp_path, 4).trajectories


@pytest.fixture
async def client(serve: Serve, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A real orchestrator that has a calculator."""
    address = serve(computing().application())
    calculator = serve(create_calculator_server())
    async with orchestrated(Roles(address, address, address, {}), calculator, tmp_path) as asking:
        yield asking


async def run_recorded(
    client: httpx.AsyncClient, recorded: tuple[RecordedTrajectory, ...], path: Path, about: TrajectoryRunRecord = ABOUT
) -> TrajectoryRun:
    with resume_trajectory_run(path, about, recorded) as file:
        async with OrchestratorClient(str(client.base_url)) as orchestrator:
            await run_all(orchestrator, file, recorded, OPTIONS, concurrency=2)
    return read_trajectory_run(path)


async def test_trajectories_run_and_are_stored_and_measured(
    client: httpx.AsyncClient, recorded: tuple[RecordedTrajectory, ...], tmp_path: Path
) -> None:
    path = tmp_path / "trajectories.jsonl"
    run = await run_recorded(client, recorded, path)
    assert {record.recorded for record in run.records} == {trajectory.id for trajectory in recorded}
    figures = {figure.name: figure for figure in summarize(run.measured())}
    assert (figures["right"].value, figures["right"].n, figures["steps"].value) == (0.75, 4, 2)
    assert figures["planner.calls"].value == 2
    # Two lines were cut off, one of them in its middle. Trajectories of one run are the same when they run again.
    head, tool, *lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(head + tool + b"".join(lines[:2]) + lines[2][:50])
    again = await run_recorded(client, recorded, path)
    assert again.records[:2] == run.records[:2]
    assert {record.trajectory.id for record in again.records} == {record.trajectory.id for record in run.records}
    with pytest.raises(OtherRun, match="its `max_steps` is 4, and now it would be 5"):
        await run_recorded(client, recorded, path, ABOUT.model_copy(update={"max_steps": 5}))
    with pytest.raises(OtherRun, match="other `models` than there are now"):
        await run_recorded(client, recorded, path, ABOUT.model_copy(update={"models": {"planner": {"id": "another"}}}))
    with pytest.raises(OtherRun, match="has trajectories that are not in the suite"):
        await run_recorded(client, recorded[:1], path)
    assert read_trajectory_run(path) == again


async def test_tools_are_stored_once_as_they_were_offered(
    client: httpx.AsyncClient, recorded: tuple[RecordedTrajectory, ...], tmp_path: Path
) -> None:
    path = tmp_path / "trajectories.jsonl"
    run = await run_recorded(client, recorded[:2], path)
    (registered,) = (await client.get("/v1/tools")).json()["data"]
    shown = {name: registered[name] for name in ("name", "description", "parameters")}
    assert [run.offered(record) for record in run.records] == [(Tool(**shown),)] * 2
    head, tool, *lines = path.read_text().splitlines()
    assert json.loads(tool) == {"kind": "tool", "id": 1, "tool": shown}
    # An earlier version wrote two trajectories without their tools; those that run now have them.
    before = [{**json.loads(line), "offered": None} for line in lines]
    del before[0]["offered"]
    path.write_text("".join(f"{line}\n" for line in (head, *map(json.dumps, before))))
    older = await run_recorded(client, recorded, path)
    assert [older.offered(record) is None for record in older.records] == [True, True, False, False]
    assert path.read_text().count('"kind":"tool"') == 1
    # Tools of one name are told apart.
    with resume_trajectory_run(path, ABOUT, recorded) as file:
        other = ToolModel(name=registered["name"], description="Another.", parameters={})
        written = file.append(older.records[0].model_copy(update={"recorded": recorded[0].id}), {other.name: other})
    assert written.offered == [2]


async def test_a_tool_without_a_line_is_refused(
    client: httpx.AsyncClient, recorded: tuple[RecordedTrajectory, ...], tmp_path: Path
) -> None:
    path = tmp_path / "trajectories.jsonl"
    await run_recorded(client, recorded[:1], path)
    head, tool, line = path.read_text().splitlines(keepends=True)
    path.write_text(head + line)
    with pytest.raises(NotTheFormat, match="offered tools that have no line: '1'"):
        read_trajectory_run(path)
    path.write_text(head + tool + tool + line)
    with pytest.raises(DuplicateId, match="tools share the id"):
        read_trajectory_run(path)
    path.write_text(tool + line)
    with pytest.raises(NotTheFormat, match="does not begin with a `trajectory-run` line"):
        read_trajectory_run(path)


async def test_an_orchestrator_that_is_not_there_leaves_a_file_that_can_go_on(
    recorded: tuple[RecordedTrajectory, ...], tmp_path: Path, free_port: int
) -> None:
    path = tmp_path / "trajectories.jsonl"
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{free_port}") as nobody:
        with pytest.raises(Unavailable, match=f"127.0.0.1:{free_port} is unavailable: ConnectError"):
            await run_recorded(nobody, recorded, path)
    assert read_trajectory_run(path).records == ()


HEAD = ABOUT.model_dump_json()


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", EmptySuite, "is empty"),
        (HEAD[:-5], CutShort, "line 1 ends in the middle"),
        ("words", NotTheFormat, "line 1 is not JSON"),
        (f"{HEAD}\n{HEAD}", NotTheFormat, "second `trajectory-run` line"),
        (HEAD + '\n{"kind":"trajectory"}', NotTheFormat, "line 2: trajectory.recorded: Field required"),
    ],
)
def test_what_is_no_run_is_refused(tmp_path: Path, text: str, error: type[DataError], message: str) -> None:
    path = tmp_path / "trajectories.jsonl"
    path.write_text(text)
    with pytest.raises(error, match=message):
        read_trajectory_run(path)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        (HEAD[:-5], "resumes after the last complete line"),
        (HEAD[:-5] + "\n", "make the file again"),
        (HEAD + '\n{"kind":"trajectory","recorded":', "resumes after the last complete line"),
        (HEAD + '\n{"kind":"trajectory","recorded":\n', "remove this line"),
    ],
)
def test_the_remedy_for_a_cut_line_leads_on(tmp_path: Path, text: str, remedy: str) -> None:
    path = tmp_path / "trajectories.jsonl"
    path.write_text(text)
    with pytest.raises(CutShort) as refused:
        read_trajectory_run(path)
    assert remedy in (refused.value.remedy or "")
    assert "alpha-umi evaluate trajectories" in (refused.value.remedy or "")


@pytest.mark.parametrize("kind", ["run", "case", "prediction"])
def test_predictions_are_known_as_such(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text(f'{{"kind":"{kind}","id":"a/1"}}\n')
    with pytest.raises(NotTheFormat, match="is a file of predictions for steps") as refused:
        read_trajectory_run(path)
    assert "without --format" in (refused.value.remedy or "")


async def test_a_trajectory_twice_is_refused(
    client: httpx.AsyncClient, recorded: tuple[RecordedTrajectory, ...], tmp_path: Path
) -> None:
    path = tmp_path / "trajectories.jsonl"
    await run_recorded(client, recorded[:1], path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[2]]))
    with pytest.raises(DuplicateId, match="trajectories share the id"):
        read_trajectory_run(path)
    path.write_text("\n".join([lines[0].replace('"trajectories":4', '"trajectories":0'), *lines[1:]]))
    with pytest.raises(NotTheFormat, match="has 1 trajectory, its header has 0"):
        read_trajectory_run(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda events: events[1:], r"event 1 \(planner.decided\) does not follow from those before it"),
        (lambda events: [*events, events[0]], "does not follow from those before it"),
        (
            lambda events: [events[0], {"type": "planner.dreamt"}],
            r"line 2: trajectory\.events\.1: .*'planner.dreamt'.*expected tags",
        ),
        (lambda events: [events[0] | {"mood": "good"}], r"events\.0\.trajectory\.created\.mood: Unexpected keyword"),
        (lambda events: [events[0] | {"instruction": 5}], r"events\.0\.trajectory\.created\.instruction: "),
    ],
)
def test_events_that_make_no_trajectory_are_refused(tmp_path: Path, change: Any, message: str) -> None:
    head, line = written(trajectory_run([True])).splitlines()
    record = json.loads(line)
    (tmp_path / "run").write_text(f"{head}\n{json.dumps(record | {'events': change(record['events'])})}\n")
    with pytest.raises(NotTheFormat, match=message) as refused:
        read_trajectory_run(tmp_path / "run")
    assert refused.value.remedy


def test_a_file_holds_each_event_once_and_reads_back() -> None:
    (record,) = trajectory_run([True]).records
    assert "steps" not in json.loads(record.model_dump_json())
    again = TrajectoryRecord.model_validate_json(record.model_dump_json())
    assert (again.events, again.trajectory) == (record.events, record.trajectory)


def test_events_that_lead_elsewhere_are_no_record_of_a_trajectory() -> None:
    (record,) = trajectory_run([True]).records
    assert TrajectoryRecord.of(record.trajectory, record.events, "q0", "3") == record
    other = record.trajectory.model_copy(update={"answer": "4"})
    with pytest.raises(ValueError, match="lead to other answer than it has"):
        TrajectoryRecord.of(other, record.events, "q0", "3")


def test_a_file_of_version_1_is_refused_as_such(tmp_path: Path) -> None:
    """Its records had other kinds."""
    path = tmp_path / "run.jsonl"
    path.write_text('{"kind":"whole-run","version":1,"suite":"shop","trajectories":1}\n')
    for read in (read_trajectory_run, lambda path: read_runs([path], BootstrapOptions(100))):
        with pytest.raises(OtherVersion, match="is of version 1, and this program reads version 2") as refused:
            read(path)
        assert "make it again" in (refused.value.remedy or "")
    with pytest.raises(NotTheFormat, match="is a file of trajectories"):
        read_run(path)
