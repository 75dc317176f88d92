"""A running orchestrator over REST: requests that wait for one that is away, and what keeps it from answering.

ServiceAway            it is not there, or stayed away for longer than it was waited for
OrchestratorRefused    it does not take this request; asking again is no use
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, TypeVar

import httpx
from httpx_sse import EventSource, ServerSentEvent, SSEError
from pydantic import BaseModel, Field, ValidationError

from alpha_umi.contract.stream_events import EventNotUnderstood, Reconnect, StreamEvent, TextDelta, read_stream_event
from alpha_umi.contract.trajectories import Trajectory
from evaluation.errors import EvaluationError, ServiceAway
from evaluation.patience import AWAY_STATUS, Away, Patience, patiently, retry_after_of
from evaluation.role_responses import problem_kind, reason_of

# An orchestrator sends a comment every 15 s, so a stream that is silent for this long is broken.
_TIMEOUT = httpx.Timeout(60.0, connect=5.0, pool=None)
# One stream for each trajectory that is followed; an idle connection is given up before the other side does.
_LIMITS = httpx.Limits(max_connections=None, keepalive_expiry=2.0)
AT_ONCE: Final = Patience(away_s=0)

Model = TypeVar("Model", bound=BaseModel)


class OrchestratorRefused(EvaluationError):
    """The orchestrator does not take a request. `kind` is that of its problem document, empty without one."""

    def __init__(self, message: str, *, remedy: str | None = None, kind: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.kind = kind


def client_of(address: str, *, api_key: str | None = None, trust_env: bool = False) -> httpx.AsyncClient:
    """A client of the orchestrator at an address; a proxy of the environment is used only if that is trusted."""
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    return httpx.AsyncClient(base_url=address, headers=headers, timeout=_TIMEOUT, limits=_LIMITS, trust_env=trust_env)


class Readiness(BaseModel):
    """`GET /readyz`: the replicas of each role by their addresses, and whether they write inside grammars."""

    replicas: dict[str, dict[str, object]] = Field(default_factory=dict)
    constrained: bool | None = None


async def send(
    client: httpx.AsyncClient, method: str, path: str, *, patience: Patience = AT_ONCE, **request: Any
) -> httpx.Response:
    """A successful response. Raises `ServiceAway`, `OrchestratorRefused`."""

    async def attempt(_: int) -> httpx.Response | Away:
        try:
            response = await client.request(method, path, **request)
        except httpx.HTTPError as error:
            return _away_by(error)
        return await _accepted(client, response)

    return await patiently(attempt, patience, stayed_away(client))


async def read(
    model: type[Model], client: httpx.AsyncClient, method: str, path: str, *, patience: Patience = AT_ONCE, **more: Any
) -> Model:
    """What it answers. Raises as `send` does."""
    response = await send(client, method, path, patience=patience, **more)
    try:
        return model.model_validate_json(response.content)
    except ValidationError as error:
        raise _no_orchestrator(client, f"its answer to {method} {path} cannot be read") from error


async def ready(client: httpx.AsyncClient, *, patience: Patience = AT_ONCE) -> Readiness:
    """What a ready orchestrator says; one with a role that is away is not ready. Raises as `send` does."""
    return await read(Readiness, client, "GET", "/readyz", patience=patience)


async def follow(client: httpx.AsyncClient, trajectory_id: str, *, patience: Patience = AT_ONCE) -> Followed:
    """All that is told of a trajectory up to its end, however often the connection is lost. Raises as `send` does."""
    told = Followed(trajectory_id)
    while not told.ended:
        # Waiting begins anew after everything that comes.
        await patiently(lambda _: _listen(client, told), patience, stayed_away(client))
    return told


@dataclass
class Followed:
    """The events of a trajectory's stream so far, without live text."""

    trajectory_id: str
    events: list[StreamEvent] = field(default_factory=list)
    last_event_id: str = ""

    @property
    def ended(self) -> bool:
        """Whether the end has come."""
        return bool(self.events) and self.events[-1].context.trajectory is not None

    @property
    def trajectory(self) -> Trajectory:
        """The trajectory, which comes with the end."""
        if not self.events or (trajectory := self.events[-1].context.trajectory) is None:
            raise AssertionError("the stream has not ended")
        return trajectory

    def take(self, sent: ServerSentEvent) -> StreamEvent:
        """Add an event of the log. Raises `EventNotUnderstood`."""
        item = read_stream_event(sent.event, sent.data, sent.id)
        if not isinstance(item.event, TextDelta | Reconnect):
            self.last_event_id = sent.id
            self.events.append(item)
        return item


async def _listen(client: httpx.AsyncClient, told: Followed) -> bool | Away:
    """One connection: whether it told anything."""
    before, away = len(told.events), Away("the stream ended too early")
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": told.last_event_id} if told.last_event_id else {})
    try:
        async with client.stream("GET", f"/v1/trajectories/{told.trajectory_id}/events", headers=headers) as response:
            if not response.is_success:
                await response.aread()
            accepted = await _accepted(client, response)
            if isinstance(accepted, Away):
                return accepted
            async for event in EventSource(response).aiter_sse():
                item = told.take(event)
                if told.ended:
                    return True
                if isinstance(item.event, Reconnect):
                    away = Away("it is being restarted")
                    break
    except EventNotUnderstood as error:
        raise _no_orchestrator(client, str(error)) from error
    except (SSEError, ValueError) as error:
        raise _no_orchestrator(client, "it does not answer with events") from error
    except httpx.HTTPError as error:
        away = _away_by(error)
    return True if len(told.events) > before else away


async def _accepted(client: httpx.AsyncClient, response: httpx.Response) -> httpx.Response | Away:
    """A response that is a success. Raises `OrchestratorRefused`."""
    if response.is_success:
        return response
    if response.status_code in AWAY_STATUS:
        return Away(reason_of(response), retry_after_of(response))
    if response.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise OrchestratorRefused(
            f"the orchestrator at {shown(client)} wants another key",
            remedy="name its key with --api-key or ALPHA_UMI_API_KEY",
            kind=problem_kind(response),
        )
    kind = problem_kind(response)
    if not kind:
        raise _no_orchestrator(client, reason_of(response))
    raise OrchestratorRefused(reason_of(response), remedy=_remedy(response), kind=kind)


def stayed_away(client: httpx.AsyncClient) -> Callable[[str], ServiceAway]:
    """The error for a reason."""
    return lambda reason: ServiceAway(
        f"the orchestrator at {shown(client)} is away: {reason}",
        remedy="start it with `alpha-umi up`, or name its address with --url",
    )


def shown(client: httpx.AsyncClient) -> str:
    """Its address without the password that it may hold."""
    return str(client.base_url.copy_with(userinfo=b"")).rstrip("/")


def _no_orchestrator(client: httpx.AsyncClient, reason: str) -> OrchestratorRefused:
    return OrchestratorRefused(
        f"{shown(client)} is no orchestrator of this version: {reason}", remedy="check the address"
    )


def _away_by(error: httpx.HTTPError) -> Away:
    return Away(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)


def _remedy(response: httpx.Response) -> str | None:
    """What the problem document says is to be done."""
    errors = response.json().get("errors") or [{}]
    remedy = errors[0].get("remedy")
    return remedy if isinstance(remedy, str) else None
