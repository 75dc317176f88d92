"""Register a tool server of this process as a tool source of an orchestrator, for the time of a run.

A run that was killed leaves its source and running trajectories behind: the next run cancels these and replaces it. A
source whose tool server still answers belongs to a run that is in progress.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

import httpx

from alpha_umi.client.errors import ClientError, RequestRefused
from alpha_umi.client.orchestrator import OrchestratorClient
from alpha_umi.contract.http import is_loopback
from alpha_umi.contract.tool_sources import ToolSourceInfo
from evaluation.errors import EvaluationError

REMOVE_TIMEOUT_S: Final = 5
# Metadata of a trajectory: the source whose tools it has.
METADATA_KEY: Final = "evaluation-source"


class SourceInUse(EvaluationError):
    """Another run has its tools registered with the orchestrator."""


class ToolNamesTaken(EvaluationError):
    """The tools would not be offered by the names that the suite has."""


@contextlib.asynccontextmanager
async def registered_source(client: OrchestratorClient, name: str, address: str) -> AsyncIterator[None]:
    """The tools of the server at `address` are registered until the block ends, also if it raises.

    Raises `ClientError`, `SourceInUse`, `ToolNamesTaken`.
    """
    document = f"{address}/openapi.json"
    await _remove_stale(client, name, document)
    try:
        await _register(client, name, document)
        await _require_own_names(client, name)
        yield
    except BaseException:
        # The first error counts. A source that stays is replaced by the next run.
        with contextlib.suppress(ClientError, TimeoutError):
            async with asyncio.timeout(REMOVE_TIMEOUT_S):
                await _remove(client.without_retry(), name)
        raise
    await _remove(client, name)


async def cancel_stale(client: OrchestratorClient, name: str) -> None:
    """Cancel the running trajectories of a killed run: they would use up recorded answers."""
    async for trajectory in client.summaries(status="running"):
        if trajectory.metadata.get(METADATA_KEY) == name:
            with contextlib.suppress(RequestRefused):
                await client.cancel(trajectory.id)


async def _remove_stale(client: OrchestratorClient, name: str, document: str) -> None:
    existing = await _find(client, name)
    if existing is None:
        return
    if existing.url != document and await _answers(existing.url):
        raise SourceInUse(
            f"another run has the tool source {name!r} registered, and its tool server answers at {existing.url}",
            remedy="wait for it to end, or use another orchestrator",
        )
    await cancel_stale(client, name)
    await _remove(client, name)


async def _register(client: OrchestratorClient, name: str, document: str) -> None:
    try:
        await client.add_tool_source(name, url=document, effect="read")
    except RequestRefused as error:
        existing = await _find(client, name) if error.kind == "tool-source-exists" else None
        # It may be the source of this request, whose response was lost.
        if existing is None or existing.url != document:
            raise _not_registered(error) from error


async def _require_own_names(client: OrchestratorClient, name: str) -> None:
    source = await _find(client, name)
    offered = {tool.name for tool in (await client.tools()).data if tool.source == name}
    taken = [] if source is None else [tool for tool in source.tools if tool not in offered]
    if taken:
        raise ToolNamesTaken(
            f"another tool source has a tool {taken[0]!r}, too",
            remedy="`alpha-umi tools remove` the other source while trajectories are evaluated",
        )


async def _remove(client: OrchestratorClient, name: str) -> None:
    try:
        await client.remove_tool_source(name)
    except RequestRefused as error:
        if error.kind != "tool-source-not-found":
            raise


async def _find(client: OrchestratorClient, name: str) -> ToolSourceInfo | None:
    return next((source for source in await client.tool_sources() if source.name == name), None)


async def _answers(url: str | None) -> bool:
    """Whether a tool server of this machine answers at an address."""
    try:
        if url is None or not is_loopback(httpx.URL(url).host):
            return False
        async with httpx.AsyncClient(timeout=REMOVE_TIMEOUT_S, trust_env=False) as client:
            return (await client.get(url)).is_success
    except (httpx.HTTPError, httpx.InvalidURL):
        return False


def _not_registered(error: RequestRefused) -> RequestRefused:
    remedy = error.remedy
    if error.kind == "tool-source-invalid":
        remedy = (
            "the tools are served on this machine's loopback: use an orchestrator that runs here, "
            "with ALPHA_UMI_ALLOW_LOOPBACK_TOOLS=true"
        )
    elif error.kind == "tool-source-exists":
        remedy = "`alpha-umi tools remove` the other source while trajectories are evaluated"
    return RequestRefused(
        error.problem,
        message=f"the orchestrator does not accept the tools of the suite: {error.message}",
        remedy=remedy,
    )
