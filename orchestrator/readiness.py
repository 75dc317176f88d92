"""What `/readyz` asks: do the roles answer, and can the event log be written."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from alpha_umi.contract.problems import ServiceError
from alpha_umi.trajectory.events import RoleKind
from orchestrator.journal import Journal
from orchestrator.roles.replicas import READY, ReplicaSet, ReplicaState
from orchestrator.runs import RunManager
from orchestrator.store import EventStore, StoreError

# No source can have this name, so removing it changes nothing; but it takes the lock that a write needs.
_NO_SOURCE = "/readyz"


class Readiness:
    """Asks all parties at once. A role is ready while one of its replicas is.

    `constrained` is told as well: who measures wants to know whether roles write inside grammars.
    """

    def __init__(
        self,
        runs: RunManager,
        store: EventStore,
        journal: Journal,
        roles: Mapping[RoleKind, ReplicaSet],
        *,
        constrained: bool,
    ) -> None:
        self._runs = runs
        self._store = store
        self._journal = journal
        self._roles = roles
        self._constrained = constrained

    async def __call__(self) -> dict[str, Any]:
        """Details for the answer. Raises `ServiceError` naming whoever is not ready."""
        self._runs.require_open()
        await self._check_store()
        found = await asyncio.gather(*(replicas.check() for replicas in self._roles.values()))
        replicas = dict(zip(self._roles, found, strict=True))
        roles = {role: _summary(states) for role, states in replicas.items()}
        details = {"roles": roles, "replicas": {role: _details(states) for role, states in replicas.items()}}
        obstacles = [state for state in roles.values() if state != READY]
        if obstacles:
            raise ServiceError("role-unavailable", "; ".join(obstacles), extra=details)
        return {**details, "storage": READY, "constrained": self._constrained}

    async def _check_store(self) -> None:
        if self._journal.pending_appends:
            raise ServiceError("storage-unavailable", f"{self._journal.pending_appends} appends wait for the event log")
        try:
            await self._store.delete_tool_source(_NO_SOURCE)
        except StoreError as error:
            raise ServiceError("storage-unavailable", str(error)) from error


def _summary(states: Sequence[ReplicaState]) -> str:
    if any(state.is_ready for state in states):
        return READY
    return "; ".join(
        f"{state.state}, circuit {state.circuit}" if state.state == READY else state.state for state in states
    )


def _details(states: Sequence[ReplicaState]) -> dict[str, Any]:
    return {state.name: {"state": state.state, "circuit": state.circuit} for state in states}
