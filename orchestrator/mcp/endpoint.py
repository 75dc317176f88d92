"""The endpoint `/mcp`: streamable HTTP, stateless (2026-07-28) and with the sessions of the versions before.

The guard has checked key and Host before. A session belongs to an owner, ends when its client ends it or after half an
hour without an open request, and is lost with the process: a client then gets 404 and begins another one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser, AuthorizationContext
from mcp.server.auth.provider import AccessToken
from mcp.server.lowlevel import Server
from mcp.server.streamable_http import StreamableHTTPServerTransport
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.requests import HTTPConnection
from starlette.types import Message, Receive, Scope, Send

from alpha_umi.contract.problems import ServiceError
from alpha_umi.web.guard import check_origin
from alpha_umi.web.scopes import require_scope
from orchestrator.assembly import Orchestrator
from orchestrator.mcp.server import create_mcp_server
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.race import race

MAX_SESSIONS: Final = 1_000
MAX_SESSIONS_PER_OWNER: Final = MAX_SESSIONS // 2
IDLE_S: Final = 30 * 60
# An instruction of the largest length whose every character is an escape has 384 KiB.
MAX_BODY_BYTES: Final = 2**20


class McpEndpoint:
    """An ASGI application for one path. `lifespan` must be entered before the first request."""

    def __init__(self, orchestrator: Orchestrator) -> None:
        self._orchestrator = orchestrator
        self._sessions = _Sessions(
            create_mcp_server(orchestrator),
            metrics=orchestrator.metrics,
            session_idle_timeout=IDLE_S,
            max_sessions=MAX_SESSIONS,
            max_request_body_size=MAX_BODY_BYTES,
        )

    @contextlib.asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Serve until the block ends, which ends all sessions."""
        async with self._sessions.run():
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises `ServiceError`."""
        connection = HTTPConnection(scope)
        principal = connection.state.principal
        require_scope(principal, "use")
        check_origin(connection)
        # What the SDK compares: another owner's session is one that does not exist.
        scope["user"] = AuthenticatedUser(AccessToken(token="", client_id=principal.owner, scopes=[]))
        left = connection.state.left = asyncio.Event()

        async def watched() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect":
                left.set()
            return message

        if scope["method"] == "GET":
            with self._orchestrator.streams.slot(principal.owner):
                await self._listen(scope, watched, send)
        else:
            await self._sessions.handle_request(scope, watched, send)

    async def _listen(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The stream of a session, which has no messages but keeps it open. It ends before the process does."""
        begun = complete = False

        async def watched(message: Message) -> None:
            nonlocal begun, complete
            begun = True
            complete = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        stream = self._sessions.handle_request(scope, receive, watched)
        listening = await race(stream, self._orchestrator.runs.until_stopping())
        if not listening.cancelled():
            listening.result()
        elif not begun:
            self._orchestrator.runs.require_open()
        elif not complete:
            await send({"type": "http.response.body", "body": b"", "more_body": False})


class _Sessions(StreamableHTTPSessionManager):
    """Sessions whose number is bounded for each owner as well. Their owners are those of the SDK's own table."""

    def __init__(self, app: Server[Any], *, metrics: OrchestratorMetrics, **limits: Any) -> None:
        super().__init__(app, **limits)
        self._metrics = metrics

    def _admit_session(self, requestor: AuthorizationContext | None) -> StreamableHTTPServerTransport | None:
        own = sum(owner == requestor for owner in self._session_owners.values())
        if own >= MAX_SESSIONS_PER_OWNER:
            self._metrics.refused.labels(reason="sessions").inc()
            raise ServiceError(
                "owner-limit",
                f"the owner has {own} open sessions, which is the maximum",
                field="Mcp-Session-Id",
                remedy="end sessions with DELETE, or use protocol version 2026-07-28, which has none",
                extra={"reason": "sessions"},
            )
        return super()._admit_session(requestor)
