"""Ids on every log line of a request, a request id on its response, and the limits of its body.

Plain ASGI: Starlette's BaseHTTPMiddleware would hide a disconnect from streaming endpoints.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alpha_umi import telemetry
from alpha_umi.web.bodies import Body, BodyMemory

HEADER = "X-Request-Id"
TRAJECTORY_HEADER = "X-Trajectory-Id"
STEP_HEADER = "X-Step"
# The messages that begin an answer, to a request and to the handshake of a web socket.
_ANSWERS = frozenset({"http.response.start", "websocket.http.response.start", "websocket.accept"})
_ACCEPTABLE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_STEP = re.compile(r"[0-9]{1,6}")

LogIds = Callable[[Scope], Mapping[str, object]]


def no_log_ids(_: Scope) -> Mapping[str, object]:
    """No ids."""
    return {}


def log_ids_from_headers(scope: Scope) -> Mapping[str, object]:
    """Trajectory and step from the headers of the request, for services that only the orchestrator calls."""
    headers = Headers(scope=scope)
    trajectory_id, step = headers.get(TRAJECTORY_HEADER, ""), headers.get(STEP_HEADER, "")
    ids: dict[str, object] = {}
    if _ACCEPTABLE.fullmatch(trajectory_id):
        ids["trajectory_id"] = trajectory_id
    if _STEP.fullmatch(step):
        ids["step"] = int(step)
    return ids


class RequestContext:
    """ASGI middleware: uses the client's `X-Request-Id` or a new one, binds log ids, and limits the body."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: int, log_ids: LogIds = no_log_ids) -> None:
        self._app = app
        self._bodies = BodyMemory(max_body_bytes)
        self._log_ids = log_ids

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        sent = Headers(scope=scope).get(HEADER, "")
        request_id = sent if _ACCEPTABLE.fullmatch(sent) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id

        body = Body(self._bodies, scope, receive)

        async def send_with_id(message: Message) -> None:
            if message["type"] in _ANSWERS:
                body.release()
                message.setdefault("headers", [])
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        with telemetry.bind(request_id=request_id, **self._log_ids(scope)):
            try:
                await self._app(scope, body.receive if scope["type"] == "http" else receive, send_with_id)
            finally:
                body.release()
