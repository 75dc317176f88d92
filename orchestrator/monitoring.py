"""Readiness (`/readyz`), and the Prometheus gauges that are sampled at scrape time."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from alpha_umi.contract.problems import ServiceError
from alpha_umi.roles.turns import Role
from orchestrator.log import LogWriter
from orchestrator.roles.replicas import READY, ReplicaSet, ReplicaState
from orchestrator.runs.manager import RunManager
from orchestrator.store import EventStore, StoreError
from orchestrator.tools.sources import ToolSources

# How long the check of the event log counts, in seconds, so that probes do not load it.
STORE_CACHED_S = 1.0


class Readiness:
    """Checks all role replicas and the event log. A role is ready while one of its replicas is.

    The answer includes `constrained`, whether roles generate inside grammars, because evaluations record it.
    """

    def __init__(
        self,
        runs: RunManager,
        store: EventStore,
        log_writer: LogWriter,
        roles: Mapping[Role, ReplicaSet],
        *,
        constrained: bool,
    ) -> None:
        self._runs = runs
        self._store = store
        self._log_writer = log_writer
        self._roles = roles
        self._constrained = constrained
        self._checking = asyncio.Lock()
        self._checked_at = -math.inf
        self._store_obstacle: str | None = None

    async def __call__(self) -> dict[str, Any]:
        """Details for the answer. Raises `ServiceError` naming what is not ready."""
        self._runs.require_open()
        await self._check_store()
        checked = await asyncio.gather(*(replicas.check() for replicas in self._roles.values()))
        replicas = dict(zip(self._roles, checked, strict=True))
        roles = {role: _summary(states) for role, states in replicas.items()}
        details = {"roles": roles, "replicas": {role: _details(states) for role, states in replicas.items()}}
        obstacles = [state for state in roles.values() if state != READY]
        if obstacles:
            raise ServiceError("role-unavailable", "; ".join(obstacles), extra=details)
        return {**details, "storage": READY, "constrained": self._constrained}

    async def _check_store(self) -> None:
        if self._log_writer.pending_appends:
            raise ServiceError(
                "storage-unavailable", f"{self._log_writer.pending_appends} appends wait for the event log"
            )
        async with self._checking:
            if time.monotonic() - self._checked_at >= STORE_CACHED_S:
                self._store_obstacle = await self._obstacle_of_store()
                self._checked_at = time.monotonic()
            if self._store_obstacle is not None:
                raise ServiceError("storage-unavailable", self._store_obstacle)

    async def _obstacle_of_store(self) -> str | None:
        try:
            await self._store.check_writable()
        except StoreError as error:
            return str(error)
        return None


def _summary(states: Sequence[ReplicaState]) -> str:
    if any(state.is_ready for state in states):
        return READY
    return "; ".join(
        f"{state.state}, circuit {state.circuit}" if state.state == READY else state.state for state in states
    )


def _details(states: Sequence[ReplicaState]) -> dict[str, Any]:
    return {state.name: {"state": state.state, "circuit": state.circuit} for state in states}


class StateCollector(Collector):
    """Running trajectories, blocked appends, and tool sources by status."""

    def __init__(self, runs: RunManager, log_writer: LogWriter, sources: ToolSources) -> None:
        self._runs = runs
        self._log_writer = log_writer
        self._sources = sources

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The gauges with their current values."""
        waiting, queued = self._runs.waiting, self._runs.queued
        running = self._runs.active_count - waiting - queued
        yield _gauge("trajectories_running", "Trajectories that are being driven", running)
        yield _gauge("trajectories_queued", "Trajectories that wait for their turn to be driven", queued)
        yield _gauge("trajectories_capacity", "Trajectories that may be driven at a time", self._runs.capacity)
        yield _gauge("trajectories_waiting", "Trajectories that wait for a client's tool output", waiting)
        yield _gauge("stopping", "1 while the process shuts down and takes no new work", self._runs.stopping)
        yield _gauge("log_appends_blocked", "Appends that wait for the event log", self._log_writer.pending_appends)
        sources = GaugeMetricFamily("alpha_umi_tool_sources", "Sources of tools by status", labels=["status"])
        statuses = [known.status for known in self._sources.list_sources()]
        for status in ("ready", "failed", "pending"):
            sources.add_metric([status], statuses.count(status))
        yield sources


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"alpha_umi_{name}", text, value=value)
