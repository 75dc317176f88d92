"""Faults on request, to see what a client makes of them. Off unless the server was started with `--faults`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Annotated, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from pydantic import BaseModel, Field
from starlette.types import ASGIApp, Receive, Scope, Send

Mode = Literal["none", "refuse", "slow", "error_4xx", "error_5xx", "not_json", "too_large"]


class Fault(BaseModel):
    """What goes wrong, for paths that begin with `path`, for the next `times` requests (0: until switched off)."""

    mode: Mode = "none"
    path: str = "/"
    seconds: Annotated[float, Field(ge=0, le=300)] = 30.0
    times: Annotated[int, Field(ge=0)] = 0


@dataclass
class Faults:
    """The switch, and the middleware that obeys it."""

    current: Fault = field(default_factory=Fault)
    left: int = 0

    def router(self) -> APIRouter:
        """`POST /_faults`, which is no tool and stays out of the document."""
        router = APIRouter()

        @router.post("/_faults", include_in_schema=False)
        def set_fault(fault: Fault) -> Fault:
            self.current, self.left = fault, fault.times
            return fault

        return router

    def middleware(self, app: ASGIApp) -> ASGIApp:
        """Stands before the tools."""

        async def faulty(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or not self._strikes(scope["path"]):
                await app(scope, receive, send)
                return
            response = await self._response()
            if response is None:
                # An answer that is promised and does not come makes the server close the connection.
                await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
                return
            await response(scope, receive, send)

        return faulty

    def _strikes(self, path: str) -> bool:
        fault = self.current
        if fault.mode == "none" or path in ("/_faults", "/openapi.json") or not path.startswith(fault.path):
            return False
        if fault.times:
            self.left -= 1
            if self.left < 0:
                return False
        return True

    async def _response(self) -> Response | None:
        match self.current.mode:
            case "slow":
                await asyncio.sleep(self.current.seconds)
                return JSONResponse({"late": True})
            case "error_4xx":
                return JSONResponse({"detail": "this request is refused on request"}, 400)
            case "error_5xx":
                return JSONResponse({"detail": "this server fails on request"}, 500)
            case "not_json":
                return PlainTextResponse("{'this': is not JSON", media_type="application/json")
            case "too_large":
                return StreamingResponse(_flood(), media_type="application/json")
            case _:
                return None


async def _flood() -> AsyncIterator[bytes]:
    yield b'{"noise": "'
    for _ in range(64):
        yield b"x" * 2**18
    yield b'"}'
