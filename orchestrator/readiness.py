"""What `/readyz` asks: do the roles answer, and can the event log be written."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from alpha_umi.contract.problems import ServiceError
from alpha_umi.trajectory.events import RoleKind
from orchestrator.errors import RoleUnavailable
from orchestrator.journal import Journal
from orchestrator.role_clients import RoleClient
from orchestrator.runs import Runs
from orchestrator.store import EventStore, StoreError

PROBE_TIMEOUT_S = 2.0
# No source can have this name, so removing it changes nothing; but it takes the lock that a write needs.
_NO_SOURCE = "/readyz"


class Readiness:
    """Asks all parties at once."""

    def __init__(self, runs: Runs, store: EventStore, journal: Journal, clients: Mapping[RoleKind, RoleClient]) -> None:
        self._runs = runs
        self._store = store
        self._journal = journal
        self._clients = clients

    async def __call__(self) -> dict[str, Any]:
        """Details for the answer. Raises `ServiceError` naming whoever is not ready."""
        self._runs.require_open()
        await self._check_store()
        states = dict(zip(self._clients, await asyncio.gather(*map(_state, self._clients.values())), strict=True))
        obstacles = [state for state in states.values() if state != "ready"]
        if obstacles:
            raise ServiceError("role-unavailable", "; ".join(obstacles), extra={"roles": states})
        return {"roles": states, "storage": "ready"}

    async def _check_store(self) -> None:
        if self._journal.blocked:
            raise ServiceError("storage-unavailable", f"{self._journal.blocked} appends wait for the event log")
        try:
            await self._store.delete_tool_source(_NO_SOURCE)
        except StoreError as error:
            raise ServiceError("storage-unavailable", str(error)) from error


async def _state(client: RoleClient) -> str:
    try:
        await client.check_ready(timeout_s=PROBE_TIMEOUT_S)
    except RoleUnavailable as error:
        return str(error)
    return "ready"
