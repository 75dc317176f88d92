"""Put whole trajectories to a running orchestrator: an instruction with its tools, its answer and its events."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus

import httpx
from httpx_sse import aconnect_sse

from alpha_umi.contract.trajectories import Trajectory
from evaluation.errors import EvaluationError
from evaluation.suites.recorded import RecordedTrajectory
from evaluation.whole import ToldEvent

LAST = "trajectory.finished"


class OrchestratorRefused(EvaluationError):
    """The orchestrator did not take the question, or cannot be reached."""


@dataclass(frozen=True)
class Asked:
    """What became of an instruction. `recorded` is the id of the trajectory that it was taken from."""

    recorded: str
    trajectory: Trajectory
    events: tuple[ToldEvent, ...]


async def ask(client: httpx.AsyncClient, recorded: RecordedTrajectory, *, max_steps: int | None = None) -> Asked:
    """Ask the orchestrator behind `client` for a recorded instruction, with the tools that were on offer then.

    They have to be registered there. Raises `OrchestratorRefused`.
    """
    question = {"instruction": recorded.instruction, "tools": [tool.shown_name for tool in recorded.tools]}
    limits = {} if max_steps is None else {"max_steps": max_steps}
    try:
        created = await client.post("/v1/trajectories", json=question | limits)
        if created.status_code != HTTPStatus.OK:
            raise _refused(recorded, created.text)
        trajectory = Trajectory.model_validate_json(created.content)
        return Asked(recorded.id, trajectory, await _events(client, trajectory.id))
    except httpx.HTTPError as error:
        raise _refused(recorded, f"{type(error).__name__}: {error}") from error


async def _events(client: httpx.AsyncClient, trajectory_id: str) -> tuple[ToldEvent, ...]:
    events = []
    async with aconnect_sse(client, "GET", f"/v1/trajectories/{trajectory_id}/events") as source:
        async for event in source.aiter_sse():
            events.append(ToldEvent(event.event, json.loads(event.data)))
            if event.event == LAST:
                break
    return tuple(events)


def _refused(recorded: RecordedTrajectory, reason: str) -> OrchestratorRefused:
    return OrchestratorRefused(
        f"trajectory {recorded.id!r} was not answered: {reason[:500]}",
        remedy="see that the orchestrator runs, and that the tools are registered with it",
    )
