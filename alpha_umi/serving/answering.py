"""Answer a role request as one document or as server-sent events, and stop when the client leaves.

A role's work is an async iterator: pieces of text while it writes, then the whole answer as its last item.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from alpha_umi import telemetry
from alpha_umi.contract.problems import ServiceError
from alpha_umi.contract.roles import Delta, RoleAnswer
from alpha_umi.serving.context import RoleContext
from alpha_umi.web.documentation import event_stream

Answer = TypeVar("Answer", bound=RoleAnswer)
Result = TypeVar("Result")
Work = AsyncGenerator[str | Answer, None]

# What a role's route can answer with besides its document.
ANSWER_STREAM = event_stream("delta", "done", "error")
CLIENT_LEFT = 499
KEEP_ALIVE_S = 15

_log = telemetry.logger(__name__)


async def answer(request: Request, context: RoleContext, work: Work[Answer], *, stream: bool) -> Response:
    """The response to a role request. What fails before the first piece is an ordinary problem document."""
    counted = _counted(context, work)
    if stream:
        first = await _unless_client_leaves(request, _first(counted))
        if first is None:
            return Response(status_code=CLIENT_LEFT)
        return EventSourceResponse(
            _events(first, counted),
            ping=KEEP_ALIVE_S,
            headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
            sep="\n",
        )
    whole = await _unless_client_leaves(request, _last(counted))
    if whole is None:
        return Response(status_code=CLIENT_LEFT)
    return JSONResponse(whole.model_dump())


async def _counted(context: RoleContext, work: Work[Answer]) -> Work[Answer]:
    """The work as one request. Raises `ServiceError` while the model cannot answer, and when it may not any more."""
    in_flight = context.host.in_flight
    async with contextlib.aclosing(work):
        with context.metrics.request(), in_flight.request():
            context.host.require_ready()
            while True:
                async with in_flight.wait():
                    item = await anext(work, None)
                if item is None:
                    return
                if not isinstance(item, str) and item.truncated:
                    context.metrics.count_shortened()
                yield item


async def _events(first: str | Answer, work: Work[Answer]) -> AsyncIterator[ServerSentEvent]:
    async with contextlib.aclosing(work):
        try:
            yield _event(first)
            async for item in work:
                yield _event(item)
        except ServiceError as error:
            yield ServerSentEvent(error.document().model_dump_json(exclude_none=True), event="error")
        except Exception as error:
            _log.error("stream.failed", exc_info=error)
            problem = ServiceError("internal", "the service failed while it wrote; its log says why")
            yield ServerSentEvent(problem.document().model_dump_json(exclude_none=True), event="error")


def _event(item: str | Answer) -> ServerSentEvent:
    if isinstance(item, str):
        return ServerSentEvent(Delta(text=item).model_dump_json(), event="delta")
    return ServerSentEvent(item.model_dump_json(), event="done")


async def _first(work: Work[Answer]) -> str | Answer:
    return await anext(work)


async def _last(work: Work[Answer]) -> Answer:
    last: str | Answer = ""
    async with contextlib.aclosing(work):
        async for item in work:
            last = item
    if isinstance(last, str):
        raise AssertionError("a role's work ends with its answer")
    return last


async def _unless_client_leaves(request: Request, work: Coroutine[Any, Any, Result]) -> Result | None:
    """The work's result, or None after it was cancelled because nobody waits for it any more."""
    task = asyncio.create_task(work)
    leaving = asyncio.create_task(_client_leaves(request))
    try:
        await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        for pending in (task, leaving):
            pending.cancel()
        await asyncio.gather(task, leaving, return_exceptions=True)


async def _client_leaves(request: Request) -> None:
    # The body was read before, so the next message can only be the disconnect.
    while (await request.receive())["type"] != "http.disconnect":
        pass
