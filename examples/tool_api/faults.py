"""Fault injection, to test a client. Off unless the server is started with `--faults`.

The switch is reachable from loopback only, because it affects every client.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, Literal, assert_never

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import PlainTextResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import ASGIApp, Receive, Scope, Send

from examples.tool_api.errors import problem

Mode = Literal["none", "refuse", "slow", "error_4xx", "error_5xx", "not_json", "too_large"]

_SWITCH = "/_faults"
# The OpenAPI document stays readable, so that a client can be set up while the tools fail.
_SPARED = (_SWITCH, "/openapi.json")
_CHUNK = b"x" * 2**16


class Fault(BaseModel):
    """A fault: its mode, the prefix of its paths, and the number of its requests."""

    model_config = ConfigDict(extra="forbid")

    mode: Mode = "none"
    path: Annotated[str, Field(pattern="^/", description="Only requests whose path has this prefix")] = "/"
    times: Annotated[int, Field(ge=0, description="The number of requests; 0: until the next change")] = 0
    seconds: Annotated[float, Field(ge=0, le=300, description="`slow`: wait before the right answer")] = 30.0
    megabytes: Annotated[int, Field(ge=1, le=1024, description="`too_large`: size of the answer")] = 16


def is_loopback(host: str) -> bool:
    """Whether the address can only mean this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Faults:
    """The current fault, and the middleware that applies it."""

    def __init__(self, fault: Fault) -> None:
        self._set(fault)

    def router(self) -> APIRouter:
        """`POST /_faults`, which is not a tool and is not in the OpenAPI document."""
        router = APIRouter()

        @router.post(_SWITCH, include_in_schema=False)
        async def set_fault(fault: Fault, request: Request) -> Fault:
            if request.client is None or not is_loopback(request.client.host):
                raise HTTPException(HTTPStatus.FORBIDDEN, "faults can be set from loopback only")
            self._set(fault)
            return fault

        return router

    def middleware(self, app: ASGIApp) -> ASGIApp:
        """ASGI middleware around the tools."""

        async def faulty(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and self._strikes(scope["path"]):
                await _fail(self._fault, app, scope, receive, send)
            else:
                await app(scope, receive, send)

        return faulty

    def _set(self, fault: Fault) -> None:
        self._fault, self._left = fault, fault.times

    def _strikes(self, path: str) -> bool:
        fault = self._fault
        if fault.mode == "none" or path in _SPARED or not path.startswith(fault.path):
            return False
        if not fault.times:
            return True
        self._left -= 1
        return self._left >= 0


async def _fail(fault: Fault, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    failing: ASGIApp
    match fault.mode:
        case "none":
            failing = app
        case "slow":
            await asyncio.sleep(fault.seconds)
            failing = app
        case "refuse":
            failing = _close_the_connection
        case "error_4xx":
            failing = problem(HTTPStatus.BAD_REQUEST, "Fault", "refused by the fault of POST /_faults")
        case "error_5xx":
            failing = problem(HTTPStatus.INTERNAL_SERVER_ERROR, "Fault", "failed by the fault of POST /_faults")
        case "not_json":
            failing = PlainTextResponse("{'this': is not JSON", media_type="application/json")
        case "too_large":
            failing = StreamingResponse(_flood(fault.megabytes), media_type="application/json")
        case _:
            assert_never(fault.mode)
    await failing(scope, receive, send)


async def _close_the_connection(_: Scope, __: Receive, send: Send) -> None:
    # ASGI has no message for this. A server closes the connection if the announced body is incomplete.
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})


async def _flood(megabytes: int) -> AsyncIterator[bytes]:
    yield b'{"noise":"'
    for _ in range(megabytes * 2**20 // len(_CHUNK)):
        yield _CHUNK
    yield b'"}'
