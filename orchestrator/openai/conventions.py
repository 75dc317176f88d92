"""What OpenAI's clients expect of each response on their paths: the form of errors, and headers."""

from __future__ import annotations

import time
from typing import Any

from fastapi.responses import JSONResponse
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alpha_umi.contract.openai.errors import ErrorDocument, error_body, status_of
from alpha_umi.contract.problems import ServiceError
from alpha_umi.web.keys import Principal
from alpha_umi.web.problems import ERROR_FORM
from orchestrator.admission.admission import Admission

_ERROR: dict[str, Any] = {"model": ErrorDocument, "description": "An error as OpenAI's clients read it"}
ERROR_RESPONSES: dict[int | str, dict[str, Any]] = {"4XX": _ERROR, "5XX": _ERROR}
PATHS = ("/v1/responses", "/v1/conversations", "/v1/chat/completions", "/v1/models")


class OpenAIConventions:
    """ASGI middleware for requests to `PATHS`; it leaves others alone."""

    def __init__(self, app: ASGIApp, *, admission: Admission) -> None:
        self._app = app
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "lifespan" or not _is_openai(scope["path"]):
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        state = scope.setdefault("state", {})
        state[ERROR_FORM] = error_response

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = MutableHeaders(scope=message)
                headers["openai-processing-ms"] = str(round((time.perf_counter() - started) * 1_000))
                if "retry-after" in headers:
                    headers["retry-after-ms"] = str(int(headers["retry-after"]) * 1_000)
                sender: Principal | None = state.get("principal")
                if sender is not None and "x-ratelimit-limit-requests" not in headers:
                    headers.update(self._admission.headers(sender.owner))
            await send(message)

        await self._app(scope, receive, send_with_headers)


def error_response(error: ServiceError, request_id: str | None) -> JSONResponse:
    """The response for an error as OpenAI's clients read it; they read the request id from the header."""
    return JSONResponse(ErrorDocument(error=error_body(error)).model_dump(), status_of(error.kind))


def _is_openai(path: str) -> bool:
    return any(path == each or path.startswith(f"{each}/") for each in PATHS)
