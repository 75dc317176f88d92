"""The routes of a role, and its responses: one document or server-sent events; generation stops when the client leaves.

A role's work is an async generator: pieces of text first, then the complete answer as its last item.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from alpha_umi import telemetry
from alpha_umi.contract.problems import ServiceError
from alpha_umi.contract.roles import Delta, RenderAnswer, RoleAnswer, RoleSpec, Sampling, as_history, as_tools
from alpha_umi.roles.turns import Turn
from alpha_umi.serving.assembly import RoleContext
from alpha_umi.serving.generation import fit_prompt, token_bound
from alpha_umi.web.documentation import event_stream

RequestT = TypeVar("RequestT", bound=Sampling)
Answer = TypeVar("Answer", bound=RoleAnswer)
Result = TypeVar("Result")
Work = AsyncGenerator[str | Answer, None]

# The documented response of a route that can stream.
ANSWER_STREAM = event_stream("delta", "done", "error")
CLIENT_LEFT = 499
KEEP_ALIVE_S = 15

_log = telemetry.logger(__name__)


def request_history(request: Any) -> tuple[Turn, ...]:
    """The history of a role request."""
    return as_history(request.history)


def role_router(
    context: RoleContext,
    spec: RoleSpec[RequestT, Answer],
    work: Callable[..., Work[Answer]],
    *,
    summary: str,
    render_model: type[RequestT],
    history: Callable[[Any], tuple[Turn, ...]] = request_history,
    reserved_tokens: Callable[[int], int] = int,
) -> APIRouter:
    """The two routes of a role: its path runs `work`, path/render returns the prompt of the same request.

    `work` takes the context, the request and the keyword `request_id`; it raises `ServiceError`.
    `render_model` is the request with a `template`. `reserved_tokens` maps the bound of a generation to the tokens that
    the prompt leaves free.
    """
    router = APIRouter(tags=[spec.role])
    name = spec.path.rpartition("/")[2]

    async def post(body: RequestT, request: Request) -> Response:
        running = work(context, body, request_id=request.state.request_id)
        return await respond(request, context, running, stream=getattr(body, "stream", False))

    async def render(body: Any) -> RenderAnswer:
        fitted = await fit_prompt(
            context.host,
            history=history(body),
            tools=as_tools(getattr(body, "tools", ())),
            answer_tokens=reserved_tokens(token_bound(context, body)),
            template=body.template,
            answer_schema=getattr(body, "answer_schema", None),
        )
        return fitted.as_answer(context.host.engine)

    post.__annotations__["body"] = spec.request
    render.__annotations__["body"] = render_model
    router.add_api_route(
        spec.path,
        post,
        name=f"post_{name}",
        methods=["POST"],
        response_model=spec.answer,
        summary=summary,
        responses=ANSWER_STREAM if spec.streams else None,
    )
    router.add_api_route(
        f"{spec.path}/render",
        render,
        name=f"render_{name}",
        methods=["POST"],
        summary="The prompt of the same request; nothing is generated",
    )
    return router


async def respond(request: Request, context: RoleContext, work: Work[Answer], *, stream: bool) -> Response:
    """The response to a role request. A failure before the first piece is an ordinary problem document."""
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
    complete = await _unless_client_leaves(request, _last(counted))
    if complete is None:
        return Response(status_code=CLIENT_LEFT)
    return JSONResponse(complete.model_dump())


async def _counted(context: RoleContext, work: Work[Answer]) -> Work[Answer]:
    """Count the work as one request. Raises `ServiceError` while the model is not ready, and when it is cut off."""
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
            problem = ServiceError("internal", "the service failed while it generated; see its log")
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
    """The work's result; None if the client left first, after which the work is cancelled."""
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
