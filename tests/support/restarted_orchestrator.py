"""An orchestrator process that is stopped, killed and restarted on one database, and its clients."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import Mapping
from typing import Any, NamedTuple

import httpx
from httpx_sse import ServerSentEvent, SSEError, aconnect_sse

from support.orchestrator_process import OrchestratorProcess, orchestrator_process

STOP_S = 20
# Seconds that a stop waits for tool calls; shorter than in production, so that calls which never return cost little.
STOP_GRACE_S = 0.5
# Clients are made often, and reading certificates for each takes longer than anything else here.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Row(NamedTuple):
    """An event with a row in the log."""

    id: int
    event: str
    data: str

    def json(self) -> Any:
        """The data."""
        return json.loads(self.data)


class RestartedOrchestrator:
    """The current process. `http` is a client of it."""

    http: httpx.Client
    _running: OrchestratorProcess

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        self._stack = contextlib.ExitStack()
        self.start()

    @property
    def address(self) -> str:
        """Where it listens; another port after each start."""
        return self._running.address

    def start(self) -> None:
        """Start it."""
        self._running = self._stack.enter_context(orchestrator_process(self._settings, stop_grace_s=STOP_GRACE_S))
        self.http = self._stack.enter_context(httpx.Client(base_url=self.address, timeout=30, verify=NO_TLS))

    def stop(self) -> None:
        """Terminate it and wait for its end."""
        self._running.process.terminate()
        self._running.process.join(STOP_S)
        assert self._running.process.exitcode == 0, f"it ended with {self._running.process.exitcode}"
        self._stack.close()

    def kill(self) -> None:
        """Kill it."""
        self._running.process.kill()
        self._stack.close()

    def close(self) -> None:
        """Kill it if it still runs."""
        self._stack.close()


async def follow(orchestrator: RestartedOrchestrator, trajectory_id: str) -> list[Row]:
    """The rows of a stream that the client resumes after every disconnect."""
    rows: list[Row] = []
    async with httpx.AsyncClient(timeout=30, verify=NO_TLS) as http:
        while not rows or rows[-1].event != "trajectory.finished":
            with contextlib.suppress(httpx.TransportError, SSEError):
                await _follow_once(http, f"{orchestrator.address}/v1/trajectories/{trajectory_id}/events", rows)
            await asyncio.sleep(0.05)
    return rows


async def _follow_once(http: httpx.AsyncClient, address: str, rows: list[Row]) -> None:
    headers = {"Last-Event-ID": str(rows[-1].id)} if rows else {}
    async with aconnect_sse(http, "GET", address, headers=headers) as source:
        async for event in source.aiter_sse():
            if row := row_of(event):
                rows.append(row)


def row_of(event: ServerSentEvent) -> Row | None:
    """The row of an event; None for live text and `reconnect`."""
    if event.event.endswith((".delta", "reconnect")):
        return None
    return Row(int(event.id), event.event, event.data)
