"""HTTP/1.1 connections with bounds: nothing that a client sends, or does not send, costs much or lasts for ever.

h11 is the only parser, also where uvicorn's faster one is installed, so that tests and images read requests alike.
A connection is closed when its next request has not come in `HEAD_S` seconds, when a body is slower than `BODY_RATE`,
when the rest of a body that was refused does not end, or when the client does not read its answer. uvicorn itself ends
connections that are idle between requests.
"""

from __future__ import annotations

import asyncio
import resource
import sys
from collections import Counter
from typing import Any

import h11
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol
from uvicorn.server import ServerState

from alpha_umi import telemetry
from alpha_umi.contract.problems import PROBLEM_MEDIA_TYPE, PROBLEMS, Kind, ServiceError

MAX_CONNECTIONS = 5_000
MAX_HEAD_BYTES = 16 * 2**10
MAX_HEADERS = 100
# A body may come in this many chunks, and in one more for every 64 bytes.
MAX_CHUNKS = 4_096
# The parser gets the received bytes in slices, so that no head longer than the limit and a slice is ever parsed.
SLICE = 16 * 2**10
# What a client may send before its request is answered: a little more than one read of the event loop.
MAX_AHEAD = 512 * 2**10
# Of a body that was answered before it came. A client that has sent more cannot use its connection again.
MAX_DISCARDED = 2 * 2**20

# In seconds, as the server calls `check` once a second.
HEAD_S = 15
BODY_S = 20
BODY_RATE = 64 * 2**10
LINGER_S = 5
WRITE_S = 30
WRITE_RATE = 1_024

# Half of the limit of open files is left to everything else.
_RESERVED_SHARE = 2

_log = telemetry.logger(__name__)


class Door:
    """The open connections of a server, bounded in all, and by half of that for one client's address."""

    def __init__(self, capacity: int = MAX_CONNECTIONS) -> None:
        self.capacity = capacity_of(capacity)
        self._by_address: Counter[str] = Counter()
        self._full = False

    def enter(self, address: str) -> bool:
        """Count a connection; False if there are too many."""
        full = self._by_address.total() >= self.capacity or self._by_address[address] >= self.capacity // 2
        if full and not self._full:
            _log.warning("connections.full", open=self._by_address.total(), of_this_client=self._by_address[address])
        self._full = full
        if not full:
            self._by_address[address] += 1
        return not full

    def leave(self, address: str) -> None:
        """A counted connection has ended."""
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]


class Reader:
    """Whether a client takes what is sent to it."""

    def __init__(self) -> None:
        self._unsent = (0, 0)

    def is_stalled(self, transport: asyncio.Transport, *, paused: bool) -> bool:
        """Every `WRITE_S` seconds with more to send than the client takes, it must have taken something.

        To be called once a second.
        """
        size = transport.get_write_buffer_size() if paused else 0
        before, seconds = self._unsent
        if not size or not before:
            self._unsent = (size, 0)
        elif seconds < WRITE_S:
            self._unsent = (before, seconds + 1)
        elif before - size < WRITE_S * WRITE_RATE:
            return True
        else:
            self._unsent = (size, 0)
        return False


class BoundedParser(h11.Connection):
    """h11 with limits of headers and chunks."""

    def __init__(self) -> None:
        super().__init__(h11.SERVER, MAX_HEAD_BYTES)
        self.received = self._chunks = 0

    def next_event(self) -> Any:
        """The next event of the client. Raises `h11.RemoteProtocolError`."""
        event = super().next_event()
        if isinstance(event, h11.Request):
            self.received = self._chunks = 0
            if len(event.headers) > MAX_HEADERS:
                raise h11.RemoteProtocolError(f"more than {MAX_HEADERS} headers", error_status_hint=431)
        elif isinstance(event, h11.Data):
            self.received += len(event.data)
            self._chunks += 1
            if self._chunks > MAX_CHUNKS + self.received // 64:
                raise h11.RemoteProtocolError("the chunks of the body are too small")
        return event


