"""Scripted roles, or a tool, as one process: real HTTP, a fixed time for each answer, a fixed number at once.

    python -m benchmarks.trust.services PORT [--seconds S] [--slots N]

An instruction is JSON: `steps` calls of the tool `tool`, the first of which has the number 0, with `arguments` beside
the names `order` and `parcel`. The planner counts the observations, so that a restarted process continues where it was.
`GET /state` returns how many calls came, when the first one did (monotonic), and the orders that the tool was called
for.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from typing import Any
from urllib.parse import parse_qs

import uvicorn
from starlette.types import Receive, Scope, Send

from alpha_umi.contract.roles import (
    CALL,
    PLAN,
    SUMMARIZE,
    ActionModel,
    CallAnswer,
    PlanAnswer,
    SummarizeAnswer,
    Timings,
    UsageModel,
)
from alpha_umi.roles.caller import write_call
from alpha_umi.roles.planner import Decision, write_plan

TOOL = "shipment_status"
TOOL_PATH = "/tools/shipment_status"
ROLES = ("planner", "caller", "summarizer", "backbone")
CONTEXT = 32_768
_USAGE = UsageModel(prompt_tokens=900, completion_tokens=60)
Json = dict[str, Any]


def instruction(job: str, *, steps: int = 1, tool: str = TOOL, **arguments: Any) -> str:
    """An instruction that these roles carry out."""
    return json.dumps({"job": job, "steps": steps, "tool": tool, "arguments": arguments})


def document() -> Json:
    """The tool's OpenAPI document."""
    parameters = [
        {"name": "order", "in": "query", "required": True, "schema": {"type": "string"}, "description": "The order"},
        {"name": "parcel", "in": "query", "schema": {"type": "integer", "minimum": 0}},
        {"name": "bytes", "in": "query", "schema": {"type": "integer", "minimum": 0}},
    ]
    operation = {
        "operationId": TOOL,
        "summary": "Where a parcel of an order is, and when it arrives",
        "parameters": parameters,
        "responses": {"200": {"description": "The status", "content": {"application/json": {}}}},
    }
    info = {"title": "shipments", "version": "1"}
    return {"openapi": "3.1.0", "info": info, "paths": {TOOL_PATH: {"get": operation}}}


class Services:
    """The ASGI application."""

    def __init__(self, *, seconds: float, slots: int) -> None:
        self._seconds = seconds
        self._slots = {path: asyncio.Semaphore(slots) for path in (PLAN.path, CALL.path, SUMMARIZE.path)}
        self._capacity = slots
        self._calls = 0
        self._first_call: float | None = None
        self._orders: list[str] = []
        self._answers = {PLAN.path: _plan, CALL.path: _call, SUMMARIZE.path: _summarize}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path: str = scope["path"]
        if path in self._answers:
            body = json.loads(await _body(receive))
            self._calls += 1
            self._first_call = self._first_call or time.monotonic()
            async with self._slots[path]:
                await asyncio.sleep(self._seconds)
            answer = self._answers[path](body).model_dump_json()
            if body.get("stream"):
                await _respond(send, f"event: done\ndata: {answer}\n\n".encode(), b"text/event-stream")
                return
            await _respond(send, answer.encode())
        elif path == TOOL_PATH:
            query = parse_qs(scope["query_string"].decode())
            self._orders.append(query["order"][0])
            size = int(query.get("bytes", ["0"])[0])
            parcel = {"order": query["order"][0], "parcel": query.get("parcel"), "more": "x" * size}
            await _respond(send, json.dumps(parcel).encode())
        else:
            await _respond(send, json.dumps(self._other(path)).encode())

    def _other(self, path: str) -> Json:
        if path == "/state":
            return {"calls": self._calls, "first_call": self._first_call, "orders": self._orders}
        if path == "/v1/models":
            shared = {"object": "model", "created": 0, "max_model_len": CONTEXT, "template": "toolbench"}
            models = [{"id": role, "role": role, "capacity": self._capacity, **shared} for role in ROLES]
            return {"object": "list", "data": models}
        return {"status": "ready"}


def _plan(request: Json) -> PlanAnswer:
    decision: Decision = "conclusion" if _observed(request) >= _script(request)["steps"] else "caller"
    thought = "One more parcel of this order is needed."
    return PlanAnswer(
        thought=thought, next=decision, text=write_plan(thought, decision), usage=_USAGE, timings=Timings()
    )


def _call(request: Json) -> CallAnswer:
    script = _script(request)
    arguments = {"order": script["job"], "parcel": _observed(request), **script["arguments"]}
    if script["tool"] != TOOL:
        arguments = script["arguments"]
    action = ActionModel(name=script["tool"], arguments=arguments)
    return CallAnswer(action=action, text=write_call(script["tool"], arguments), usage=_USAGE, timings=Timings())


def _summarize(_: Json) -> SummarizeAnswer:
    return SummarizeAnswer(answer="All parcels are on their way.", usage=_USAGE, timings=Timings())


def _script(request: Json) -> Json:
    users = [turn["content"] for turn in request["history"] if turn["role"] == "user"]
    script: Json = json.loads(users[-1])
    return script


def _observed(request: Json) -> int:
    return sum(turn["role"] == "observation" for turn in request["history"])


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def _respond(send: Send, content: bytes, media_type: bytes = b"application/json") -> None:
    headers = [(b"content-type", media_type), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def main() -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("--seconds", type=float, default=0.0, help="time of an answer of a role")
    parser.add_argument("--slots", type=int, default=10_000, help="answers of a role at once; the others queue")
    options = parser.parse_args()
    uvicorn.run(
        Services(seconds=options.seconds, slots=options.slots),
        host="127.0.0.1",
        port=options.port,
        log_level="error",
        access_log=False,
        lifespan="off",
        timeout_keep_alive=60,
        backlog=4_096,
    )


if __name__ == "__main__":
    main()
