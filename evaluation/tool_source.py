"""Register a tool server of this process with an orchestrator, for as long as it is needed.

A run that was killed leaves its source behind, and trajectories that go on: the next one cancels these and takes its
place. A source whose tool server still answers belongs to a run that is under way.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx
from pydantic import BaseModel

from alpha_umi.contract.trajectories import TrajectoryList
from evaluation.errors import EvaluationError
from evaluation.orchestrator import AT_ONCE, OrchestratorRefused, read, send
from evaluation.patience import Patience

SOURCES = "/v1/tool-sources"
LEAVING_S = 5
LOOPBACK = "127.0.0.1"
# Metadata of a trajectory: the source that it was asked with.
MARK = "evaluation-source"


class SourceInUse(EvaluationError):
    """Another run has its tools registered with the orchestrator."""


class KnownSource(BaseModel):
    """What is needed of a source."""

    name: str
    url: str | None = None


class KnownSources(BaseModel):
    """`GET /v1/tool-sources`."""

    data: list[KnownSource]


@contextlib.asynccontextmanager
async def registered(
    client: httpx.AsyncClient, name: str, address: str, *, patience: Patience = AT_ONCE
) -> AsyncIterator[None]:
    """The tools of the server at `address` are on offer until the block ends, whatever ends it.

    Raises `OrchestratorRefused`, `ServiceAway`, `SourceInUse`.
    """
    document = f"{address}/openapi.json"
    await _clear(client, name, document, patience)
    try:
        await _register(client, name, document, patience)
        yield
    except BaseException:
        # What ended the block is the news. A source that stays is replaced by the next run.
        with contextlib.suppress(EvaluationError, TimeoutError):
            async with asyncio.timeout(LEAVING_S):
                await _remove(client, name, AT_ONCE)
        raise
    await _remove(client, name, patience)


async def _clear(client: httpx.AsyncClient, name: str, document: str, patience: Patience) -> None:
    """Remove what a killed run left behind."""
    found = await _find(client, name, patience)
    if found is None:
        return
    if found.url != document and await _answers(found.url):
        raise SourceInUse(
            f"another run has the tool source {name!r} registered, and its tool server answers at {found.url}",
            remedy="wait for it to end, or ask another orchestrator",
        )
    await cancel_marked(client, name, patience)
    await _remove(client, name, patience)


async def cancel_marked(client: httpx.AsyncClient, name: str, patience: Patience) -> None:
    """Cancel what goes on with the tools of a source: nobody waits for it, and it would use up recorded answers."""
    query, more = {"status": "running", "limit": "100"}, True
    while more:
        page = await read(TrajectoryList, client, "GET", "/v1/trajectories", patience=patience, params=query)
        for trajectory in page.data:
            if trajectory.metadata.get(MARK) == name:
                # One that has ended in the meantime cannot be cancelled, and need not.
                with contextlib.suppress(OrchestratorRefused):
                    await send(client, "POST", f"/v1/trajectories/{trajectory.id}/cancel", patience=patience)
        more = page.has_more
        query["after"] = page.data[-1].id if page.data else ""


async def _register(client: httpx.AsyncClient, name: str, document: str, patience: Patience) -> None:
    source = {"name": name, "kind": "openapi", "url": document, "effect": "read"}
    try:
        await send(client, "POST", SOURCES, patience=patience, json=source)
    except OrchestratorRefused as error:
        found = await _find(client, name, patience) if error.kind == "tool-source-exists" else None
        # It may be ours: an answer can get lost.
        if found is None or found.url != document:
            raise _not_registered(error) from error


async def _remove(client: httpx.AsyncClient, name: str, patience: Patience) -> None:
    try:
        await send(client, "DELETE", f"{SOURCES}/{name}", patience=patience)
    except OrchestratorRefused as error:
        if error.kind != "tool-source-not-found":
            raise


async def _find(client: httpx.AsyncClient, name: str, patience: Patience) -> KnownSource | None:
    known = await read(KnownSources, client, "GET", SOURCES, patience=patience)
    return next((source for source in known.data if source.name == name), None)


async def _answers(url: str | None) -> bool:
    """Whether a tool server of this machine is there."""
    try:
        if url is None or httpx.URL(url).host != LOOPBACK:
            return False
        async with httpx.AsyncClient(timeout=LEAVING_S, trust_env=False) as client:
            return (await client.get(url)).is_success
    except (httpx.HTTPError, httpx.InvalidURL):
        return False


def _not_registered(error: OrchestratorRefused) -> OrchestratorRefused:
    remedy = error.remedy
    if error.kind == "tool-source-invalid":
        remedy = (
            "the tools are served on this machine's loopback: ask an orchestrator that runs here, "
            "with ALPHA_UMI_ALLOW_LOOPBACK_TOOLS=true"
        )
    elif error.kind == "tool-source-exists":
        remedy = "`alpha-umi tools remove` the other source while trajectories are measured"
    return OrchestratorRefused(
        f"the orchestrator does not take the recorded tools: {error.message}", remedy=remedy, kind=error.kind
    )
