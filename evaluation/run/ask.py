"""Run recorded instructions on an orchestrator, and collect the trajectories with their events.

A trajectory is created once, under an idempotency key, and followed to its end through restarts of the orchestrator. It
is cancelled when the run is. A failure because a role service or tools were unavailable is not a result of the models:
the trajectory runs again when they are ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from pydantic import ValidationError

from alpha_umi.client.errors import ClientError, InvalidResponse, RequestRefused, Unavailable
from alpha_umi.client.orchestrator import OrchestratorClient
from alpha_umi.client.retry import RetryPolicy
from alpha_umi.contract.roles import ToolModel
from alpha_umi.contract.stream_events import EventNotUnderstood, StreamEvent, machine_events, read_stream_event
from alpha_umi.contract.trajectories import CreateTrajectory, Strategy, ToolInfo, Trajectory
from alpha_umi.contract.validation import explain
from alpha_umi.trajectory import Event
from evaluation.concurrency import run_concurrently
from evaluation.errors import EvaluationError
from evaluation.files.trajectory_run import OnRecord, ResumableTrajectoryRun, TrajectoryRecord
from recordings.trajectory import RecordedTrajectory

CANCEL_TIMEOUT_S: Final = 5
ATTEMPTS: Final = 3
_SAME_VERSION: Final = "use an orchestrator of the same version"


class InvalidInstruction(EvaluationError):
    """A recorded instruction cannot be sent to an orchestrator."""


@dataclass(frozen=True)
class RunResult:
    """The trajectory of a recorded instruction. `recorded` is the id of the trajectory that it was taken from."""

    recorded: str
    trajectory: Trajectory
    events: tuple[Event, ...]


class RemoteTools(Protocol):
    """Tools of a server that may be unavailable."""

    def lost(self, trajectory: Trajectory) -> bool:
        """Whether a call of a trajectory failed because the server was unavailable."""

    async def ready(self, policy: RetryPolicy) -> None:
        """Wait until the server is available. Raises `Unavailable`, or an `EvaluationError` if a wait cannot help."""


@dataclass(frozen=True)
class RunOptions:
    """Limits and strategy of the trajectories. Limits that are None are the orchestrator's.

    `run` separates the idempotency keys of one run from those of others.
    """

    strategy: Strategy = "chain"
    max_steps: int | None = None
    max_tokens: int | None = None
    max_repeats: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    run: str = field(default_factory=lambda: uuid.uuid4().hex)
    tools: RemoteTools | None = None


async def run_all(
    client: OrchestratorClient,
    file: ResumableTrajectoryRun,
    recorded: Iterable[RecordedTrajectory],
    options: RunOptions,
    *,
    concurrency: int = 4,
    on_result: OnRecord = lambda record: None,
) -> None:
    """Run every recorded trajectory that has no line in the file, and write one for each.

    Raises `ClientError` and `FileUnwritable`; the file can be resumed after any of them.
    """
    existing = {record.recorded for record in file.records}
    remaining = [trajectory for trajectory in recorded if trajectory.id not in existing]
    if not remaining:
        return
    tools = dict(_usable((await client.tools()).data))

    async def run(trajectory: RecordedTrajectory) -> None:
        result = await run_trajectory(client, trajectory, options)
        on_result(file.append(_record(result, trajectory.answer), tools))

    await run_concurrently(remaining, run, concurrency)


async def run_trajectory(
    client: OrchestratorClient, recorded: RecordedTrajectory, options: RunOptions | None = None
) -> RunResult:
    """Run a recorded instruction with the tools that it was recorded with, which have to be registered.

    Raises `ClientError`, `InvalidInstruction`.
    """
    options = options or RunOptions()
    attempt = 0
    while True:
        result = await _run_once(client, recorded, options, attempt)
        attempt += 1
        if options.tools is not None and options.tools.lost(result.trajectory):
            await _wait_for(options.tools, recorded, client.retry, last=attempt == ATTEMPTS)
            continue
        if result.trajectory.status != "failed" or attempt == ATTEMPTS or await _is_ready(client):
            return result
        await client.ready()


async def _wait_for(tools: RemoteTools, recorded: RecordedTrajectory, policy: RetryPolicy, *, last: bool) -> None:
    await tools.ready(policy)
    if last:
        raise Unavailable(
            f"the tools of trajectory {recorded.id!r} were unavailable {ATTEMPTS} times, although their server answers "
            "in between",
            remedy="run fewer trajectories at a time, or read the log of the tool server",
        )


async def _run_once(
    client: OrchestratorClient, recorded: RecordedTrajectory, options: RunOptions, attempt: int
) -> RunResult:
    key = hashlib.sha256(f"{options.run} {attempt} {recorded.id}".encode("utf-8", "surrogatepass")).hexdigest()
    try:
        created = await client.create(_request(recorded, options), idempotency_key=key)
    except RequestRefused as error:
        raise RequestRefused(
            error.problem,
            message=f"trajectory {recorded.id!r} was not created: {error.message}",
            remedy=error.remedy or "register its tools with the orchestrator",
        ) from error
    try:
        return await _followed(client, recorded, created.id)
    except asyncio.CancelledError:
        await _cancel(client, created.id)
        raise


def _request(recorded: RecordedTrajectory, options: RunOptions) -> CreateTrajectory:
    try:
        return CreateTrajectory(
            instruction=recorded.instruction,
            tools=[tool.prompt_name for tool in recorded.tools],
            strategy=options.strategy,
            max_steps=options.max_steps,
            max_tokens=options.max_tokens,
            max_repeats=options.max_repeats,
            metadata=dict(options.metadata),
        )
    except ValidationError as error:
        raise InvalidInstruction(
            f"trajectory {recorded.id!r} cannot be sent: {explain(error, at='the body')}",
            remedy="correct it in the suite",
        ) from error


async def _followed(client: OrchestratorClient, recorded: RecordedTrajectory, trajectory_id: str) -> RunResult:
    stream: list[StreamEvent] = []
    async with contextlib.aclosing(client.follow(trajectory_id)) as events:
        async for event in events:
            try:
                stream.append(read_stream_event(event.event, event.data, event.id))
                if (trajectory := stream[-1].context.trajectory) is not None:
                    return RunResult(recorded.id, trajectory, tuple(machine_events(stream)))
            except EventNotUnderstood as error:
                raise InvalidResponse(f"trajectory {recorded.id!r}: {error}", remedy=_SAME_VERSION) from error
    raise AssertionError("a stream ends with its trajectory, or with an error")


def _record(result: RunResult, expected: str | None) -> TrajectoryRecord:
    try:
        return TrajectoryRecord.of(result.trajectory, result.events, result.recorded, expected)
    except ValueError as error:
        what = f"trajectory {result.recorded!r} cannot be recorded: {error}"
        raise InvalidResponse(what, remedy=_SAME_VERSION) from error


def _usable(tools: Iterable[ToolInfo]) -> Iterator[tuple[str, ToolModel]]:
    """The tools by name, without those that no role service accepts: no trajectory here has them."""
    for tool in tools:
        with contextlib.suppress(ValidationError):
            yield tool.name, ToolModel(name=tool.name, description=tool.description, parameters=tool.parameters)


async def _is_ready(client: OrchestratorClient) -> bool:
    try:
        await client.without_retry().ready()
    except Unavailable:
        return False
    return True


async def _cancel(client: OrchestratorClient, trajectory_id: str) -> None:
    with contextlib.suppress(ClientError, TimeoutError):
        async with asyncio.timeout(CANCEL_TIMEOUT_S):
            await client.without_retry().cancel(trajectory_id)
