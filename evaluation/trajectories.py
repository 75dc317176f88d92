"""Measure whole trajectories: the instructions of a suite, put to a running orchestrator with tools of ours.

The tools answer without the internet: what a suite computes with is served as it is (`COMPUTING`), everything else
answers as it was recorded, but ToolBench's questions, which have a server of ToolBench's tools, and ToolAlpaca's, whose
answers are made up. Trajectories that cannot be replayed together go in groups, one after another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import httpx
from fastapi import FastAPI

from alpha_umi.contract.trajectories import Strategy
from evaluation.asked_models import AskedModels
from evaluation.asking import Asking
from evaluation.errors import EmptySuite, EvaluationError, ServiceAway
from evaluation.replay.recordings import build_replay, compatible_groups
from evaluation.replay.servers import create_calculator_server, create_python_server, create_replay_server, served
from evaluation.replay.synthetic import create_synthetic_server
from evaluation.replay.virtual import VirtualServer, VirtualTools
from evaluation.suites.recorded import RecordedTrajectory, recorded_calls
from evaluation.suites.sample import sample_trajectories
from evaluation.suites.suite import Suite
from evaluation.suites.toolbench_api import ToolBenchApi
from evaluation.tool_source import MARK, registered
from evaluation.whole_run import (
    AskedRecord,
    Comparing,
    GrowingWholeRun,
    OnAsked,
    ToolServerRecord,
    WholeRun,
    WholeRunRecord,
    ask_all,
    growing_whole_run,
    read_whole_run,
)

RECORDED: Final = "evaluation-recorded"
MADE_UP: Final = "evaluation-made-up"
TOOLBENCH: Final = "evaluation-toolbench"


class NoObservations(EvaluationError):
    """A suite does not know what its tools answered, so nothing can answer for them."""


class NoToolServer(NoObservations):
    """A suite needs a tool server that was not named, or none that was."""


@dataclass(frozen=True)
class Group:
    """Trajectories that one tool server answers, and the name of its source."""

    source: str
    trajectories: Sequence[RecordedTrajectory]
    server: Callable[[], FastAPI]


@dataclass(frozen=True)
class Computing:
    """The tool that a suite computes with, and how its answers are held against the expected ones."""

    source: str
    server: Callable[[], FastAPI]
    compared: Comparing


# By the loader of the suite.
COMPUTING: Final[Mapping[str, Computing]] = {
    "gsm8k": Computing("evaluation-calculator", create_calculator_server, "last-number"),
    "gsm8k-python": Computing("evaluation-python", create_python_server, "last-number"),
    "math": Computing("evaluation-python", create_python_server, "formula"),
}


@dataclass(frozen=True)
class WholeTask:
    """What is asked."""

    about: WholeRunRecord
    trajectories: Sequence[RecordedTrajectory]
    groups: Sequence[Group]
    strategy: Strategy


def plan_whole(
    suite: Suite,
    *,
    limit: int | None = None,
    max_steps: int | None = None,
    max_tokens: int | None = None,
    max_repeats: int | None = None,
    strategy: Strategy = "chain",
    models: AskedModels | None = None,
    constrained: bool | None = None,
    virtual: VirtualTools | None = None,
) -> WholeTask:
    """What there is to do: the trajectories of a suite, or `limit` of them, where needed with a server's tools.

    Raises `EmptySuite`, `NoObservations`.
    """
    require_tools(suite, virtual)
    trajectories = sample_trajectories(suite.trajectories, limit)
    if not trajectories:
        raise EmptySuite(f"the suite {suite.label!r} has no trajectory to ask", remedy="ask for at least one")
    computing = COMPUTING.get(suite.definition.loader)
    about = WholeRunRecord(
        suite=suite.label,
        trajectories=len(trajectories),
        max_steps=max_steps,
        max_tokens=max_tokens,
        max_repeats=max_repeats,
        strategy=strategy,
        constrained=constrained,
        compared="text" if computing is None else computing.compared,
        models={} if models is None else models.kept(),
        left_out=suite.trajectories_left_out,
        tool_server=None if virtual is None else _as_record(virtual.server),
    )
    groups = _groups(computing, trajectories) if virtual is None else _virtual(trajectories, virtual)
    return WholeTask(about, trajectories, groups, strategy)


def require_tools(suite: Suite, virtual: VirtualTools | None = None) -> None:
    """Raises `NoObservations` for a suite whose calls nothing can answer, or not with this server."""
    needed = suite.definition.loader == "toolbench-queries"
    if needed and virtual is None:
        raise NoToolServer(
            f"the suite {suite.label!r} needs a server of ToolBench's tools", remedy="name it with --tool-server"
        )
    if virtual is not None and not needed:
        raise NoToolServer(
            f"the suite {suite.label!r} does not ask a tool server: its tools are served here",
            remedy="leave --tool-server away",
        )
    if not needed and suite.definition.loader not in COMPUTING:
        _require_observations(suite)


def _require_observations(suite: Suite) -> None:
    if _has_procedures(suite.trajectories):
        return
    recorded = any(True for trajectory in suite.trajectories for _ in recorded_calls(trajectory))
    if suite.definition.loader == "seal-tools" or not recorded:
        raise NoObservations(
            f"the suite {suite.label!r} cannot be gone through as whole trajectories: its data says which calls are "
            "needed, and not what they brought",
            remedy="measure its steps with `alpha-umi evaluate generate`, or take a suite with observations",
        )


async def measure_whole(
    client: httpx.AsyncClient,
    task: WholeTask,
    path: Path,
    asking: Asking,
    *,
    concurrency: int = 4,
    on_asked: OnAsked = lambda record: None,
) -> WholeRun:
    """Ask for every trajectory that has no line in the file at `path`; the whole file.

    Raises what `growing_whole_run`, `registered` and `ask_all` raise; the file can be taken up after any of them.
    """
    with growing_whole_run(path, task.about, task.trajectories) as file:
        for record in file.asked:
            on_asked(record)
        written = _Counted(len(file.asked), on_asked)
        try:
            for group in task.groups:
                await _ask_group(client, group, file, asking, concurrency, written)
        except ServiceAway as error:
            raise ServiceAway(
                f"{error.message}; {path} has {written.count} of {len(task.trajectories)} trajectories",
                remedy="run the same command again when it is back: it goes on from there",
            ) from error
    return read_whole_run(path)


class _Counted:
    """Counts the lines, and passes them on."""

    def __init__(self, count: int, on_asked: OnAsked) -> None:
        self.count = count
        self._on_asked = on_asked

    def __call__(self, record: AskedRecord) -> None:
        self.count += 1
        self._on_asked(record)


async def _ask_group(
    client: httpx.AsyncClient, group: Group, file: GrowingWholeRun, asking: Asking, concurrency: int, written: OnAsked
) -> None:
    there = {record.recorded for record in file.asked}
    if all(trajectory.id in there for trajectory in group.trajectories):
        return
    with served(group.server()) as address:
        async with registered(client, group.source, address, patience=asking.patience):
            marked = replace(asking, marks={MARK: group.source})
            await ask_all(client, file, group.trajectories, marked, concurrency=concurrency, on_asked=written)


def _has_procedures(trajectories: Sequence[RecordedTrajectory]) -> bool:
    return all(trajectory.procedure is not None for trajectory in trajectories)


def _groups(computing: Computing | None, trajectories: Sequence[RecordedTrajectory]) -> list[Group]:
    if computing is not None:
        return [Group(computing.source, trajectories, computing.server)]
    if _has_procedures(trajectories):
        return [
            Group(MADE_UP, group, lambda group=group: create_synthetic_server(group))  # type: ignore[misc]
            for group in compatible_groups(trajectories)
        ]
    return [
        Group(RECORDED, group, lambda group=group: create_replay_server(build_replay(group, calls_needed=False)))  # type: ignore[misc]
        for group in compatible_groups(trajectories)
    ]


def _virtual(trajectories: Sequence[RecordedTrajectory], virtual: VirtualTools) -> list[Group]:
    return [
        Group(TOOLBENCH, group, lambda group=group: virtual.application(_apis(group)))  # type: ignore[misc]
        for group in compatible_groups(trajectories)
    ]


def _apis(group: Sequence[RecordedTrajectory]) -> list[ToolBenchApi]:
    named = {tool.name: tool for each in group for tool in each.tools if isinstance(tool, ToolBenchApi)}
    return list(named.values())


def _as_record(server: VirtualServer) -> ToolServerRecord:
    return ToolServerRecord(strip=server.strip, max_characters=server.max_characters)
