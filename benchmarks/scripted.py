"""Three scripted roles and a tool that answer immediately, in one uvicorn process.

A trajectory calls planner, caller and tool three times, then planner and summarizer: 11 calls. The instruction ends
with the name of the job, and every call of the job contains it. `GET /times` returns arrival and departure of each call
since the last such request, by this machine's monotonic clock.

    python -m benchmarks.scripted PORT
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import uvicorn
from pydantic import BaseModel
from starlette.types import ASGIApp, Receive, Scope, Send

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
ROUNDS = 3
CALLS = 3 * ROUNDS + 2

USAGE = UsageModel(prompt_tokens=900, completion_tokens=60)
_THOUGHT = (
    "To answer I need the position of one more parcel of this order. The tool gives the carrier, the last depot and "
    "the expected day for one parcel at a time, so I ask for the next parcel of the list and compare afterwards."
)
_ANSWER = "All three parcels are on their way. The first two arrive on Thursday, the last one on Friday before noon."
_STATUS = {"carrier": "Northern Freight", "depot": "Hannover", "scans": ["Bremen 06:12", "Hannover 09:47"], "days": 2}

Json = dict[str, Any]


def instruction(job: str) -> str:
    """The instruction of a job."""
    return f"Where are the three parcels of my order, and when does the last one arrive? It is {job}"


def document() -> Json:
    """The tool's OpenAPI document."""
    parameters = [
        {"name": "order", "in": "query", "required": True, "schema": {"type": "string"}, "description": "The order"},
        {"name": "parcel", "in": "query", "required": True, "schema": {"type": "integer", "minimum": 0}},
    ]
    operation = {
        "operationId": TOOL,
        "summary": "Where a parcel of an order is, and when it arrives",
        "parameters": parameters,
        "responses": {"200": {"description": "The status", "content": {"application/json": {}}}},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "shipments", "version": "1"},
        "paths": {TOOL_PATH: {"get": operation}},
    }


class ScriptedServices:
    """The ASGI application."""

    def __init__(self) -> None:
        self._times: list[tuple[str, str, float, float]] = []
        self._roles: dict[str, Callable[[Json], BaseModel]] = {
            PLAN.path: _plan,
            CALL.path: _call,
            SUMMARIZE.path: _summarize,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        arrived = time.monotonic()
        path: str = scope["path"]
        job, media_type = "", b"application/json"
        if path in self._roles:
            request = json.loads(await read_body(receive))
            job = _job(request)
            answer = self._roles[path](request)
            content = answer.model_dump_json().encode()
            if request.get("stream"):
                content, media_type = _streamed(answer, content), b"text/event-stream"
        elif path == TOOL_PATH:
            query = parse_qs(scope["query_string"].decode())
            job = query["order"][0]
            content = json.dumps({"order": job, "parcel": int(query["parcel"][0]), **_STATUS}).encode()
        else:
            content = json.dumps(self._times if path == "/times" else {"status": "ready"}).encode()
        await respond(send, content, media_type)
        if job:
            self._times.append((job, path, arrived, time.monotonic()))
        elif path == "/times":
            self._times.clear()


def _plan(request: Json) -> PlanAnswer:
    decision: Decision = "conclusion" if observed(request) == ROUNDS else "caller"
    return PlanAnswer(
        thought=_THOUGHT, next=decision, text=write_plan(_THOUGHT, decision), usage=USAGE, timings=Timings()
    )


def _call(request: Json) -> CallAnswer:
    arguments = {"order": _job(request), "parcel": observed(request)}
    action = ActionModel(name=TOOL, arguments=arguments)
    return CallAnswer(action=action, text=write_call(TOOL, arguments), usage=USAGE, timings=Timings())


def _summarize(_: Json) -> SummarizeAnswer:
    return SummarizeAnswer(answer=_ANSWER, usage=USAGE, timings=Timings())


def _streamed(answer: BaseModel, content: bytes) -> bytes:
    """The answer as a stream of its words."""
    fields = answer.model_dump(include={"text", "answer"})
    words = [f"{word} " for text in fields.values() for word in str(text).split()]
    deltas = "".join(f"event: delta\ndata: {json.dumps({'text': word})}\n\n" for word in words)
    return deltas.encode() + b"event: done\ndata: " + content + b"\n\n"


def observed(request: Json) -> int:
    """How many observations the history of a request to a role has."""
    return sum(turn["role"] == "observation" for turn in request["history"])


def _job(request: Json) -> str:
    return str(request["history"][0]["content"]).rpartition(" ")[2]


async def read_body(receive: Receive) -> bytes:
    """The body of a request."""
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def respond(send: Send, content: bytes, media_type: bytes = b"application/json") -> None:
    """Answer with status 200."""
    headers = [(b"content-type", media_type), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def serve(app: ASGIApp, port: int) -> None:
    """Serve on loopback until a signal."""
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        log_level="error",
        access_log=False,
        lifespan="off",
        timeout_keep_alive=60,
        backlog=4_096,
    )


if __name__ == "__main__":
    serve(ScriptedServices(), int(sys.argv[1]))
