"""HTTP to the role services: httpx's types on aiohttp's transport.

httpx's own connection pool becomes slow at about a hundred concurrent calls. Its client is not used either: cookies,
redirects and merged headers, which role services do not need, take longer than the request itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping

import httpx
from httpx_aiohttp import AiohttpTransport

# A busy machine takes seconds to connect; a probe that cannot connect is repeated soon, so that a host that returns is
# noticed soon.
CONNECT_TIMEOUT_S = 10.0
PROBE_CONNECT_TIMEOUT_S = 3.0
# Below uvicorn's five seconds, so that no request goes out on a connection that the service is closing.
KEEP_ALIVE_S = 2.0
# Larger bodies are written in pieces, so that other requests are served meanwhile.
_PIECE_BYTES = 2**20
_NO_HEADERS: Mapping[str, str] = {}


class RoleHttp:
    """Sends requests to all role services, without compression."""

    def __init__(self, transport: httpx.AsyncBaseTransport, token: str | None) -> None:
        self._transport = transport
        self._headers = {"User-Agent": "alpha-umi", "Accept-Encoding": "identity", "Content-Type": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"

    @contextlib.asynccontextmanager
    async def exchange(
        self,
        method: str,
        url: httpx.URL,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
        timeout_s: float | None = None,
    ) -> AsyncIterator[httpx.Response]:
        """The response, its body still to be read; `timeout_s`, of a probe, bounds each wait for a piece of it.

        Raises `httpx.HTTPError`, `aiohttp.ClientError` and `OSError`, while the body is read as well.
        """
        connect_s = CONNECT_TIMEOUT_S if timeout_s is None else min(timeout_s, PROBE_CONNECT_TIMEOUT_S)
        request = httpx.Request(
            method,
            url,
            content=content if content is None or len(content) <= _PIECE_BYTES else _pieces(content),
            headers={**self._headers, **headers},
            extensions={"timeout": {"connect": connect_s, "read": timeout_s}},
        )
        response = await self._transport.handle_async_request(request)
        try:
            yield response
        finally:
            await response.aclose()


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), _PIECE_BYTES):
        yield content[start : start + _PIECE_BYTES]


@contextlib.asynccontextmanager
async def role_http(token: str | None) -> AsyncIterator[RoleHttp]:
    """The HTTP transport to all role services, closed at the end of the block."""
    # Unbounded (aiohttp's 0): requests wait in the role's gate, where no time limit runs, and never in the pool.
    limits = httpx.Limits(max_connections=0, keepalive_expiry=KEEP_ALIVE_S)
    async with AiohttpTransport(limits=limits, trust_env=False) as transport:
        yield RoleHttp(transport, token)
