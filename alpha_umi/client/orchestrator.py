"""The orchestrator's REST API: requests that are retried by a policy, and streams that resume after a lost connection.

async with OrchestratorClient("http://127.0.0.1:8000") as client:
    async for event in client.stream(CreateTrajectory(instruction="How many kilograms are 150 pounds?")):
        print(event.event, event.data)
"""

from __future__ import annotations

import contextlib
import copy
import json
import uuid
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

import httpx
from httpx_sse import EventSource, ServerSentEvent, SSEError
from pydantic import BaseModel, Field, ValidationError

from alpha_umi.client.errors import InvalidResponse, RequestRefused, StreamBroken, Unavailable
from alpha_umi.client.http import problem_of, public_url
from alpha_umi.client.retry import NO_RETRY, RETRYABLE_STATUS, Backoff, Failure, RetryPolicy, retry
from alpha_umi.contract.client_turns import AddMessage
from alpha_umi.contract.http import is_loopback
from alpha_umi.contract.problems import Problem
from alpha_umi.contract.tool_calls import ToolCallResult, ToolDetails
from alpha_umi.contract.tool_sources import ToolSourceInfo, ToolSourceList
from alpha_umi.contract.trajectories import CreateTrajectory, Prune, Pruned, ToolList, Trajectory, TrajectoryList
from alpha_umi.contract.validation import explain
from alpha_umi.trajectory import Status

DEFAULT_URL: Final = "http://127.0.0.1:8000"
RESUME: Final = RetryPolicy(wait_s=10.0, longest_pause_s=2.0)
# An orchestrator sends a comment every 15 s, so a stream that is silent for this long is broken.
_TIMEOUT = httpx.Timeout(60.0, connect=5.0, pool=None)
# Each trajectory that is followed has a connection. Idle ones are closed before the server closes them.
_LIMITS = httpx.Limits(max_connections=None, keepalive_expiry=2.0)
_PAGE = 100
_TRAJECTORIES = "/v1/trajectories"
_TOOLS = "/v1/tools"
_SOURCES = "/v1/tool-sources"
FINISHED: Final = "trajectory.finished"
RECONNECT: Final = "reconnect"

Model = TypeVar("Model", bound=BaseModel)
Events = AsyncGenerator[ServerSentEvent, None]


class Readiness(BaseModel):
    """`GET /readyz`: the states of each role's replicas by address, and whether the roles write inside grammars."""

    replicas: dict[str, dict[str, object]] = Field(default_factory=dict)
    constrained: bool | None = None


@dataclass
class _Position:
    """How far a stream was read. `trajectory_id` is known once a connection was accepted."""

    trajectory_id: str | None
    last_event_id: str = ""
    connected: bool = False
    failure: Failure = field(default_factory=lambda: Failure(""))


