"""Read HTTP responses: problem documents, bodies of bounded size, addresses without their passwords."""

from __future__ import annotations

import httpx
from pydantic import ValidationError

from alpha_umi.contract.problems import Problem


def public_url(url: str | httpx.URL) -> str:
    """The address without its user name, password and query, for messages."""
    return str(httpx.URL(url).copy_with(userinfo=b"", query=None)).rstrip("/")


def problem_of(response: httpx.Response) -> Problem | None:
    """The problem document of a failed response that was read; None if there is none."""
    if response.is_success:
        return None
    try:
        return Problem.model_validate_json(response.content)
    except ValidationError:
        return None


def reason_of(response: httpx.Response) -> str:
    """Why a request failed: the detail of the problem document, else the status."""
    problem = problem_of(response)
    return f"status {response.status_code}" if problem is None else problem.detail


async def read_bounded(response: httpx.Response, max_bytes: int) -> bytes:
    """The body of a streamed response; empty if it is longer, because a JSON text that is cut cannot be parsed."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > max_bytes:
            return b""
    return bytes(body)
