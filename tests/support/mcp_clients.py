"""Clients of MCP: the SDK's own over HTTP and over a process, and raw messages."""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import httpx
import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent

LEGACY: Final = "legacy"
MODERN: Final = "2026-07-28"
ERAS: Final = (LEGACY, MODERN)
ACCEPT: Final = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
_ids = itertools.count(1)


@contextlib.asynccontextmanager
async def mcp_client(address: str, mode: str, headers: Mapping[str, str] | None = None) -> AsyncIterator[Client]:
    """The SDK's client of the `/mcp` at an address."""
    async with (
        httpx2.AsyncClient(headers=dict(headers or {}), timeout=30) as http,
        Client(streamable_http_client(f"{address}/mcp", http_client=http), mode=mode) as client,
    ):
        yield client


def bridge(address: str, *, key: str | None = None) -> StdioServerParameters:
    """How to start `alpha-umi mcp`."""
    environment = {} if key is None else {"ALPHA_UMI_API_KEY": key}
    return StdioServerParameters(
        command=sys.executable, args=["-m", "cli.main", "mcp", "--url", address], env=environment
    )


def texts(result: CallToolResult) -> list[str]:
    """The texts of a result."""
    return [block.text for block in result.content if isinstance(block, TextContent)]


def message(method: str, params: Mapping[str, Any] | None = None, *, mode: str = LEGACY) -> dict[str, Any]:
    """A request with an id of its own, in the form of an era."""
    envelope = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}
    meta = {"_meta": envelope} if mode == MODERN else {}
    return {"jsonrpc": "2.0", "id": next(_ids), "method": method, "params": {**(params or {}), **meta}}


def headers_of(request: Mapping[str, Any], *, mode: str = LEGACY, session: str | None = None) -> dict[str, str]:
    """The headers of a raw request."""
    if mode == LEGACY:
        return ACCEPT | ({} if session is None else {"Mcp-Session-Id": session})
    name = request["params"].get("name")
    named = {} if name is None else {"Mcp-Name": name}
    return ACCEPT | {"MCP-Protocol-Version": MODERN, "Mcp-Method": request["method"]} | named


async def begin_session(http: httpx.AsyncClient, **headers: str) -> httpx.Response:
    """The answer to `initialize`, whose header has the session."""
    client = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    return await http.post("/mcp", json=message("initialize", client), headers={**ACCEPT, **headers})


def result_of(response: httpx.Response) -> Any:
    """The message in a body, which is JSON or a stream of one event."""
    lines = [line.removeprefix("data:") for line in response.text.splitlines() if line.startswith("data:")]
    return json.loads(lines[-1] if lines else response.text)
