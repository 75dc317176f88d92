"""The Responses interface on a web socket (Open Responses 2026-04-24, "WebSocket Transport").

A client sends `response.create` messages, which are carried out one after the other, and gets the events that the
stream of each response has. A response with `store: false` can be continued on its connection: the connection holds its
trajectory until it closes, until newer ones take the place, or until a continuation of it fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from typing import Any, Final

from fastapi import APIRouter, HTTPException
from pydantic import ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState
from websockets.frames import CloseCode

from alpha_umi import telemetry
from alpha_umi.contract.openai.errors import WebSocketError, error_body, status_of
from alpha_umi.contract.openai.response_events import OPENAI_HEADER
from alpha_umi.contract.openai.responses import CreateResponse
from alpha_umi.contract.problems import Kind, ServiceError, refusal
from alpha_umi.contract.stream_events import Reconnect
from alpha_umi.web.problems import invalid_request, unreadable_body
from alpha_umi.web.scopes import User
from orchestrator.api.answers import abandon
from orchestrator.api.bodies import read_json
from orchestrator.api.store_problems import store_problem
from orchestrator.assembly import Orchestrator
from orchestrator.openai.begin import ResponseRequests
from orchestrator.openai.ids import response_id
from orchestrator.openai.models import ModelNames
from orchestrator.openai.previous import stored_turn
from orchestrator.openai.response_view import response_events
from orchestrator.race import race
from orchestrator.runs.idempotency import AcceptedRequest
from orchestrator.runs.manager import RunLease
from orchestrator.store import StoreError, TrajectoryNotFound
from orchestrator.stream.follow import follow

# Of a connection, in seconds: until its last request, and between two requests.
MAX_AGE_S: Final = 3_600.0
IDLE_S: Final = 600.0
# Requests that wait for the response before them, and their characters together.
MAX_WAITING: Final = 32
LARGE: Final = 64 * 1024
# Responses with `store: false` that a connection holds.
MAX_HELD: Final = 32
_CREATE: Final = "response.create"

_log = telemetry.logger(__name__)


def create_router(orchestrator: Orchestrator) -> APIRouter:
    """The route over one orchestrator."""
    router = APIRouter()
    requests = ResponseRequests(orchestrator, ModelNames(orchestrator))

    @router.websocket("/v1/responses")
    async def responses(socket: WebSocket, user: User) -> None:
        orchestrator.runs.require_open()
        with orchestrator.streams.slot(user.owner):
            await socket.accept()
            await _Connection(orchestrator, requests, socket, user.owner).serve()

    return router


class _Holder:
    """Holds the trajectory of a response that is not stored."""


class _Connection:
    """One open connection."""

    def __init__(self, orchestrator: Orchestrator, requests: ResponseRequests, socket: WebSocket, owner: str) -> None:
        self._orchestrator = orchestrator
        self._requests = requests
        self._socket = socket
        self._owner = owner
        self._waiting: asyncio.Queue[str] = asyncio.Queue()
        self._waiting_characters = 0
        self._is_answering = False
        self._has_begun = asyncio.Event()
        # By the id of the response, the oldest first.
        self._held: OrderedDict[str, _Holder] = OrderedDict()
        self._end = CloseCode.NORMAL_CLOSURE, ""

    async def serve(self) -> None:
        """Answer requests until the connection ends."""
        # A client that leaves ends the answer.
        try:
            answering = await race(self._answer_all(), self._read_all())
        finally:
            self._held.clear()
        if not answering.cancelled():
            answering.result()
        if self._socket.client_state is WebSocketState.CONNECTED:
            with contextlib.suppress(WebSocketDisconnect):
                await self._socket.close(*self._end)

    async def _read_all(self) -> None:
        """Collect requests. Return when the client has left, or sends what is not accepted."""
        while True:
            message = await self._socket.receive()
            text = message.get("text")
            if text is None:
                self._end = CloseCode.UNSUPPORTED_DATA, "send text"
                return
            is_behind = self._is_answering or not self._waiting.empty()
            self._waiting_characters += len(text)
            if self._waiting.qsize() >= MAX_WAITING or (is_behind and self._waiting_characters > LARGE):
                reason = f"up to {MAX_WAITING} requests with {LARGE} characters together may wait for a response's end"
                self._end = CloseCode.POLICY_VIOLATION, reason
                return
            self._waiting.put_nowait(text)
            if len(text) > LARGE:
                # Its memory is counted until more is received.
                self._has_begun.clear()
                await self._has_begun.wait()

    async def _answer_all(self) -> None:
        """Answer the requests in order. Return when the connection has lasted long enough, or was not used."""
        last = time.monotonic() + MAX_AGE_S
        while (left_s := last - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(min(IDLE_S, left_s)):
                    text = await self._waiting.get()
            except TimeoutError:
                if left_s > IDLE_S:
                    self._end = CloseCode.NORMAL_CLOSURE, f"no request came in {IDLE_S:g} s"
                    return
                continue
            self._waiting_characters -= len(text)
            self._is_answering = True
            await self._answer(text)
            self._is_answering = False
        detail = f"a connection takes requests for {MAX_AGE_S / 60:g} minutes"
        await self._send_error(ServiceError("websocket-connection-limit-reached", f"{detail}; open a new one"))

    async def _answer(self, text: str) -> None:
        """The events of one response, or an error. A request that fails gives up what it would have continued."""
        named = None
        try:
            fields = await _fields_of(text)
            named = fields.get("previous_response_id")
            accepted, lease = await self._begun(_request_of(fields))
            self._has_begun.set()
            try:
                await self._send_events(accepted)
            finally:
                self._abandon(lease)
        except (WebSocketDisconnect, asyncio.CancelledError):
            raise
        except Exception as error:
            if isinstance(named, str):
                self._held.pop(named, None)
            await self._send_error(_problem_of(error))
        finally:
            self._has_begun.set()

    async def _begun(self, body: CreateResponse) -> tuple[AcceptedRequest, RunLease | None]:
        """Accept a request. If the client leaves meanwhile, what was accepted is cancelled."""
        beginning = asyncio.create_task(self._begin(body))
        try:
            return await asyncio.shield(beginning)
        except asyncio.CancelledError:
            with contextlib.suppress(ServiceError, StoreError):
                self._abandon((await beginning)[1])
            raise

    async def _begin(self, body: CreateResponse) -> tuple[AcceptedRequest, RunLease | None]:
        accepted = await self._requests.begin(body, owner=self._owner, unstored=self._held.keys())
        if not body.store:
            holder = _Holder()
            self._orchestrator.response_deletion.hold(accepted.trajectory_id, holder)
            self._held[response_id(accepted.trajectory_id, accepted.seq)] = holder
            if len(self._held) > MAX_HELD:
                self._held.popitem(last=False)
        return accepted, None if accepted.run is None else accepted.run.acquire()

    async def _send_events(self, accepted: AcceptedRequest) -> None:
        store, run = self._orchestrator.store, accepted.run
        row = await store.get(accepted.trajectory_id, owner=self._owner) if run is None else run.row
        number = response_id(accepted.trajectory_id, accepted.seq)
        turn = await stored_turn(store, number, owner=self._owner)
        if turn is None:
            raise TrajectoryNotFound(number)
        names = OPENAI_HEADER in self._socket.headers
        items = follow(store, row, self._orchestrator.runs.broadcast_of(run), after=accepted.seq - 1)
        async with contextlib.aclosing(response_events(turn, items, openai_names=names)) as events:
            async for event in events:
                if isinstance(event, Reconnect):
                    kind: Kind = "shutting-down" if self._orchestrator.runs.stopping else "storage-unavailable"
                    raise ServiceError(kind, f"{event.reason}; read {number} with GET /v1/responses/{number}")
                await self._socket.send_text(event.data())

    def _abandon(self, lease: RunLease | None) -> None:
        """Nobody waits for the response any more. Without effect on one that has ended."""
        if lease is not None:
            abandon(self._orchestrator, lease)

    async def _send_error(self, error: ServiceError) -> None:
        event = WebSocketError(status=status_of(error.kind), error=error_body(error))
        await self._socket.send_text(event.model_dump_json())


async def _fields_of(text: str) -> dict[str, Any]:
    """The fields of a `response.create`. Raises `ServiceError`."""
    try:
        fields = await read_json(text.encode())
    except HTTPException as error:
        raise ServiceError("body-too-large", str(error.detail)) from error
    except (ValueError, RecursionError) as error:
        raise unreadable_body() from error
    if not isinstance(fields, dict) or fields.pop("type", None) != _CREATE:
        detail = f"a message is a JSON object of the type `{_CREATE}`"
        raise refusal("type", detail, f'send {{"type": "{_CREATE}", ...}}')
    return fields


def _request_of(fields: dict[str, Any]) -> CreateResponse:
    """The request. Raises `ServiceError`."""
    try:
        body = CreateResponse.model_validate(fields | {"stream": fields.get("stream", True)})
    except ValidationError as error:
        raise invalid_request({**each, "loc": ("body", *each["loc"])} for each in error.errors()) from error
    for field, is_refused in (("stream", not body.stream), ("background", body.background)):
        if is_refused:
            detail = "the events of a response are sent on its connection, while it is written"
            raise refusal(field, detail, "leave the field out, or use POST /v1/responses")
    return body


def _problem_of(error: Exception) -> ServiceError:
    match error:
        case ServiceError():
            return error
        case StoreError():
            return store_problem(error)
        case _:
            _log.error("request.failed", exc_info=error)
            return ServiceError("internal", "the log has the details")
