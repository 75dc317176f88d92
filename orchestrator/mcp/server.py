"""The requests of MCP that the orchestrator answers: `tools/list` and `tools/call`.

A call that fails is a result with `isError` and a reason that the client's model can read. Errors of the protocol are
left to requests that no correction of the arguments would help.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final

from mcp.server.caching import CacheHint
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
)
from pydantic import ValidationError
from starlette.requests import Request

from alpha_umi.contract.problems import ServiceError
from alpha_umi.contract.trajectories import CreateTrajectory
from alpha_umi.contract.validation import explain
from alpha_umi.trajectory import PlannerDecided, State, StepTaken
from alpha_umi.web.keys import Principal
from orchestrator.api.answers import abandon, require_settled
from orchestrator.api.store_problems import store_problem
from orchestrator.api.tool_calls import prepare_call, written_arguments
from orchestrator.api.tools import offered_tools
from orchestrator.api.trajectories import accept_trajectory
from orchestrator.assembly import Orchestrator
from orchestrator.log import LoggedEvent
from orchestrator.mcp.offer import (
    OWN_TOOLS,
    GetTrajectoryArguments,
    RunArguments,
    page_of,
    registered_name,
)
from orchestrator.race import race
from orchestrator.runs.manager import Run, RunLease
from orchestrator.store import StoreError
from orchestrator.stream.follow import follow
from orchestrator.tools.model import Tool

# Of a trajectory as JSON, which a result has twice, once as text inside JSON. The SDK's client reads 1 MiB.
MAX_TRAJECTORY_BYTES: Final = 256 * 1024
# Of a longer one.
SHORT_FIELDS: Final = {"id", "object", "status", "strategy", "answer", "error", "usage", "created_at", "finished_at"}
INSTRUCTIONS: Final = (
    "`run` carries out an instruction with the tools of this server and answers it. It may take minutes."
)

Context = ServerRequestContext[Any, Request]


def create_mcp_server(orchestrator: Orchestrator) -> Server[Any]:
    """The server of the SDK over one orchestrator. It expects `principal` and `left` (an event) in `request.state`."""
    handlers = _Handlers(orchestrator)
    return Server(
        "alpha-umi",
        title="α-UMi",
        version=version("alpha-umi"),
        instructions=INSTRUCTIONS,
        # The tools are those of one owner, and a source can come or go at any time.
        cache_hints={"tools/list": CacheHint(ttl_ms=0, scope="private")},
        # No tool has parameters that are repeated in headers; without this, each call would list all tools.
        get_tool_input_schema=lambda _: None,
        on_list_tools=handlers.list_tools,
        on_call_tool=handlers.call_tool,
    )


class _Handlers:
    def __init__(self, orchestrator: Orchestrator) -> None:
        self._orchestrator = orchestrator
        self._beginning: set[asyncio.Task[tuple[Run, RunLease]]] = set()

    async def list_tools(self, ctx: Context, params: PaginatedRequestParams | None) -> ListToolsResult:
        after = None if params is None else params.cursor
        own = list(OWN_TOOLS) if after is None else []
        offered: Mapping[str, Tool] = {}
        if self._orchestrator.settings.mcp_tools:
            await self._orchestrator.sources.tried()
            offered = (await self._orchestrator.registry.view(_principal(ctx).owner)).offered
        try:
            page, cursor = await asyncio.to_thread(page_of, offered, after)
        except ValueError:
            raise MCPError(INVALID_PARAMS, "the cursor names no tool that is offered; list from the start") from None
        return ListToolsResult(tools=[*own, *page], next_cursor=cursor)

    async def call_tool(self, ctx: Context, params: CallToolRequestParams) -> CallToolResult:
        """The result; the call is cancelled when the client leaves."""
        called = await race(self._result(ctx, params), _request(ctx).state.left.wait())
        return _failure("the client disconnected") if called.cancelled() else called.result()

    async def _result(self, ctx: Context, params: CallToolRequestParams) -> CallToolResult:
        try:
            return await self._call(ctx, params)
        except ValidationError as error:
            return _failure(f"the arguments are not valid: {explain(error, at='arguments')}")
        except StoreError as error:
            return _problem(store_problem(error))
        except ServiceError as error:
            return _problem(error)

    async def _call(self, ctx: Context, params: CallToolRequestParams) -> CallToolResult:
        match params.name:
            case "run":
                return await self._run(ctx, RunArguments.model_validate(params.arguments or {}))
            case "get_trajectory":
                arguments = GetTrajectoryArguments.model_validate(params.arguments or {})
                return await self._get_trajectory(_principal(ctx).owner, arguments.id)
            case name if self._orchestrator.settings.mcp_tools:
                return await self._call_registered(ctx, name)
        raise MCPError(INVALID_PARAMS, f"Unknown tool: {params.name[:100]}")

    async def _run(self, ctx: Context, arguments: RunArguments) -> CallToolResult:
        orchestrator, owner = self._orchestrator, _principal(ctx).owner
        body = CreateTrajectory.model_validate(arguments.model_dump(exclude_none=True))
        with contextlib.ExitStack() as slot:
            reports = ctx.meta is not None and ctx.meta.get("progress_token") is not None
            if reports:
                slot.enter_context(orchestrator.streams.slot(owner))
            run, lease = await self._begin(body, owner)
            try:
                if reports:
                    await self._report_steps(ctx, run)
                await run.settled()
                lease.release()
            finally:
                # Without effect on one that was released.
                abandon(orchestrator, lease)
        require_settled(orchestrator, run)
        state = run.driver.state
        text = _reason(state) if state.answer is None else state.answer
        trajectory, notes = await self._read(owner, run.id)
        return CallToolResult(
            content=[TextContent(text=text), *notes], structured_content=trajectory, is_error=state.answer is None
        )

    async def _begin(self, body: CreateTrajectory, owner: str) -> tuple[Run, RunLease]:
        """Begin a trajectory. A call that is cancelled meanwhile leaves no trajectory that nothing drives."""

        async def begin() -> tuple[Run, RunLease]:
            run = await accept_trajectory(self._orchestrator, body, owner)
            return run, run.acquire()

        def abandoned(begun: asyncio.Task[tuple[Run, RunLease]]) -> None:
            if not begun.cancelled() and begun.exception() is None:
                abandon(self._orchestrator, begun.result()[1])

        beginning = asyncio.create_task(begin())
        self._beginning.add(beginning)
        beginning.add_done_callback(self._beginning.discard)
        try:
            return await asyncio.shield(beginning)
        except asyncio.CancelledError:
            beginning.add_done_callback(abandoned)
            raise

    async def _report_steps(self, ctx: Context, run: Run) -> None:
        """Report each step with the planner's thought, until the trajectory ends or cannot be followed."""
        steps, total = 0, run.driver.state.limits.max_steps
        async with contextlib.aclosing(follow(self._orchestrator.store, run.row, run.broadcast)) as items:
            async for item in items:
                if isinstance(item, LoggedEvent) and isinstance(item.event, PlannerDecided | StepTaken):
                    steps += 1
                    await ctx.session.report_progress(steps, total, item.event.thought or item.event.next)

    async def _get_trajectory(self, owner: str, trajectory_id: str) -> CallToolResult:
        trajectory, notes = await self._read(owner, trajectory_id)
        text = json.dumps(trajectory, ensure_ascii=False)
        return CallToolResult(content=[TextContent(text=text), *notes], structured_content=trajectory)

    async def _read(self, owner: str, trajectory_id: str) -> tuple[dict[str, Any], list[TextContent]]:
        """A trajectory, and a note on what it is without because it is too long for a result."""
        row = await self._orchestrator.store.get(trajectory_id, owner=owner)
        text = (await self._orchestrator.views.read(row)).document()
        if len(text.encode()) <= MAX_TRAJECTORY_BYTES:
            return json.loads(text), []
        summary = json.loads((await self._orchestrator.views.read(row, steps=False)).document())
        short = {name: value for name, value in summary.items() if name in SHORT_FIELDS}
        where = f"GET /v1/trajectories/{trajectory_id}"
        return short, [TextContent(text=f"(The trajectory is too long for this result. Read it with {where}.)")]

    async def _call_registered(self, ctx: Context, name_here: str) -> CallToolResult:
        user, name = _principal(ctx), registered_name(name_here)
        if name not in (await offered_tools(self._orchestrator, user.owner, [name])).offered:
            raise MCPError(INVALID_PARAMS, f"Unknown tool: {name_here[:100]}")
        # The SDK has read the body, and its reader does not keep the digits of numbers.
        arguments = await asyncio.to_thread(written_arguments, await _request(ctx).body(), "params")
        # The client's application asks its user, by the annotations of the tool.
        perform = await prepare_call(self._orchestrator, user, name, arguments, key=None, confirm=True)
        result = await perform()
        note = [TextContent(text="(The result is shortened.)")] if result.truncated else []
        return CallToolResult(content=[TextContent(text=result.observation), *note], is_error=result.is_error)


def _principal(ctx: Context) -> Principal:
    principal: Principal = _request(ctx).state.principal
    return principal


def _request(ctx: Context) -> Request:
    if ctx.request is None:
        raise RuntimeError("only requests over HTTP have tools here")
    return ctx.request


def _reason(state: State) -> str:
    """Why a trajectory ended without an answer: of a give-up, also the planner's thought."""
    detail = "" if state.error is None else f": {state.error.detail}"
    thought = f": {state.steps[-1].thought}" if state.status == "gave_up" and state.steps else ""
    return f"{state.status}{detail}{thought}"


def _problem(error: ServiceError) -> CallToolResult:
    remedies = [f"{each.field}: {each.remedy}" for each in error.errors if each.remedy]
    document = error.document().model_dump(exclude_none=True)
    return _failure("; ".join([error.detail, *remedies]), document)


def _failure(reason: str, document: dict[str, Any] | None = None) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=reason)], structured_content=document, is_error=True)
