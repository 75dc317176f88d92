"""Wait until every service can answer, and notice at once when one dies instead."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import httpx
from pydantic import ValidationError

from alpha_umi.contract.problems import Problem
from cli.local.processes import lives
from cli.local.state import ServiceRecord

# Three vLLM engines that start together on two cores take about 90 s.
READY_TIMEOUT_S = 600.0
PROBE_TIMEOUT_S = 5.0
POLL_S = 0.2


class ServiceDied(Exception):
    """A service ended before it was ready."""

    def __init__(self, record: ServiceRecord) -> None:
        super().__init__(record.name)
        self.record = record


class NotReadyInTime(Exception):
    """Services that were not ready in time; `states` says what each was doing."""

    def __init__(self, states: dict[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {state}" for name, state in states.items()))
        self.states = states


@dataclass
class Progress:
    """How far one service is. `seconds` counts from the start of waiting until it was ready."""

    record: ServiceRecord
    began: float = field(default_factory=time.monotonic)
    state: str = "starting"
    ready_after: float | None = None

    @property
    def seconds(self) -> float:
        """Until now, or until it was ready."""
        return time.monotonic() - self.began if self.ready_after is None else self.ready_after


OnReady = Callable[[Progress], None]


def wait_until_ready(waiting: Sequence[Progress], *, on_ready: OnReady, timeout_s: float = READY_TIMEOUT_S) -> None:
    """Return when all are ready; `waiting` is kept up to date meanwhile. Raises `ServiceDied`, `NotReadyInTime`."""
    asyncio.run(_wait(waiting, on_ready, timeout_s))


async def _wait(waiting: Sequence[Progress], on_ready: OnReady, timeout_s: float) -> None:
    # Loopback: a proxy of the environment must not be asked.
    async with httpx.AsyncClient(timeout=PROBE_TIMEOUT_S, trust_env=False) as http:
        try:
            async with asyncio.timeout(timeout_s), asyncio.TaskGroup() as watches:
                for progress in waiting:
                    watches.create_task(_watch(progress, http, on_ready))
        except* ServiceDied as deaths:
            raise deaths.exceptions[0] from None
        except* TimeoutError:
            late = {progress.record.name: progress.state for progress in waiting if progress.ready_after is None}
            raise NotReadyInTime(late) from None


async def _watch(progress: Progress, http: httpx.AsyncClient, on_ready: OnReady) -> None:
    while (state := await _state(progress.record, http)) is not None:
        progress.state = state
        if not lives(progress.record.process):
            progress.state = "ended"
            raise ServiceDied(progress.record)
        await asyncio.sleep(POLL_S)
    progress.state = "ready"
    progress.ready_after = progress.seconds
    on_ready(progress)


async def _state(record: ServiceRecord, http: httpx.AsyncClient) -> str | None:
    """What keeps a service from being ready; None when nothing does."""
    try:
        response = await http.get(record.ready_url)
    except httpx.HTTPError:
        return "starting"
    if response.status_code == httpx.codes.OK:
        return None
    try:
        return Problem.model_validate_json(response.content).detail
    except ValidationError:
        return f"not ready (status {response.status_code})"