class OrchestratorClient:
    """One orchestrator. All methods raise `Unavailable`, `RequestRefused` and `InvalidResponse`.

    `retry` is the policy for requests, and for the first connection to an existing trajectory's stream; `resume` that
    for streams whose connection was lost. A proxy of the environment is not used for an address of this machine.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        retry: RetryPolicy = NO_RETRY,
        resume: RetryPolicy = RESUME,
    ) -> None:
        self.url = url.rstrip("/")
        self.retry = retry
        self._resume = resume
        self._http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=_TIMEOUT,
            limits=_LIMITS,
            trust_env=not is_loopback(httpx.URL(url).host),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    def without_retry(self) -> Self:
        """The same client, which sends requests once and does not resume streams."""
        client = copy.copy(self)
        client.retry = client._resume = NO_RETRY
        return client

    async def ready(self) -> Readiness:
        """The details of `/readyz`. Raises `Unavailable` also while a role or the event log is unavailable."""
        return await self._read(Readiness, "GET", "/readyz")

    async def create(self, request: CreateTrajectory, *, idempotency_key: str | None = None) -> Trajectory:
        """Create a trajectory that runs in the background: `follow` it. Retries create no second one."""
        body = request.model_copy(update={"background": True, "stream": False})
        headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        return await self._read(Trajectory, "POST", _TRAJECTORIES, json=_body(body), headers=headers)

    def stream(self, request: CreateTrajectory) -> Events:
        """Create a trajectory; its events up to its end. It is cancelled when the stream is closed before."""
        body = request.model_copy(update={"stream": True, "background": False})
        return self._events("POST", _TRAJECTORIES, _Position(None), _body(body))

    def add_message(self, trajectory_id: str, message: AddMessage) -> Events:
        """Add a user turn to a finished trajectory; the events from there to its end, as `stream` has them."""
        body = message.model_copy(update={"stream": True, "background": False})
        return self._events("POST", f"{_path(trajectory_id)}/messages", _Position(None), _body(body))

    def follow(self, trajectory_id: str) -> Events:
        """All events of a trajectory up to its end. Closing the stream does not cancel the trajectory."""
        return self._events("GET", _events_path(trajectory_id), _Position(trajectory_id))

    async def trajectory(self, trajectory_id: str) -> Trajectory:
        """One trajectory."""
        return await self._read(Trajectory, "GET", _path(trajectory_id))

    async def newest(self, *, status: Status | None = None) -> Trajectory | None:
        """The trajectory that was created last, of those with a status if one is given."""
        page = await self._read(TrajectoryList, "GET", _TRAJECTORIES, params=_query(1, status))
        return next(iter(page.data), None)

    async def trajectories(self, *, status: str | None = None) -> AsyncGenerator[Trajectory, None]:
        """All trajectories, newest first, of those with a status if one is given."""
        query = _query(_PAGE, status)
        while True:
            page = await self._read(TrajectoryList, "GET", _TRAJECTORIES, params=query)
            for trajectory in page.data:
                yield trajectory
            if not page.has_more or not page.data:
                return
            query["after"] = page.data[-1].id

    async def cancel(self, trajectory_id: str) -> Trajectory:
        """Cancel a trajectory; one that has ended stays as it is."""
        try:
            return await self._read(Trajectory, "POST", f"{_path(trajectory_id)}/cancel")
        except RequestRefused as error:
            if error.kind != "trajectory-finished":
                raise
            return await self.trajectory(trajectory_id)

    async def prune(self, request: Prune) -> Pruned:
        """Delete a batch of old trajectories."""
        return await self._read(Pruned, "POST", "/v1/prune", json=_body(request))

    async def delete(self, trajectory_id: str) -> None:
        """Delete a finished trajectory for good."""
        await self._send("DELETE", _path(trajectory_id))

    async def tools(self) -> ToolList:
        """The tools on offer."""
        return await self._read(ToolList, "GET", _TOOLS)

    async def tool(self, name: str) -> ToolDetails:
        """One tool, with an example call."""
        return await self._read(ToolDetails, "GET", f"{_TOOLS}/{quote(name, safe='')}")

    async def call_tool(
        self,
        name: str,
        arguments: str,
        *,
        confirm: bool = False,
        idempotency_key: str | None = None,
    ) -> ToolCallResult:
        """Call a tool by hand; `confirm` one that may change something. Retries do not call it again.

        `arguments` is a JSON object as text, so that numbers keep their digits.
        """
        headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex, "Content-Type": "application/json"}
        body = f'{{"arguments": {arguments}, "confirm": {json.dumps(confirm)}}}'
        path = f"{_TOOLS}/{quote(name, safe='')}/calls"
        return await self._read(ToolCallResult, "POST", path, content=body, headers=headers)

    async def tool_sources(self) -> list[ToolSourceInfo]:
        """The sources of tools, those that failed included."""
        return (await self._read(ToolSourceList, "GET", _SOURCES)).data

    async def add_tool_source(self, name: str, url: str | None = None, **settings: Any) -> ToolSourceInfo:
        """Register the operations of the OpenAPI document at `url`, or of the setting `document`, as tools.

        `settings` are further fields of `POST /v1/tool-sources`.
        """
        body = {"name": name, "kind": "openapi", **settings} | ({} if url is None else {"url": url})
        return await self._read(ToolSourceInfo, "POST", _SOURCES, json=body)

    async def remove_tool_source(self, name: str) -> None:
        """Remove a source and its tools."""
        await self._send("DELETE", f"{_SOURCES}/{quote(name, safe='')}")

    async def _read(self, model: type[Model], method: str, path: str, **request: Any) -> Model:
        response = await self._send(method, path, **request)
        try:
            return model.model_validate_json(response.content)
        except ValidationError as error:
            raise self._invalid(
                f"its answer to {method} {path} cannot be read: {explain(error, at='the body')}"
            ) from error

    async def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        async def attempt(_: int) -> httpx.Response | Failure:
            try:
                response = await self._http.request(method, self.url + path, **request)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                return Failure.of_error(error)
            return self._failure(response) or response

        return await retry(attempt, self.retry, self._unavailable)

    async def _events(
        self, method: str, path: str, position: _Position, body: Mapping[str, Any] | None = None
    ) -> Events:
        # A request that creates something is sent once: it has no idempotency key.
        backoff = Backoff(self.retry if method == "GET" else NO_RETRY)
        while True:
            async with contextlib.aclosing(self._connection(method, path, position, body)) as events:
                async for event in events:
                    if event.event != RECONNECT:
                        backoff.reset()
                    yield event
                    if event.event == FINISHED:
                        return
            if not position.connected:
                await backoff.pause(position.failure, self._unavailable)
                continue
            if position.trajectory_id is None:
                raise self._broken(position)
            backoff.policy = self._resume
            await backoff.pause(position.failure, lambda failure: self._broken(position))
            method, path, body = "GET", _events_path(position.trajectory_id), None

    async def _connection(self, method: str, path: str, position: _Position, body: Mapping[str, Any] | None) -> Events:
        """The events of one connection; `position.failure` says why it ended."""
        headers = {"Accept": "text/event-stream"}
        if position.last_event_id:
            headers["Last-Event-ID"] = position.last_event_id
        position.failure = Failure("the stream ended before the trajectory did")
        try:
            async with self._http.stream(method, self.url + path, headers=headers, json=body) as response:
                if not response.is_success:
                    await response.aread()
                if failure := self._failure(response):
                    position.failure = failure
                    return
                position.connected = True
                position.trajectory_id = position.trajectory_id or _created(response)
                async for event in EventSource(response).aiter_sse():
                    if not event.data:  # a keep-alive comment, which is no event (httpx-sse yields one after an id)
                        continue
                    position.last_event_id = event.id or position.last_event_id
                    if event.event == RECONNECT:
                        position.failure = Failure("it is restarting")
                    yield event
        except SSEError as error:
            raise self._invalid("it does not answer with an event stream") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            position.failure = Failure.of_error(error)

    def _failure(self, response: httpx.Response) -> Failure | None:
        """Why a request may be repeated; None for success. Raises `RequestRefused` for every other status."""
        if response.is_success:
            return None
        if response.status_code in RETRYABLE_STATUS:
            return Failure.of_response(response)
        problem = problem_of(response)
        if response.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise RequestRefused(
                problem or _without_document(response),
                message=f"the orchestrator at {public_url(self.url)} does not accept the API key",
                remedy="name its key with --api-key or ALPHA_UMI_API_KEY",
            )
        if problem is None:
            problem = _without_document(response)
            raise RequestRefused(problem, message=self._invalid(problem.detail).message, remedy="check the address")
        raise RequestRefused(problem, remedy=next((item.remedy for item in problem.errors), None))

    def _unavailable(self, failure: Failure) -> Unavailable:
        return Unavailable(
            f"the orchestrator at {public_url(self.url)} is unavailable: {failure.reason}",
            remedy="start it with `alpha-umi up`, or name its address with --url",
            problem=failure.problem,
        )

    def _broken(self, position: _Position) -> StreamBroken:
        remedy = "send the request again"
        if position.trajectory_id is not None:
            remedy = f"`alpha-umi show {position.trajectory_id}` shows how far the trajectory is"
        return StreamBroken(self._unavailable(position.failure).message, remedy=remedy)

    def _invalid(self, reason: str) -> InvalidResponse:
        return InvalidResponse(
            f"{public_url(self.url)} is not an orchestrator of this version: {reason}", remedy="check the address"
        )


def _body(request: BaseModel) -> dict[str, Any]:
    return request.model_dump(mode="json", exclude_none=True)


def _query(limit: int, status: str | None) -> dict[str, str]:
    return {"limit": str(limit)} | ({} if status is None else {"status": status})


def _path(trajectory_id: str) -> str:
    return f"{_TRAJECTORIES}/{quote(trajectory_id, safe='')}"


def _events_path(trajectory_id: str) -> str:
    return f"{_path(trajectory_id)}/events"


def _created(response: httpx.Response) -> str | None:
    return response.headers.get("Location", "").rpartition("/")[2] or None


def _without_document(response: httpx.Response) -> Problem:
    detail = f"status {response.status_code}, without a problem document: {response.text[:200]}"
    return Problem(type="about:blank", title="This is not the orchestrator", status=response.status_code, detail=detail)
