"""Planner, caller, summarizer and the single model as one real HTTP application whose answers a test writes beforehand.

Only the language model is missing: requests are checked against the wire models, answers go over real sockets.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel

from alpha_umi.contract.problems import Kind, ServiceError
from alpha_umi.contract.roles import (
    ActionModel,
    CallAnswer,
    CallRequest,
    ModelInfo,
    ModelList,
    PlanAnswer,
    PlanRequest,
    StepAnswer,
    StepRequest,
    SummarizeAnswer,
    SummarizeRequest,
    Timings,
    UsageModel,
)
from alpha_umi.roles.caller import write_call
from alpha_umi.roles.planner import Decision, write_plan
from alpha_umi.roles.turns import Role
from orchestrator.race import race

USAGE = UsageModel(prompt_tokens=10, completion_tokens=5)


@dataclass(frozen=True)
class Reply:
    """A role's response to a request. `deltas` are sent first if the request wants a stream.

    With `until`, nothing is sent before that event; `pause_s` seconds pass before each delta.
    """

    body: bytes
    status: int = 200
    media_type: str = "application/json"
    deltas: tuple[str, ...] = ()
    hang: bool = False
    cut: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    until: asyncio.Event | None = None
    pause_s: float = 0.0


Script = Callable[[dict[str, Any]], Reply]


def decide(thought: str, decision: Decision, *, attempts: int = 1) -> Reply:
    """The planner decides."""
    text, timings = write_plan(thought, decision), Timings(attempts=attempts)
    answer = PlanAnswer(thought=thought, next=decision, text=text, usage=USAGE, timings=timings)
    return _reply(answer, [f"{word} " for word in thought.split()])


def call(name: str, /, *, call_unfinished: bool = False, **arguments: Any) -> Reply:
    """The caller calls."""
    action, text = ActionModel(name=name, arguments=arguments), write_call(name, arguments)
    answer = CallAnswer(action=action, text=text, call_unfinished=call_unfinished, usage=USAGE, timings=Timings())
    return _reply(answer)


def say(answer: str, *, unfinished: bool = False) -> Reply:
    """The summarizer answers."""
    return _reply(
        SummarizeAnswer(answer=answer, unfinished=unfinished, usage=USAGE, timings=Timings()),
        [f"{word} " for word in answer.split()],
    )


def step_to_call(thought: str, name: str, **arguments: Any) -> Reply:
    """The single model calls."""
    text = write_call(name, arguments)
    return _step(thought, "caller", text, action=ActionModel(name=name, arguments=arguments))


def step_to_no_call(thought: str, text: str, reason: str) -> Reply:
    """The single model wrote a call that cannot be made."""
    return _step(thought, "caller", text, reason=reason)


def step_to_answer(thought: str, answer: str, *, unfinished: bool = False) -> Reply:
    """The single model answers."""
    return _step(thought, "conclusion", answer, answer=answer, unfinished=unfinished)


def step_to_give_up(thought: str) -> Reply:
    """The single model gives up."""
    return _step(thought, "give up", "")


def _step(thought: str, decision: Decision, text: str, **fields: Any) -> Reply:
    answer = StepAnswer(thought=thought, next=decision, text=text, usage=USAGE, timings=Timings(), **fields)
    return _reply(answer, [f"{word} " for word in f"{thought} {text}".split()])


def problem(kind: Kind, detail: str, **extra: Any) -> Reply:
    """A problem document."""
    document = ServiceError(kind, detail, extra=extra).document()
    return Reply(document.model_dump_json().encode(), document.status, "application/problem+json")


def hang() -> Reply:
    """No answer, until the client leaves."""
    return Reply(b"", hang=True)


def in_turn(*replies: Reply) -> Script:
    """The replies in order; the last one is repeated."""
    waiting = list(replies)
    return lambda _: waiting.pop(0) if len(waiting) > 1 else waiting[0]


def _reply(answer: BaseModel, deltas: Sequence[str] = ()) -> Reply:
    return Reply(answer.model_dump_json().encode(), deltas=tuple(deltas))


def _set_event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass
class ScriptedRoles:
    """The scripts, and what was asked. `left` lists the roles whose client went away without an answer."""

    planner: Script = field(default_factory=lambda: in_turn(decide("nothing to do", "conclusion")))
    caller: Script = field(default_factory=lambda: in_turn(problem("call-invalid", "no call was scripted")))
    summarizer: Script = field(default_factory=lambda: in_turn(say("done")))
    backbone: Script = field(default_factory=lambda: in_turn(step_to_answer("nothing to do", "done")))
    requests: list[tuple[Role, dict[str, Any], dict[str, str]]] = field(default_factory=list)
    left: list[Role] = field(default_factory=list)
    # Tokens of every model's context; None: the models are not listed.
    context: int | None = None
    # Generations that each role reports to run at once; None: it reports nothing.
    capacity: int | None = None
    ready: bool = True
    readiness_checks: int = 0
    # While it is cleared, readiness checks are not answered.
    thawed: asyncio.Event = field(default_factory=_set_event)
    requested: asyncio.Event = field(default_factory=asyncio.Event)

    def bodies_of(self, role: Role) -> list[dict[str, Any]]:
        """The bodies that a role was sent."""
        return [body for known, body, _ in self.requests if known == role]

    def tools_of(self, role: Role) -> list[list[str]]:
        """The names of the tools in each request to a role."""
        return [[tool["name"] for tool in body["tools"]] for body in self.bodies_of(role)]

    def application(self) -> FastAPI:
        """All services under one address."""
        app = FastAPI()

        @app.get("/readyz")
        async def readyz() -> Response:
            self.readiness_checks += 1
            await self.thawed.wait()
            if self.ready:
                return JSONResponse({"status": "ready"})
            return await self._respond(problem("engine-not-ready", "the model is loading"), stream=False)

        @app.get("/v1/models")
        async def models() -> Response:
            if self.context is None:
                return Response(status_code=404)
            infos = [
                ModelInfo(
                    id=role,
                    created=0,
                    max_model_len=self.context,
                    capacity=self.capacity,
                    role=role,
                    template="t",
                )
                for role in ("planner", "caller", "summarizer", "backbone")
            ]
            return JSONResponse(ModelList(data=infos).model_dump(mode="json"))

        @app.post("/v1/plan")
        async def plan(body: PlanRequest, request: Request) -> Response:
            return await self._answer("planner", self.planner, body, request)

        @app.post("/v1/call")
        async def call(body: CallRequest, request: Request) -> Response:
            return await self._answer("caller", self.caller, body, request)

        @app.post("/v1/summarize")
        async def summarize(body: SummarizeRequest, request: Request) -> Response:
            return await self._answer("summarizer", self.summarizer, body, request)

        @app.post("/v1/step")
        async def step(body: StepRequest, request: Request) -> Response:
            return await self._answer("backbone", self.backbone, body, request)

        return app

    async def _answer(self, role: Role, script: Script, body: BaseModel, request: Request) -> Response:
        plain = body.model_dump(mode="json")
        self.requests.append((role, plain, dict(request.headers)))
        self.requested.set()
        reply = script(plain)
        stream = bool(plain.get("stream"))
        if reply.until is not None and (await race(reply.until.wait(), _leaves(request))).cancelled():
            self.left.append(role)
            return Response(status_code=499)
        if reply.hang and not stream:
            await self._until_left(role, request)
            return Response(status_code=499)
        return await self._respond(reply, stream=stream, role=role, request=request)

    async def _respond(
        self, reply: Reply, *, stream: bool, role: Role = "planner", request: Request | None = None
    ) -> Response:
        if not stream or reply.status != 200 or reply.media_type != "application/json":
            return Response(reply.body, reply.status, reply.headers, reply.media_type)
        return StreamingResponse(self._events(reply, role, request), media_type="text/event-stream")

    async def _events(self, reply: Reply, role: Role, request: Request | None) -> AsyncIterator[str]:
        try:
            for text in reply.deltas or ("…",):
                if reply.pause_s:
                    await asyncio.sleep(reply.pause_s)
                yield f"event: delta\ndata: {json.dumps({'text': text})}\n\n"
            if reply.hang and request is not None:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.left.append(role)
            raise
        if not reply.cut:
            yield f"event: done\ndata: {reply.body.decode()}\n\n"

    async def _until_left(self, role: Role, request: Request) -> None:
        await _leaves(request)
        self.left.append(role)


async def _leaves(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
