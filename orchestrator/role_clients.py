"""The role services as the orchestrator sees them: one HTTP request a call, and three ways in which it can fail.

The interface is httpx's, the transport aiohttp's: httpx's own connection pool slows down badly from about a hundred
concurrent calls on. Left out: retries and deadlines (see `role_calls`), and what an answer means.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport
from httpx_sse import EventSource, ServerSentEvent, SSEError
from pydantic import BaseModel, ValidationError

from alpha_umi.contract.problems import Problem
from alpha_umi.contract.roles import Delta, RoleAnswer, UsageModel
from alpha_umi.trajectory import Usage
from alpha_umi.trajectory.events import RoleKind
from orchestrator.errors import RoleError, RoleRefused, RoleUnavailable, RoleUnreadable

MAX_CONNECTIONS = 1_000
CONNECT_TIMEOUT_S = 3.0
# Below uvicorn's five seconds, so that no request goes out on a connection that the service is closing.
KEEP_ALIVE_S = 2.0
MAX_ANSWER_BYTES = 8 * 2**20
_UNREADABLE = ("output-unreadable", "call-invalid")
_RETRYABLE_STATUS = (408, 425, 429)

Answer = TypeVar("Answer", bound=RoleAnswer)
OnDelta = Callable[[str], None]


@contextlib.asynccontextmanager
async def role_http(token: str | None) -> AsyncIterator[httpx.AsyncClient]:
    """The HTTP client for all role services. Closed at the end of the block."""
    limits = httpx.Limits(max_connections=MAX_CONNECTIONS, keepalive_expiry=KEEP_ALIVE_S)
    async with httpx.AsyncClient(
        transport=AiohttpTransport(limits=limits, trust_env=False),
        timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT_S),
        headers={} if token is None else {"Authorization": f"Bearer {token}"},
        trust_env=False,
    ) as client:
        yield client


@dataclass(frozen=True)
class RoleClient:
    """One role service."""

    role: RoleKind
    url: str
    http: httpx.AsyncClient

    async def ask(
        self,
        path: str,
        request: BaseModel,
        answer: type[Answer],
        *,
        headers: Mapping[str, str],
        on_delta: OnDelta | None = None,
    ) -> Answer:
        """The answer to one request; with `on_delta` it is streamed and each piece of text handed over.

        Raises `RoleUnavailable`, `RoleRefused` or `RoleUnreadable`. A stream counts only if it ends with the whole
        answer: a part of one is never accepted.
        """
        try:
            async with self.http.stream(
                "POST", self._address(path), json=request.model_dump(mode="json"), headers=dict(headers)
            ) as response:
                if response.status_code != httpx.codes.OK:
                    raise self._failure(response.status_code, await _read(response), response.headers)
                if on_delta is None:
                    return self._parse(answer, await _read(response))
                return self._parse(answer, await self._follow(response, on_delta))
        except (httpx.HTTPError, aiohttp.ClientError, SSEError, OSError) as error:
            raise RoleUnavailable(f"{self.role} service: {_described(error)}") from error

    async def check_ready(self, *, timeout_s: float) -> None:
        """Ask whether the service can answer now. Raises `RoleUnavailable` with what it says."""
        try:
            response = await self.http.get(self._address("/readyz"), timeout=timeout_s)
        except (httpx.HTTPError, aiohttp.ClientError, OSError) as error:
            raise RoleUnavailable(f"{self.role} service: {_described(error)}") from error
        if response.status_code != httpx.codes.OK:
            problem = _problem(response.content)
            detail = problem.detail if problem else f"status {response.status_code}"
            raise RoleUnavailable(f"{self.role} service is not ready: {detail}")

    def _address(self, path: str) -> str:
        return self.url.rstrip("/") + path

    def _parse(self, answer: type[Answer], body: bytes | str) -> Answer:
        try:
            return answer.model_validate_json(body)
        except ValidationError as error:
            wrong = error.errors(include_input=False)[0]
            place = ".".join(str(part) for part in wrong["loc"]) or "the body"
            raise RoleUnavailable(f"{self.role} service: its answer cannot be read: {place}: {wrong['msg']}") from error

    async def _follow(self, response: httpx.Response, on_delta: OnDelta) -> str:
        """The data of the closing event."""
        received = 0
        async with contextlib.aclosing(EventSource(response).aiter_sse()) as events:
            async for event in events:
                received += len(event.data)
                if received > MAX_ANSWER_BYTES:
                    raise RoleUnavailable(f"{self.role} service: its answer is larger than {MAX_ANSWER_BYTES} bytes")
                if event.event == "done":
                    return event.data
                self._take(event, on_delta)
        raise RoleUnavailable(f"{self.role} service: its stream broke off before the answer was complete")

    def _take(self, event: ServerSentEvent, on_delta: OnDelta) -> None:
        if event.event == "delta":
            try:
                on_delta(Delta.model_validate_json(event.data).text)
            except ValidationError as error:
                raise RoleUnavailable(f"{self.role} service: a piece of its stream cannot be read") from error
        elif event.event == "error":
            problem = _problem(event.data)
            raise self._failure(problem.status if problem else 500, event.data)

    def _failure(self, status: int, body: bytes | str, headers: Mapping[str, str] | None = None) -> RoleError:
        """The error for an answer that is no answer, from its problem document if it has one."""
        problem = _problem(body)
        detail = f"status {status}" if problem is None else problem.detail
        extra = {} if problem is None else problem.model_extra or {}
        if problem is not None and problem.kind in _UNREADABLE:
            return RoleUnreadable(detail, text=str(extra.get("text", "")), usage=_usage(extra.get("usage")))
        if status == httpx.codes.UNAUTHORIZED:
            return RoleRefused(f"{self.role} service wants another token: set ALPHA_UMI_ROLE_TOKEN")
        if status < 500 and status not in _RETRYABLE_STATUS:
            return RoleRefused(f"{self.role} service refused the request: {detail}")
        return RoleUnavailable(f"{self.role} service: {detail}", retry_after_s=_retry_after(headers or {}))


async def _read(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise RoleUnavailable(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
    return bytes(body)


def _problem(body: bytes | str) -> Problem | None:
    try:
        return Problem.model_validate_json(body)
    except ValidationError:
        return None


def _usage(value: object) -> Usage:
    try:
        usage = UsageModel.model_validate(value or {})
    except ValidationError:
        return Usage()
    return Usage(usage.prompt_tokens, usage.completion_tokens)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds. The header may also hold a date, which no service of ours sends."""
    try:
        return max(0.0, float(headers.get("retry-after", "")))
    except ValueError:
        return None


def _described(error: Exception) -> str:
    # The transport calls a refused connection a timeout; aiohttp's own error knows better.
    match error.__cause__ or error:
        case aiohttp.ClientConnectorError() | aiohttp.ConnectionTimeoutError() | httpx.ConnectError():
            return "it cannot be reached"
        case SSEError():
            return "it did not answer with an event stream"
        case _:
            return "the connection broke before the answer was complete"
