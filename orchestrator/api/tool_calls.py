"""Routes of one tool: its details with an example call, and calls by hand, outside of any trajectory."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import time
import uuid
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import asdict
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from alpha_umi import telemetry
from alpha_umi.contract.problems import ServiceError
from alpha_umi.contract.tool_calls import CallTool, ToolCallResult, ToolDetails, ToolRequest
from alpha_umi.web.keys import Principal
from alpha_umi.web.scopes import User
from orchestrator.api.answers import REPLAYED, IdempotencyKey, request_key
from orchestrator.api.audit import audit_entry
from orchestrator.api.bodies import RereadBodyRoute
from orchestrator.api.tools import offered_tools, public_record
from orchestrator.assembly import Orchestrator
from orchestrator.runs.idempotency import key_reused
from orchestrator.store import SHARED, AuditEntry, RequestKey
from orchestrator.tools.errors import ALL_ARGUMENTS, ArgumentError, ToolGone, UnknownToolError
from orchestrator.tools.example import example_arguments
from orchestrator.tools.model import EffectClass, Tool
from orchestrator.tools.numbers import read_json
from orchestrator.tools.registry import ToolRegistry
from orchestrator.tools.shorten import shorten_structure
from orchestrator.workers import run_long

MAX_KEYS: Final = 1_000
# Of the observation of a call by hand; the results of `MAX_KEYS` calls are kept in memory.
MAX_OBSERVATION_BYTES: Final = 64 * 1024
_log = telemetry.logger(__name__)


def create_router(orchestrator: Orchestrator) -> APIRouter:
    """Routes over one orchestrator."""
    router = APIRouter(tags=["tools"], route_class=RereadBodyRoute)
    registry, keyed = orchestrator.registry, _KeyedCalls()

    @router.get("/v1/tools/{name}", summary="One tool, with an example call and its request")
    async def show(name: str, user: User) -> ToolDetails:
        # Writing an example of a large schema must not block other requests.
        return await asyncio.to_thread(_details, registry, name, await _tool(orchestrator, user, name))

    @router.post("/v1/tools/{name}/calls", response_model=ToolCallResult, summary="Call a tool by hand")
    async def call(name: str, body: CallTool, user: User, request: Request, key: IdempotencyKey) -> Response:
        arguments = await asyncio.to_thread(written_arguments, await request.body())
        perform = await prepare_call(orchestrator, user, name, arguments, key=key, confirm=body.confirm)
        result, replayed = await keyed.run_once(request_key(request, key, body), perform)
        headers = {REPLAYED: "true"} if replayed else {}
        return JSONResponse(result.model_dump(mode="json"), headers=headers)

    return router


async def prepare_call(
    orchestrator: Orchestrator, user: Principal, name: str, arguments: dict[str, Any], *, key: str | None, confirm: bool
) -> Callable[[], Coroutine[Any, Any, ToolCallResult]]:
    """What performs the call of a tool of this name, within the limits of calls by hand.

    `key` is the idempotency key of the tool's request. Raises `ServiceError`: for an unknown tool, for arguments that
    it does not take, and for a call that may change something and is not confirmed.
    """
    registry = orchestrator.registry
    tool = await _tool(orchestrator, user, name)
    tool_key = key or uuid.uuid4().hex
    preview = await asyncio.to_thread(_preview, registry, name, tool, arguments, tool_key)
    if tool.effect is not EffectClass.READ and not confirm:
        raise ServiceError(
            "invalid-request",
            f"{name!r} may change something ({tool.effect}), and the call is not confirmed",
            field="confirm",
            remedy='send `"confirm": true` (on the command line: --yes)',
        )

    async def perform() -> ToolCallResult:
        orchestrator.admission.count_request(user.owner)
        if tool.effect is not EffectClass.READ:
            # Before it is sent: a process that is killed must not leave a call that nobody made.
            await orchestrator.store.record_act(_act(user, name, tool, arguments))
        started = time.monotonic()
        with _unknown_is_not_found(name):
            timeout_s = orchestrator.settings.tool_timeout_s
            result = await registry.call(tool, arguments, idempotency_key=tool_key, timeout_s=timeout_s)
        duration_ms = round((time.monotonic() - started) * 1_000)
        shown = result.content
        if len(shown.encode()) > MAX_OBSERVATION_BYTES:
            shown = await run_long(shorten_structure, shown, MAX_OBSERVATION_BYTES)
        _log.info("tool.called_by_hand", tool=name, status=result.status, ms=duration_ms)
        return ToolCallResult(
            request=preview,
            status=result.status,
            observation=shown,
            is_error=result.is_error,
            truncated=result.truncated or shown != result.content,
            duration_ms=duration_ms,
        )

    return perform


_Calls = OrderedDict[tuple[str, str], tuple[str, asyncio.Task[ToolCallResult]]]


class _KeyedCalls:
    """The results of the newest calls with an idempotency key by owner, in the memory of this process.

    A repetition with the same key gets the result of the first call, also while that is under way. Of too many, the
    oldest of the owner who has the most is forgotten.
    """

    def __init__(self) -> None:
        self._calls: defaultdict[str, _Calls] = defaultdict(OrderedDict)

    async def run_once(
        self, identity: RequestKey | None, call: Callable[[], Coroutine[Any, Any, ToolCallResult]]
    ) -> tuple[ToolCallResult, bool]:
        """The result, and whether it is that of an earlier request. Raises `ServiceError` for another body."""
        if identity is None:
            return await call(), False
        calls, name = self._calls[identity.owner], (identity.route, identity.key)
        if replayed := name in calls:
            digest, task = calls[name]
            if digest != identity.digest:
                raise key_reused()
        else:
            task = asyncio.create_task(call())
            calls[name] = identity.digest, task
            # A call that was not carried out can be sent again with its key.
            task.add_done_callback(lambda done: (done.cancelled() or done.exception()) and calls.pop(name, None))
            if sum(map(len, self._calls.values())) > MAX_KEYS:
                max(self._calls.values(), key=len).popitem(last=False)
        return await asyncio.shield(task), replayed


def _act(user: Principal, name: str, tool: Tool, arguments: dict[str, Any]) -> AuditEntry:
    """The confirmed call. Of the arguments, which may be private, it holds a digest."""
    digest = hashlib.sha256(json.dumps(arguments, sort_keys=True, default=str).encode()).hexdigest()
    details = {"source": tool.source, "shared": tool.owner == SHARED, "effect": tool.effect, "arguments": digest}
    return audit_entry(user, "tool.called", name, details)


def written_arguments(raw: bytes, *inside: str) -> dict[str, Any]:
    """The `arguments` of a valid JSON body, with the digits of its numbers. `inside` leads to the object that has them.

    Raises `ServiceError` for numbers that cannot be kept.
    """
    try:
        body: dict[str, Any] = read_json(raw.decode(json.detect_encoding(raw)))
    except (ValueError, RecursionError) as error:
        raise ServiceError("invalid-request", str(error), field="arguments", remedy="send valid JSON") from error
    for name in inside:
        body = body[name]
    # Other interfaces than ours write a call without arguments as null.
    arguments: dict[str, Any] = body.get("arguments") or {}
    return arguments


async def _tool(orchestrator: Orchestrator, user: Principal, name: str) -> Tool:
    view = await offered_tools(orchestrator, user.owner, [name])
    with _unknown_is_not_found(name):
        (tool,) = view.get([name])
    return tool


@contextlib.contextmanager
def _unknown_is_not_found(name: str) -> Iterator[None]:
    try:
        yield
    except UnknownToolError as error:
        raise ServiceError("not-found", error.reason_for(error.names[0]), field="name", remedy=error.remedy) from error
    except ToolGone as error:
        raise ServiceError("not-found", f"the tool {name!r} {error}", field="name", remedy="read it again") from error


def _details(registry: ToolRegistry, name: str, tool: Tool) -> ToolDetails:
    example = example_arguments(tool.parameters)
    try:
        request = None if example is None else _preview(registry, name, tool, example, "(a new key for each call)")
    except ServiceError:
        request = None
    return ToolDetails(**public_record(tool) | {"name": name}, example=example, request=request)


def _preview(registry: ToolRegistry, name: str, tool: Tool, arguments: dict[str, Any], key: str) -> ToolRequest:
    """The request of a call. Raises `ServiceError` that names the argument at fault."""
    try:
        with _unknown_is_not_found(name):
            preview = registry.preview(tool, arguments, idempotency_key=key)
    except ArgumentError as error:
        raise ServiceError(
            "invalid-request",
            str(error),
            field="arguments" if error.argument == ALL_ARGUMENTS else f"arguments.{error.argument}",
            remedy=f"`alpha-umi tools show {name}` shows the arguments and an example",
        ) from error
    return ToolRequest(**asdict(preview) | {"credentials": list(preview.credentials)})
