"""An MCP server on standard input and output that passes each request on to an orchestrator's `/mcp`.

The client may speak either era of the protocol. Requests to the orchestrator are those of the stateless one, each on
its own, so that neither side notices a restart of the other between two requests.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any, TypeVar

import anyio
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, CallToolRequestParams, CallToolResult, ListToolsResult, PaginatedRequestParams
from mcp_types.version import LATEST_MODERN_VERSION
from pydantic import ValidationError

from alpha_umi.contract.problems import PROBLEM_MEDIA_TYPE, Problem

# A run takes as long as it takes; the orchestrator sends something every 15 seconds.
TIMEOUT = httpx2.Timeout(10, read=60)

Result = TypeVar("Result")
Context = ServerRequestContext[Any]


def serve(address: str, api_key: str | None) -> None:
    """Serve until the client closes standard input."""
    anyio.run(_serve, address, api_key)


async def _serve(address: str, api_key: str | None) -> None:
    headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
    hooks = {"response": [_raise_problem]}
    async with httpx2.AsyncClient(headers=headers, timeout=TIMEOUT, event_hooks=hooks) as http:
        bridge = _Bridge(address, http)
        server = Server(
            "alpha-umi",
            title="α-UMi",
            version=version("alpha-umi"),
            get_tool_input_schema=lambda _: None,
            on_list_tools=bridge.list_tools,
            on_call_tool=bridge.call_tool,
        )
        async with stdio_server() as (reading, writing):
            await server.run(reading, writing, server.create_initialization_options())


class _Bridge:
    def __init__(self, address: str, http: httpx2.AsyncClient) -> None:
        self._address = address
        self._http = http

    async def list_tools(self, _: Context, params: PaginatedRequestParams | None) -> ListToolsResult:
        cursor = None if params is None else params.cursor
        return await self._forward(lambda client: client.list_tools(cursor=cursor))

    async def call_tool(self, ctx: Context, params: CallToolRequestParams) -> CallToolResult:
        wants_progress = ctx.meta is not None and "progress_token" in ctx.meta
        report = ctx.session.report_progress if wants_progress else None
        return await self._forward(
            lambda client: client.call_tool(params.name, params.arguments, progress_callback=report)
        )

    async def _forward(self, request: Callable[[Client], Awaitable[Result]]) -> Result:
        """The orchestrator's result. Raises `MCPError`. A request that is cancelled here is cancelled there."""
        try:
            transport = streamable_http_client(f"{self._address.rstrip('/')}/mcp", http_client=self._http)
            async with Client(transport, mode=LATEST_MODERN_VERSION, cache=None) as client:
                return await request(client)
        except BaseExceptionGroup as group:
            known = group.subgroup((MCPError, _Refused, httpx2.HTTPError))
            if known is None:
                raise
            raise self._as_protocol_error(_first_of(known)) from None

    def _as_protocol_error(self, error: BaseException) -> MCPError:
        match error:
            case MCPError():
                return error
            case _Refused(problem=problem) if problem.kind == "not-found":
                reason = f"{self._address} does not serve MCP: is it an orchestrator, and without ALPHA_UMI_MCP=false?"
            case _Refused(problem=problem):
                reason = f"{problem.title}: {problem.detail}"
            case _:
                reason = f"the orchestrator at {self._address} cannot be reached: {error or type(error).__name__}"
        return MCPError(INTERNAL_ERROR, reason)


class _Refused(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


async def _raise_problem(response: httpx2.Response) -> None:
    """Raises what the SDK would replace by a general sentence. Errors of the protocol are left to it."""
    if response.headers.get("content-type", "").startswith(PROBLEM_MEDIA_TYPE):
        body = await response.aread()
        try:
            problem = Problem.model_validate_json(body)
        except ValidationError:
            return
        raise _Refused(problem)


def _first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first = group.exceptions[0]
    return _first_of(first) if isinstance(first, BaseExceptionGroup) else first
