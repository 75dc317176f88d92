"""Put whole trajectories to a running orchestrator: an instruction with its tools, its answer and its events.

A question is accepted once, under an idempotency key: whatever is lost on the way, it is the same trajectory that is
followed to its end. One that nobody waits for any more is cancelled. One that failed because a role service was away,
or met its tools away, says nothing about the models, and is asked again when the service is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import httpx
from pydantic import ValidationError

from alpha_umi.contract.trajectories import Strategy, Trajectory
from evaluation.errors import EvaluationError, ServiceAway
from evaluation.orchestrator import AT_ONCE, OrchestratorRefused, follow, read, ready, send
from evaluation.patience import Patience
from evaluation.whole import ToldEvent
from recordings.trajectory import RecordedTrajectory

LEAVING_S = 5
ATTEMPTS = 3


@dataclass(frozen=True)
class Asked:
    """What became of an instruction. `recorded` is the id of the trajectory that it was taken from."""

    recorded: str
    trajectory: Trajectory
    events: tuple[ToldEvent, ...]


class DistantTools(Protocol):
    """Tools that are somewhere else, and may be away."""

    def lost(self, trajectory: Trajectory) -> bool:
        """Whether a trajectory met them away, so that it says nothing about the models."""

    async def ready(self, patience: Patience) -> None:
        """Wait until they are there. Raises `ServiceAway`, or another `EvaluationError` if that is no use."""


@dataclass(frozen=True)
class Asking:
    """How questions are put. `run` keeps those of one run apart from those of others, `marks` are their metadata."""

    strategy: Strategy = "chain"
    max_steps: int | None = None
    max_tokens: int | None = None
    patience: Patience = AT_ONCE
    max_repeats: int | None = None
    marks: Mapping[str, str] = field(default_factory=dict)
    run: str = field(default_factory=lambda: uuid.uuid4().hex)
    tools: DistantTools | None = None


async def ask(client: httpx.AsyncClient, recorded: RecordedTrajectory, asking: Asking | None = None) -> Asked:
    """Ask the orchestrator behind `client` for a recorded instruction, with the tools that were on offer then.

    They have to be registered there. Raises `OrchestratorRefused`, `ServiceAway`.
    """
    asking = asking or Asking()
    attempt = 0
    while True:
        asked = await _ask(client, recorded, asking, attempt)
        attempt += 1
        if asking.tools is not None and asking.tools.lost(asked.trajectory):
            await _wait_for(asking.tools, recorded, asking.patience, last=attempt == ATTEMPTS)
            continue
        if asked.trajectory.status != "failed" or attempt == ATTEMPTS or await _is_ready(client):
            return asked
        await ready(client, patience=asking.patience)


async def _wait_for(tools: DistantTools, recorded: RecordedTrajectory, patience: Patience, *, last: bool) -> None:
    await tools.ready(patience)
    if last:
        raise ServiceAway(
            f"trajectory {recorded.id!r} met its tools away {ATTEMPTS} times, although they answer in between",
            remedy="ask for fewer at a time, or see what the tool server says",
        )


async def _ask(client: httpx.AsyncClient, recorded: RecordedTrajectory, asking: Asking, attempt: int) -> Asked:
    try:
        trajectory_id = await _accepted(client, recorded, asking, attempt)
    except OrchestratorRefused as error:
        raise OrchestratorRefused(
            f"trajectory {recorded.id!r} was not answered: {error.message}",
            remedy=error.remedy or "see that its tools are registered with the orchestrator",
            kind=error.kind,
        ) from error
    try:
        told = await follow(client, trajectory_id, patience=asking.patience)
    except asyncio.CancelledError:
        await _cancel(client, trajectory_id)
        raise
    return Asked(recorded.id, _trajectory(recorded, told.last), tuple(told.events))


async def _accepted(client: httpx.AsyncClient, recorded: RecordedTrajectory, asking: Asking, attempt: int) -> str:
    """The id of the trajectory; it is followed apart, so that it is known from the beginning."""
    question = {
        "instruction": recorded.instruction,
        "tools": [tool.prompt_name for tool in recorded.tools],
        "strategy": asking.strategy,
        "background": True,
        "metadata": dict(asking.marks),
    }
    wanted = {"max_steps": asking.max_steps, "max_tokens": asking.max_tokens, "max_repeats": asking.max_repeats}
    limits = {name: bound for name, bound in wanted.items() if bound is not None}
    key = hashlib.sha256(f"{asking.run} {attempt} {recorded.id}".encode("utf-8", "surrogatepass")).hexdigest()
    accepted = await read(
        Trajectory,
        client,
        "POST",
        "/v1/trajectories",
        patience=asking.patience,
        json=question | limits,
        headers={"Idempotency-Key": key},
    )
    return accepted.id


async def _is_ready(client: httpx.AsyncClient) -> bool:
    try:
        await ready(client)
    except ServiceAway:
        return False
    return True


async def _cancel(client: httpx.AsyncClient, trajectory_id: str) -> None:
    with contextlib.suppress(EvaluationError, TimeoutError):
        async with asyncio.timeout(LEAVING_S):
            await send(client, "POST", f"/v1/trajectories/{trajectory_id}/cancel")


def _trajectory(recorded: RecordedTrajectory, data: str) -> Trajectory:
    try:
        return Trajectory.model_validate_json(data)
    except ValidationError as error:
        raise OrchestratorRefused(
            f"trajectory {recorded.id!r}: what the orchestrator says of its end cannot be read",
            remedy="use an orchestrator of the same version",
        ) from error
