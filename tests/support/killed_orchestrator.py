"""An orchestrator that is killed at a failpoint, and a second one that resumes from its database."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

import httpx
from httpx_sse import ServerSentEvent, aconnect_sse

from support.orchestrator_process import orchestrator_process


async def rows_after_a_kill(
    settings: Mapping[str, Any], failpoint: str, question: Mapping[str, Any]
) -> list[ServerSentEvent]:
    """The complete stream of the trajectory from the second process, without live text."""
    with orchestrator_process({**settings, "failpoint": failpoint}) as first:
        async with httpx.AsyncClient(base_url=first.address) as http:
            with contextlib.suppress(httpx.HTTPError):
                await http.post("/v1/trajectories", json={**question, "background": True})
        await asyncio.to_thread(first.process.join, 20)
        assert first.process.exitcode == -9
    with orchestrator_process(settings) as second:
        async with httpx.AsyncClient(base_url=second.address) as http:
            (listed,) = (await http.get("/v1/trajectories")).json()["data"]
            path = f"/v1/trajectories/{listed['id']}/events"
            async with asyncio.timeout(20), aconnect_sse(http, "GET", path) as source:
                return [event async for event in source.aiter_sse() if not event.event.endswith(".delta")]
