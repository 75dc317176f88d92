"""Read the body of a response that another machine wrote: never more of it than is wanted."""

from __future__ import annotations

import httpx


async def bounded_body(response: httpx.Response, most_bytes: int) -> bytes:
    """The body of a response that is being streamed; empty where it is longer: what is cut is no JSON."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > most_bytes:
            return b""
    return bytes(body)
