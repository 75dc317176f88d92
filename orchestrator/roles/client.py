"""One replica of a role service over HTTP: sends one request, and translates its failures.

Leaves out retries and deadlines (see `calls`), and the meaning of an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import aiohttp
import httpx
from httpx_sse import EventSource, ServerSentEvent, SSEError
from pydantic import ValidationError

from alpha_umi.contract.http import parse_retry_after
from alpha_umi.contract.problems import UNUSABLE_OUTPUT, Problem
from alpha_umi.contract.roles import Answer, Delta, ModelList, Timings, UsageModel
from alpha_umi.contract.validation import explain
from alpha_umi.roles.turns import Role
from alpha_umi.trajectory import Usage
from orchestrator.roles.errors import (
    RoleBusy,
    RoleError,
    RoleFaulty,
    RoleRefused,
    RoleUnavailable,
    RoleUnreachable,
    RoleUnreadable,
)
from orchestrator.roles.http import RoleHttp
from orchestrator.roles.request import OnDelta, RoleRequest

# The orchestrator's own machine has no free socket: that says nothing about the service.
_NO_SOCKET = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL)
MAX_ANSWER_BYTES = 8 * 2**20
# The request was not accepted: timeout, too early, too many; and statuses of gateways and of starting services.
_BUSY_STATUS = (408, 425, 429)
_DOWN_STATUS = (502, 503, 504)


@dataclass(frozen=True)
class ModelLimits:
    """The tokens of a model's context, and the sequences that its engine runs at a time (None: not known).

    `name` is that of the model, `source` the origin of its weights where its manifest names one.
    """

    context: int
    capacity: int | None = None
    name: str = ""
    source: str | None = None


@dataclass(frozen=True)
class RoleClient:
    """One replica. `url` is its base URL."""

    role: Role
    url: str
    http: RoleHttp

    async def call(self, request: RoleRequest[Answer], on_delta: OnDelta | None = None) -> Answer:
        """The answer to one request; with `on_delta` it is streamed, and each piece of text is passed on.

        Raises `RoleUnavailable`, `RoleFaulty`, `RoleRefused` or `RoleUnreadable`. A stream counts only if it ends with
        the complete answer.
        """
        body = request.body.model_dump_json().encode()
        try:
            async with self.http.exchange(
                "POST", self._address(request.spec.path), content=body, headers=request.headers
            ) as response:
                if response.status_code != httpx.codes.OK:
                    raise self._failure(response.status_code, await self._read(response), response.headers)
                text = await (self._read(response) if on_delta is None else self._follow(response, on_delta))
                return self._parse(request.spec.answer, text)
        except SSEError as error:
            raise RoleFaulty(f"{self.role} service: it did not answer with an event stream") from error
        except (httpx.HTTPError, aiohttp.ClientError, OSError) as error:
            raise self._unavailable(error) from error

    async def check_ready(self, *, timeout_s: float) -> None:
        """Check whether the service is ready. Raises `RoleUnavailable` with its reason."""
        try:
            async with self.http.exchange("GET", self._address("/readyz"), timeout_s=timeout_s) as response:
                body = await self._read(response)
        except (httpx.HTTPError, aiohttp.ClientError, OSError) as error:
            raise self._unavailable(error) from error
        if response.status_code != httpx.codes.OK:
            problem = _problem(body)
            detail = problem.detail if problem else f"status {response.status_code}"
            raise RoleUnavailable(f"{self.role} service is not ready: {detail}")

    async def read_model(self, *, timeout_s: float) -> ModelLimits:
        """The limits of the service's models. Raises `RoleError`."""
        try:
            async with (
                asyncio.timeout(timeout_s),
                self.http.exchange("GET", self._address("/v1/models"), timeout_s=timeout_s) as response,
            ):
                models = ModelList.model_validate_json(await self._read(response)).data
        except (httpx.HTTPError, aiohttp.ClientError, OSError) as error:
            raise self._unavailable(error) from error
        except ValidationError as error:
            raise RoleFaulty(f"{self.role} service: its list of models cannot be read") from error
        ours = [model for model in models if model.role == self.role]
        if not ours:
            raise RoleFaulty(f"{self.role} service: it lists no model of this role")
        return ModelLimits(
            context=min(model.max_model_len for model in ours),
            capacity=min((model.capacity for model in ours if model.capacity is not None), default=None),
            name=ours[0].id,
            source=(ours[0].manifest or {}).get("source"),
        )

    def _address(self, path: str) -> httpx.URL:
        return _address(self.url, path)

    def _parse(self, answer: type[Answer], body: bytes | str) -> Answer:
        try:
            return answer.model_validate_json(body)
        except ValidationError as error:
            fault = explain(error, at="the body")
            raise RoleFaulty(f"{self.role} service: its answer cannot be read: {fault}") from error

    async def _follow(self, response: httpx.Response, on_delta: OnDelta) -> str:
        """The data of the final event."""
        received = 0
        async with contextlib.aclosing(EventSource(response).aiter_sse()) as events:
            async for event in events:
                received += len(event.data)
                if received > MAX_ANSWER_BYTES:
                    raise self._too_large()
                if event.event == "done":
                    return event.data
                self._take(event, on_delta)
        raise RoleUnavailable(f"{self.role} service: its stream broke off before the answer was complete")

    def _take(self, event: ServerSentEvent, on_delta: OnDelta) -> None:
        if event.event == "delta":
            try:
                on_delta(Delta.model_validate_json(event.data).text)
            except ValidationError as error:
                raise RoleFaulty(f"{self.role} service: a piece of its stream cannot be read") from error
        elif event.event == "error":
            problem = _problem(event.data)
            raise self._failure(problem.status if problem else 500, event.data)

    def _failure(self, status: int, body: bytes | str, headers: Mapping[str, str] | None = None) -> RoleError:
        """The error for an error response, from its problem document if it has one."""
        problem = _problem(body)
        detail = f"status {status}" if problem is None else problem.detail
        extra = {} if problem is None else problem.model_extra or {}
        if problem is not None and problem.kind in UNUSABLE_OUTPUT:
            return RoleUnreadable(
                detail,
                text=str(extra.get("text", "")),
                usage=_usage(extra.get("usage")),
                attempts=_attempts(extra.get("timings")),
                call_unfinished=extra.get("call_unfinished") is True,
            )
        if status == httpx.codes.UNAUTHORIZED:
            return RoleRefused(f"{self.role} service wants another token: set ALPHA_UMI_ROLE_TOKEN")
        retry_after_s = parse_retry_after((headers or {}).get("retry-after", ""))
        if status in _BUSY_STATUS:
            return RoleBusy(f"{self.role} service: {detail}", retry_after_s=retry_after_s)
        if status in _DOWN_STATUS:
            return RoleUnavailable(f"{self.role} service: {detail}", retry_after_s=retry_after_s)
        if status < 500:
            return RoleRefused(f"{self.role} service refused the request: {detail}")
        return RoleFaulty(f"{self.role} service: {detail}")

    async def _read(self, response: httpx.Response) -> bytes:
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise self._too_large()
        return bytes(body)

    def _too_large(self) -> RoleFaulty:
        return RoleFaulty(f"{self.role} service: its answer is larger than {MAX_ANSWER_BYTES} bytes")

    def _unavailable(self, error: Exception) -> RoleUnavailable:
        # The transport reports a refused connection as a timeout; the aiohttp error behind it is exact.
        match error.__cause__ or error:
            case OSError(errno=number) if number in _NO_SOCKET:
                return RoleBusy(f"{self.role} service: this machine has no free connection ({os.strerror(number)})")
            case aiohttp.ClientConnectorError() | aiohttp.ConnectionTimeoutError() | httpx.ConnectError():
                return RoleUnreachable(f"{self.role} service: it cannot be reached")
            case _:
                return RoleUnavailable(f"{self.role} service: the connection broke before the answer was complete")


@lru_cache
def _address(base: str, path: str) -> httpx.URL:
    # Parsing a URL takes httpx as long as sending a short request.
    return httpx.URL(base.rstrip("/") + path)


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


def _attempts(value: object) -> int:
    try:
        return Timings.model_validate(value or {}).attempts
    except ValidationError:
        return 1