class BoundedConnection(H11Protocol):
    """One connection. `check` is called once a second."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        door: Door,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn: BoundedParser = BoundedParser()
        self._door = door
        self._admitted = False
        # Received while a request was being answered.
        self._ahead = b""
        # The rest of a body that was answered before it came.
        self._discarded = 0
        self._phase: tuple[object, ...] = ()
        self._seconds = 0
        self._reader = Reader()

    @property
    def _address(self) -> str:
        return self.client[0] if self.client else ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit the connection, or answer 503 and close it."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self._admitted = self._door.enter(self._address)
        if not self._admitted:
            self._refuse("overloaded", "too many connections are open")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        super().connection_lost(exc)
        self._leave()

    def _leave(self) -> None:
        if self._admitted:
            self._admitted = False
            self._door.leave(self._address)

    def data_received(self, data: bytes) -> None:
        """Parse in slices; what comes before the answer to a request is kept for later."""
        self._unset_keepalive_if_required()
        for start in range(0, len(data), SLICE):
            if self.transport.is_closing():
                return
            if (successor := self.transport.get_protocol()) is not self:
                successor.data_received(data[start:])  # type: ignore[attr-defined]
                return
            if self.conn.their_state is h11.DONE:
                self._keep(data[start:])
                return
            if self.conn.our_state is h11.DONE:
                self._discarded += SLICE
                if self._discarded > MAX_DISCARDED:
                    # The client can read its answer; `check` closes the connection.
                    self.flow.pause_reading()
                    return
            self.conn.receive_data(data[start : start + SLICE])
            self.handle_events()

    def _keep(self, data: bytes) -> None:
        self._ahead += data
        self.flow.pause_reading()
        if len(self._ahead) > MAX_AHEAD:
            self._refuse("malformed-request", "too much was sent ahead of the answer")

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Leave the connection to a web socket, with what was received beyond the request."""
        self._leave()
        super().handle_websocket_upgrade(event)
        if ahead := self.conn.trailing_data[0]:
            self.transport.get_protocol().data_received(ahead)  # type: ignore[attr-defined]

    def on_response_complete(self) -> None:
        """Go on with the next request."""
        self._discarded = 0
        super().on_response_complete()
        if self._ahead and not self.transport.is_closing():
            ahead, self._ahead = self._ahead, b""
            self.data_received(ahead)

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser did not accept."""
        error = sys.exc_info()[1]
        too_large = isinstance(error, h11.RemoteProtocolError) and error.error_status_hint == 431
        self._refuse("head-too-large" if too_large else "malformed-request", str(error) if error else msg)

    def check(self) -> None:
        """Close the connection if the client is too slow."""
        phase = (self.cycle, self.conn.their_state, self.conn.our_state is h11.DONE)
        if phase != self._phase:
            self._phase, self._seconds = phase, 0
        # While the application does not take the body, the client is not at fault.
        if not self.flow.read_paused or self.conn.our_state is h11.DONE:
            self._seconds += 1
        if self.conn.their_state is h11.IDLE and self._seconds > HEAD_S:
            if not self.conn.trailing_data[0]:
                self.transport.close()
            self._refuse("request-timeout", f"no complete head of a request came in {HEAD_S} s")
        elif self.conn.their_state is h11.SEND_BODY:
            self._check_body()
        if self._reader.is_stalled(self.transport, paused=self.flow.write_paused):
            _log.info("connection.stalled", client=self._address)
            self.transport.abort()

    def _check_body(self) -> None:
        allowed = LINGER_S if self.conn.our_state is h11.DONE else BODY_S + self.conn.received // BODY_RATE
        if self._seconds > allowed:
            self._refuse("request-timeout", f"the body is slower than {BODY_RATE} bytes a second after {BODY_S} s")

    def _refuse(self, kind: Kind, detail: str) -> None:
        """Close the connection, with an answer if none has begun."""
        if self.transport.is_closing():
            return
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.write(_response(ServiceError(kind, detail)))
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()


def _response(error: ServiceError) -> bytes:
    row = PROBLEMS[error.kind]
    body = error.document().model_dump_json(exclude_none=True).encode()
    retry = "" if row.retry_after_s is None else f"retry-after: {row.retry_after_s}\r\n"
    head = (
        f"HTTP/1.1 {row.status.value} {STATUS_PHRASES[row.status].decode()}\r\n{retry}"
        f"content-type: {PROBLEM_MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body


def capacity_of(max_connections: int) -> int:
    """The connections that may be open: those that are wanted, as far as files may be open."""
    return min(max_connections, _open_files() // _RESERVED_SHARE)


def _open_files() -> int:
    """How many files this process may have open, after raising its limit as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, 65_536) if hard != resource.RLIM_INFINITY else 65_536
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return 65_536 if soft == resource.RLIM_INFINITY else soft
