"""Scripted roles, or a tool, as one process: real HTTP, a fixed time for each answer, a fixed number at once.

    python -m benchmarks.trust.services PORT [--seconds S] [--slots N]

An instruction is JSON: `steps` calls of the tool `tool`, the first of which has the number 0, with `arguments` beside
the names `order` and `parcel`. The planner counts the observations, so that a restarted process continues where it was.
`GET /state` returns how many calls of roles came, and when the first one did (monotonic).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from typing import Any
from urllib.parse import parse_qs

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
)
from alpha_umi.roles.caller import write_call
from alpha_umi.roles.planner import Decision, write_plan
from benchmarks import scripted
from benchmarks.scripted import TOOL, TOOL_PATH, USAGE, Json, observed, read_body, respond, serve

ROLES = ("planner", "caller", "summarizer", "backbone")
CONTEXT = 32_768


def instruction(job: str, *, steps: int = 1, tool: str = TOOL, **arguments: Any) -> str:
    """An instruction that these roles carry out."""
    return json.dumps({"job": job, "steps": steps, "tool": tool, "arguments": arguments})


def document() -> Json:
    """The tool's OpenAPI document, with an optional size of the answer."""
    described = scripted.document()
    parameters = described["paths"][TOOL_PATH]["get"]["parameters"]
    parameters[1]["required"] = False
    parameters.append({"name": "bytes", "in": "query", "schema": {"type": "integer", "minimum": 0}})
    return described


class Services:
    """The ASGI application."""

    def __init__(self, *, seconds: float, slots: int) -> None:
        self._seconds = seconds
        self._slots = {path: asyncio.Semaphore(slots) for path in (PLAN.path, CALL.path, SUMMARIZE.path)}
        self._capacity = slots
        self._calls = 0
        self._first_call: float | None = None
        self._answers = {PLAN.path: _plan, CALL.path: _call, SUMMARIZE.path: _summarize}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path: str = scope["path"]
        if path in self._answers:
            body = json.loads(await read_body(receive))
            self._calls += 1
            self._first_call = self._first_call or time.monotonic()
            async with self._slots[path]:
                await asyncio.sleep(self._seconds)
            answer = self._answers[path](body).model_dump_json()
            if body.get("stream"):
                await respond(send, f"event: done\ndata: {answer}\n\n".encode(), b"text/event-stream")
                return
            await respond(send, answer.encode())
        elif path == TOOL_PATH:
            query = parse_qs(scope["query_string"].decode())
            size = int(query.get("bytes", ["0"])[0])
            parcel = {"order": query["order"][0], "parcel": query.get("parcel"), "more": "x" * size}
            await respond(send, json.dumps(parcel).encode())
        else:
            await respond(send, json.dumps(self._other(path)).encode())

    def _other(self, path: str) -> Json:
        if path == "/state":
            return {"calls": self._calls, "first_call": self._first_call}
        if path == "/v1/models":
            shared = {"object": "model", "created": 0, "max_model_len": CONTEXT, "template": "toolbench"}
            models = [{"id": role, "role": role, "capacity": self._capacity, **shared} for role in ROLES]
            return {"object": "list", "data": models}
        return {"status": "ready"}


def _plan(request: Json) -> PlanAnswer:
    decision: Decision = "conclusion" if observed(request) >= _script(request)["steps"] else "caller"
    thought = "One more parcel of this order is needed."
    return PlanAnswer(
        thought=thought, next=decision, text=write_plan(thought, decision), usage=USAGE, timings=Timings()
    )


def _call(request: Json) -> CallAnswer:
    script = _script(request)
    arguments = {"order": script["job"], "parcel": observed(request), **script["arguments"]}
    if script["tool"] != TOOL:
        arguments = script["arguments"]
    action = ActionModel(name=script["tool"], arguments=arguments)
    return CallAnswer(action=action, text=write_call(script["tool"], arguments), usage=USAGE, timings=Timings())


def _summarize(_: Json) -> SummarizeAnswer:
    return SummarizeAnswer(answer="All parcels are on their way.", usage=USAGE, timings=Timings())


def _script(request: Json) -> Json:
    users = [turn["content"] for turn in request["history"] if turn["role"] == "user"]
    script: Json = json.loads(users[-1])
    return script


def main() -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("--seconds", type=float, default=0.0, help="time of an answer of a role")
    parser.add_argument("--slots", type=int, default=10_000, help="answers of a role at once; the others queue")
    options = parser.parse_args()
    serve(Services(seconds=options.seconds, slots=options.slots), options.port)


if __name__ == "__main__":
    main()
