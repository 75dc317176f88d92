"""Web sockets with the bounds of HTTP connections: size and speed of messages, idle clients, memory, readers.

Messages are not compressed: a compressed one would cost memory and time that its size does not show. Where an
application refuses a client before the handshake, the client gets an HTTP answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import Any

from uvicorn import Config
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import CloseCode, Frame

from alpha_umi import telemetry
from alpha_umi.web.connections import BODY_RATE, BODY_S, Door, Reader

MAX_MESSAGE_BYTES = 6 * 2**20
# Messages of one client that wait for the application, and the parts of a message, which has one more for 64 bytes.
MAX_WAITING = 32
MAX_PARTS = 4_096
# A client that does not answer a ping within the same time again is gone.
PING_S = 20
# Bytes of messages that are received or read: what each connection has free, and what all of an owner may have beyond
# it. There is twice as much in all.
FREE_BYTES = 256 * 2**10
SHARE_BYTES = 32 * 2**20
# What is sent in answer to pings does not wait for a slow reader.
MAX_UNSENT = 2**20

_log = telemetry.logger(__name__)
# uvicorn's messages have addresses and queries of clients.
_SILENT = logging.getLogger(f"{__name__}.uvicorn")
_SILENT.setLevel(logging.WARNING)


class MessageMemory:
    """The bytes of large messages, by owner."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    def take(self, owner: str, count: int) -> bool:
        """Count bytes; False if there is no room."""
        fits = self._taken[owner] + count <= SHARE_BYTES and self._taken.total() + count <= 2 * SHARE_BYTES
        self._taken[owner] += count if fits else 0
        return fits

    def release(self, owner: str, count: int) -> None:
        """These bytes are not needed any more."""
        self._taken[owner] -= count
        self._taken += Counter()  # drops the owners without any


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """One web socket. `check` is called once a second."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        door: Door,
        memory: MessageMemory,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.logger = self.conn.logger = _SILENT
        self._door = door
        self._memory = memory
        self._admitted = False
        # Of the message that is being received: bytes, parts and seconds.
        self._received = self._parts = self._seconds = 0
        self._counted = 0
        self._reader = Reader()

    @property
    def _address(self) -> str:
        return self.client[0] if self.client else ""

    @property
    def _owner(self) -> str:
        """Who has the connection; empty until the guard knows."""
        state = self.scope.get("state") if self.handshake_initiated else None
        return state["principal"].owner if state and "principal" in state else ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the place of the HTTP connection that became this one."""
        super().connection_made(transport)
        self._admitted = self._door.enter(self._address)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        super().connection_lost(exc)
        self._release()
        if self._admitted:
            self._admitted = False
            self._door.leave(self._address)

    def data_received(self, data: bytes) -> None:
        """Count and parse."""
        if self.transport.is_closing():
            return
        self._received += len(data)
        more = max(0, self._received - FREE_BYTES) - self._counted
        if more > 0 and not self._memory.take(self._owner, more):
            self._fail(CloseCode.TRY_AGAIN_LATER, "other messages take the memory that is meant for them")
            return
        self._counted += max(0, more)
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            # uvicorn does not send what the library answers to a head that it cannot read.
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()
        elif self.queue.qsize() > MAX_WAITING:
            self._fail(CloseCode.POLICY_VIOLATION, f"more than {MAX_WAITING} messages wait")
        elif self.transport.get_write_buffer_size() > MAX_UNSENT:
            self.transport.abort()

    def handle_cont(self, event: Frame) -> None:
        """A further part of a message."""
        self._parts += 1
        if self._parts > MAX_PARTS + self._received // 64:
            self._fail(CloseCode.POLICY_VIOLATION, "the parts of the message are too small")
            return
        super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        """A message is complete."""
        self._received = self._parts = 0
        super().send_receive_event_to_app()

    async def receive(self) -> Any:
        """The next message. The application is done with the one before."""
        self._release()
        return await super().receive()

    async def send(self, message: Any) -> None:
        """Send a message of the application. Raises `OSError` when the connection has ended."""
        if self.close_sent and self.initial_response is None:
            # uvicorn takes this for a fault of the application, which cannot know yet.
            raise ClientDisconnected
        await super().send(message)

    def shutdown(self) -> None:
        """Close: the server stops."""
        if self.handshake_complete and not self.close_sent and not self.transport.is_closing():
            self._fail(CloseCode.GOING_AWAY, "the server stops")
        else:
            super().shutdown()

    def check(self) -> None:
        """Close the connection if the client is too slow."""
        partial = self.frames or self.conn.reader.buffer
        self._seconds = self._seconds + 1 if partial and not self.read_paused else 0
        if self._seconds > BODY_S + self._received // BODY_RATE:
            self._fail(
                CloseCode.POLICY_VIOLATION, f"the message is slower than {BODY_RATE} bytes a second after {BODY_S} s"
            )
        if self._reader.is_stalled(self.transport, paused=not self.writable.is_set()):
            _log.info("connection.stalled", client=self._address)
            self.transport.abort()

    def _fail(self, code: CloseCode, reason: str) -> None:
        """Close the connection, with a reason."""
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.conn.fail(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.transport.close()

    def _release(self) -> None:
        if self._counted:
            self._memory.release(self._owner, self._counted)
            self._counted = 0
