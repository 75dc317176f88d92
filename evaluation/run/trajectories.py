"""Run the instructions of a suite on an orchestrator, with tools that this process serves.

The tools need no internet. Computing suites (GSM8K, MATH) use a computing tool (`COMPUTE_TOOLS`), ToolBench's questions
a ToolBench tool server, ToolAlpaca synthetic answers, all others the recorded ones. Trajectories that cannot be
replayed together run in groups, one after another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from fastapi import FastAPI

from alpha_umi.client.errors import Unavailable
from alpha_umi.client.orchestrator import OrchestratorClient
from alpha_umi.contract.trajectories import Strategy
from evaluation.errors import EvaluationError, RunInterrupted
from evaluation.files.trajectory_run import (
    Comparing,
    OnRecord,
    ResumableTrajectoryRun,
    ToolServerRecord,
    TrajectoryRecord,
    TrajectoryRun,
    TrajectoryRunRecord,
    read_trajectory_run,
    resume_trajectory_run,
)
from evaluation.replay.recordings import build_replay, compatible_groups
from evaluation.replay.servers import create_calculator_server, create_python_server, create_replay_server, served
from evaluation.replay.synthetic import create_synthetic_server
from evaluation.replay.virtual import VirtualServer, VirtualTools
from evaluation.run.ask import RunOptions, run_all
from evaluation.run.models import RoleModels
from evaluation.run.tool_source import METADATA_KEY, registered_source
from recordings.errors import EmptySuite
from recordings.formats.toolbench_queries import ToolBenchApi
from recordings.suites.sample import sample_trajectories
from recordings.suites.suite import Suite
from recordings.trajectory import RecordedTrajectory, recorded_calls

RECORDED: Final = "evaluation-recorded"
SYNTHETIC: Final = "evaluation-synthetic"
TOOLBENCH: Final = "evaluation-toolbench"


class NoObservations(EvaluationError):
    """A suite has no observations, so its tools cannot be replayed."""


class NoToolServer(NoObservations):
    """A suite needs a tool server and none is given, or the given one is not needed."""


@dataclass(frozen=True)
class ReplayGroup:
    """Trajectories whose tools one server replays, and the name of its tool source."""

    source: str
    trajectories: Sequence[RecordedTrajectory]
    server: Callable[[], FastAPI]


@dataclass(frozen=True)
class ComputeTool:
    """The tool that a suite computes with, and how its answers are compared with the expected ones."""

    source: str
    server: Callable[[], FastAPI]
    compared: Comparing


# By the loader of the suite.
COMPUTE_TOOLS: Final[Mapping[str, ComputeTool]] = {
    "gsm8k": ComputeTool("evaluation-calculator", create_calculator_server, "last-number"),
    "gsm8k-python": ComputeTool("evaluation-python", create_python_server, "last-number"),
    "math": ComputeTool("evaluation-python", create_python_server, "formula"),
}


@dataclass(frozen=True)
class TrajectoryTask:
    """The trajectories to run, in groups; `about` is the header record of their file."""

    about: TrajectoryRunRecord
    trajectories: Sequence[RecordedTrajectory]
    groups: Sequence[ReplayGroup]
    strategy: Strategy


def plan_trajectories(
    suite: Suite,
    *,
    limit: int | None = None,
    max_steps: int | None = None,
    max_tokens: int | None = None,
    max_repeats: int | None = None,
    strategy: Strategy = "chain",
    models: RoleModels | None = None,
    constrained: bool | None = None,
    virtual: VirtualTools | None = None,
) -> TrajectoryTask:
    """The trajectories of a suite, or a sample of `limit`; `virtual` serves the tools of suites that need a server.

    Raises `EmptySuite`, `NoObservations`.
    """
    require_tools(suite, virtual)
    trajectories = sample_trajectories(suite.trajectories, limit)
    if not trajectories:
        raise EmptySuite(f"the suite {suite.label!r} has no trajectory", remedy="sample at least one")
    compute_tool = COMPUTE_TOOLS.get(suite.definition.loader)
    about = TrajectoryRunRecord(
        suite=suite.label,
        trajectories=len(trajectories),
        max_steps=max_steps,
        max_tokens=max_tokens,
        max_repeats=max_repeats,
        strategy=strategy,
        constrained=constrained,
        compared="text" if compute_tool is None else compute_tool.compared,
        models={} if models is None else models.to_record(),
        excluded=suite.excluded_trajectories,
        tool_server=None if virtual is None else _as_record(virtual.server),
    )
    groups = _groups(compute_tool, trajectories) if virtual is None else _virtual(trajectories, virtual)
    return TrajectoryTask(about, trajectories, groups, strategy)


def require_tools(suite: Suite, virtual: VirtualTools | None = None) -> None:
    """Raises `NoObservations` for a suite whose calls cannot be answered, or not by this server."""
    needed = suite.definition.loader == "toolbench-queries"
    if needed and virtual is None:
        raise NoToolServer(
            f"the suite {suite.label!r} needs a ToolBench tool server", remedy="name it with --tool-server"
        )
    if virtual is not None and not needed:
        raise NoToolServer(
            f"the suite {suite.label!r} needs no tool server: its tools are served here",
            remedy="leave out --tool-server",
        )
    if not needed and suite.definition.loader not in COMPUTE_TOOLS:
        _require_observations(suite)


def _require_observations(suite: Suite) -> None:
    if _has_answer_forms(suite.trajectories):
        return
    recorded = any(True for trajectory in suite.trajectories for _ in recorded_calls(trajectory))
    if suite.definition.loader == "seal-tools" or not recorded:
        raise NoObservations(
            f"the suite {suite.label!r} cannot run as trajectories: its data has the calls, and not their observations",
            remedy="measure its steps with `alpha-umi evaluate generate`, or take a suite with observations",
        )


async def measure_trajectories(
    client: OrchestratorClient,
    task: TrajectoryTask,
    path: Path,
    options: RunOptions,
    *,
    concurrency: int = 4,
    on_result: OnRecord = lambda record: None,
) -> TrajectoryRun:
    """Run every trajectory that has no line in the file at `path`; the complete file.

    Raises what `resume_trajectory_run`, `registered_source` and `run_all` raise, and `RunInterrupted` for a server that
    stayed unavailable; the file can be resumed after any of them.
    """
    with resume_trajectory_run(path, task.about, task.trajectories) as file:
        count = 0

        def pluralize(record: TrajectoryRecord) -> None:
            nonlocal count
            count += 1
            on_result(record)

        for record in file.records:
            pluralize(record)
        try:
            for group in task.groups:
                await _run_group(client, group, file, options, concurrency, pluralize)
        except Unavailable as error:
            progress = f"{path} has {count} of {len(task.trajectories)} trajectories"
            raise RunInterrupted(error.message, progress=progress) from error
    return read_trajectory_run(path)


async def _run_group(
    client: OrchestratorClient,
    group: ReplayGroup,
    file: ResumableTrajectoryRun,
    options: RunOptions,
    concurrency: int,
    on_result: OnRecord,
) -> None:
    existing = {record.recorded for record in file.records}
    if all(trajectory.id in existing for trajectory in group.trajectories):
        return
    with served(group.server()) as address:
        async with registered_source(client, group.source, address):
            marked = replace(options, metadata={METADATA_KEY: group.source})
            await run_all(client, file, group.trajectories, marked, concurrency=concurrency, on_result=on_result)


def _has_answer_forms(trajectories: Sequence[RecordedTrajectory]) -> bool:
    return all(trajectory.answer_forms is not None for trajectory in trajectories)


def _groups(compute_tool: ComputeTool | None, trajectories: Sequence[RecordedTrajectory]) -> list[ReplayGroup]:
    if compute_tool is not None:
        return [ReplayGroup(compute_tool.source, trajectories, compute_tool.server)]
    if _has_answer_forms(trajectories):
        return [
            ReplayGroup(SYNTHETIC, group, lambda group=group: create_synthetic_server(group))  # type: ignore[misc]
            for group in compatible_groups(trajectories)
        ]
    return [
        ReplayGroup(RECORDED, group, lambda group=group: create_replay_server(build_replay(group, calls_needed=False)))  # type: ignore[misc]
        for group in compatible_groups(trajectories)
    ]


def _virtual(trajectories: Sequence[RecordedTrajectory], virtual: VirtualTools) -> list[ReplayGroup]:
    return [
        ReplayGroup(TOOLBENCH, group, lambda group=group: virtual.application(_apis(group)))  # type: ignore[misc]
        for group in compatible_groups(trajectories)
    ]


def _apis(group: Sequence[RecordedTrajectory]) -> list[ToolBenchApi]:
    named = {tool.name: tool for each in group for tool in each.tools if isinstance(tool, ToolBenchApi)}
    return list(named.values())


def _as_record(server: VirtualServer) -> ToolServerRecord:
    return ToolServerRecord(strip=server.strip, max_characters=server.max_characters)
