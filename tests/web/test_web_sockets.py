"""Web sockets of a real server: what a client sends, or does not send, is bounded in size, number and time."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, WebSocket
from prometheus_client import CollectorRegistry
from starlette.websockets import WebSocketDisconnect
from support.raw_http import RawConnection, raw_connection, status_of
from support.serving_on_loopback import serving, until
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from alpha_umi.web import connections, web_sockets
from alpha_umi.web.application import create_application
from alpha_umi.web.web_sockets import MAX_MESSAGE_BYTES, MAX_WAITING, MessageMemory

KEY = "canary-key-4c1d-9b0e57a2f681"
TEXT, BINARY, CLOSE, PING = 0x1, 0x2, 0x8, 0x9


class Application:
    """An application that answers each message with its length, unless it is `held`."""

    def __init__(self, **options: Any) -> None:
        self.ended: list[int] = []
        self.held = asyncio.Event()
        self.held.set()
        router = APIRouter()

        @router.websocket("/v1/echo")
        async def echo(socket: WebSocket) -> None:
            await socket.accept()
            try:
                while True:
                    await self.held.wait()
                    text = await socket.receive_text()
                    await socket.send_text("x" * int(text[4:]) if text.startswith("send") else str(len(text)))
            except WebSocketDisconnect as left:
                self.ended.append(left.code)

        async def ready() -> dict[str, Any]:
            return {}

        self.registry = CollectorRegistry()
        self.app: FastAPI = create_application(
            title="test", routers=[router], readiness=ready, registry=self.registry, **options
        )


@pytest.fixture
async def application() -> Application:
    return Application()


@pytest.fixture
async def address(application: Application) -> AsyncIterator[str]:
    async with serving(application.app) as address:
        yield address


def socket_of(address: str, **options: Any) -> connect:
    return connect(f"{address.replace('http', 'ws', 1)}/v1/echo", compression=None, **options)


def head(path: str = "/v1/echo", *more: str) -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key}",
        *more,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def frame(payload: bytes, opcode: int = TEXT, *, last: bool = True, length: int | None = None) -> bytes:
    """A frame whose mask is zero; `length` is that of its head."""
    size = len(payload) if length is None else length
    first = opcode | (0x80 if last else 0)
    if size < 126:
        start = bytes([first, 0x80 | size])
    elif size < 2**16:
        start = struct.pack("!BBH", first, 0xFE, size)
    else:
        start = struct.pack("!BBQ", first, 0xFF, size)
    return start + b"\0\0\0\0" + payload


async def opened(connection: RawConnection) -> None:
    await connection.send(head())
    assert status_of(await connection.answer()) == 101


async def close_code(connection: RawConnection) -> int | None:
    """The code of the close frame with which the server ends the connection."""
    received = await connection.rest()
    position, code = 0, None
    while position < len(received):
        opcode, size = received[position] & 0x0F, received[position + 1]
        assert size < 126
        if opcode == CLOSE:
            code = int.from_bytes(received[position + 2 : position + 4])
        position += 2 + size
    return code


async def closed(client: ClientConnection) -> int | None:
    with contextlib.suppress(ConnectionClosed):
        while True:
            await client.recv()
    return client.close_code


async def test_messages_of_any_cut_arrive(address: str) -> None:
    async with socket_of(address) as client:
        for size in (0, 1, 125, 126, 2**16, MAX_MESSAGE_BYTES):
            await client.send("x" * size)
            assert await client.recv() == str(size)
        await client.send(["a", "", "bc"])
        assert await client.recv() == "3"
    async with raw_connection(address) as connection:
        await opened(connection)
        for byte in frame(b"abc"):
            await connection.send(bytes([byte]))
        assert await connection.answer() == b"\x81\x013"


async def test_what_comes_with_the_head_is_not_lost(address: str) -> None:
    async with raw_connection(address) as connection:
        await connection.send(head() + frame(b"abc") + frame(b"x" * 40_000))
        received = b""
        while not received.endswith(b"40000"):
            received += await connection.answer()
        assert received.endswith(b"\x81\x013\x81\x0540000")


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"GET / HTTP/1.1\r\n\r\n" * 10, 1002),
        (os.urandom(64).join([b"\xff"] * 3), 1002),
        (b"\x81\x03abc", 1002),
        (frame(b"\xff\xfe"), 1007),
        (frame(b"x", TEXT, length=MAX_MESSAGE_BYTES + 1), 1009),
        (frame(b"", TEXT, length=2**62), 1009),
        (frame(b"x" * MAX_MESSAGE_BYTES, last=False) + frame(b"x", 0), 1009),
        (frame(b"x" * 126, PING), 1002),
        (frame(b"a", 0), 1002),
        (frame(b"a") * (MAX_WAITING + 100), 1008),
        (frame(b"a", last=False) + frame(b"", 0, last=False) * 20_000, 1008),
    ],
    ids=[
        "http", "noise", "unmasked", "no_utf8", "too_large", "far_too_large", "too_large_in_parts", "large_ping",
        "no_beginning", "many", "many_parts",
    ],
)  # fmt: skip
async def test_what_is_no_message_ends_the_connection(
    application: Application, address: str, sent: bytes, code: int
) -> None:
    async with raw_connection(address) as connection:
        await opened(connection)
        application.held.clear()
        await connection.send(sent)
        application.held.set() if code != 1008 else None
        assert await close_code(connection) == code
    application.held.set()
    await until(lambda: bool(application.ended))
    async with socket_of(address) as client:
        await client.send("next")
        assert await client.recv() == "4"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (head("/v1/none"), 403),
        (head("/v1/echo", "A: " + "b" * 10_000), 431),
        (head().replace(b"GET", b"POST"), 405),
        (head().replace(b"Version: 13", b"Version: 8"), 400),
        (head().replace(b"Key: ", b"Key: x"), 400),
    ],
)
async def test_a_handshake_that_is_refused_is_answered(address: str, sent: bytes, status: int) -> None:
    async with raw_connection(address) as connection:
        await connection.send(sent)
        assert status_of(await connection.rest()) == status


async def test_a_handshake_without_a_key_is_refused_over_http() -> None:
    async with serving(Application(keys=[KEY]).app) as address:
        with pytest.raises(InvalidStatus) as refused:
            async with socket_of(address):
                pass
        answer = refused.value.response
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert answer.headers["X-Request-Id"]
        assert json.loads(answer.body)["type"] == "urn:alpha-umi:problem:unauthorized"
        headers = {"Authorization": f"Bearer {KEY}"}
        async with socket_of(address, additional_headers=headers) as client:
            await client.send("abc")
            assert await client.recv() == "3"


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost", 101),
        ("https://LOCALHOST", 101),
        ("http://localhost:3000", 403),
        ("http://page.example", 403),
        ("http://localhost.page.example", 403),
        ("http://localhost@page.example", 403),
        ("null", 403),
        ("", 403),
    ],
)
async def test_no_page_of_another_site_opens_one(address: str, origin: str, status: int) -> None:
    async with raw_connection(address) as connection:
        await connection.send(head("/v1/echo", f"Origin: {origin}"))
        assert status_of(await connection.answer()) == status


async def test_a_slow_message_ends_the_connection_and_an_idle_client_does_not(
    monkeypatch: pytest.MonkeyPatch, application: Application
) -> None:
    monkeypatch.setattr(web_sockets, "BODY_S", 1)
    async with serving(application.app) as address, socket_of(address) as idle, raw_connection(address) as slow:
        await opened(slow)
        ending = asyncio.create_task(close_code(slow))
        sending = slow.send(frame(b"", length=1_000))
        while await sending and not ending.done():
            await asyncio.sleep(0.1)
            sending = slow.send(b"a")
        assert await ending == 1008
        await idle.send("abc")
        assert await idle.recv() == "3"


async def test_a_client_that_answers_pings_is_not_slow(
    monkeypatch: pytest.MonkeyPatch, application: Application
) -> None:
    monkeypatch.setattr(web_sockets, "BODY_S", 0)
    monkeypatch.setattr(web_sockets, "PING_S", 0.05)
    async with serving(application.app) as address, socket_of(address) as idle:
        await asyncio.sleep(2.5)
        await idle.send("abc")
        assert await idle.recv() == "3"


async def test_a_client_that_answers_no_ping_is_gone(monkeypatch: pytest.MonkeyPatch, application: Application) -> None:
    monkeypatch.setattr(web_sockets, "PING_S", 0.1)
    async with serving(application.app) as address, raw_connection(address) as silent:
        await opened(silent)
        assert await close_code(silent) == 1011


async def test_a_client_that_reads_nothing_is_gone(monkeypatch: pytest.MonkeyPatch, application: Application) -> None:
    monkeypatch.setattr(connections, "WRITE_S", 1)
    async with serving(application.app) as address, raw_connection(address) as connection:
        await opened(connection)
        await connection.send(frame(b"send50000000"))
        await until(lambda: bool(application.ended), seconds=30)


async def test_pings_of_a_client_that_reads_nothing_are_not_collected(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(web_sockets, "MAX_UNSENT", 2**16)
    pings = frame(b"x" * 125, PING) * 1_000
    async with raw_connection(address) as connection:
        await opened(connection)
        async with asyncio.timeout(30):
            while await connection.send(pings):
                pass


async def test_large_messages_share_a_memory(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(web_sockets, "SHARE_BYTES", 2**20)
    part = frame(b"x" * 900_000, length=2**20)
    async with raw_connection(address) as first, raw_connection(address) as second, socket_of(address) as small:
        await opened(first)
        await first.send(part)
        await small.send("x" * 200_000)
        assert await small.recv() == "200000"
        await opened(second)
        await second.send(part)
        assert await close_code(second) == 1013
        await first.send(b"x" * (2**20 - 900_000))
        assert (await first.answer()).endswith(b"1048576")
    for _ in range(3):
        async with socket_of(address) as again:
            await again.send("x" * 2**20)
            assert await again.recv() == str(2**20)


def test_the_memory_is_shared_by_owners() -> None:
    memory = MessageMemory()
    share = web_sockets.SHARE_BYTES
    assert memory.take("ann", share)
    assert not memory.take("ann", 1)
    assert memory.take("bob", share)
    assert not memory.take("eve", 1)
    memory.release("ann", share)
    assert memory.take("eve", share)


async def test_a_web_socket_takes_the_place_of_a_connection(application: Application) -> None:
    async with serving(application.app, max_connections=16) as address:
        for _ in range(3):
            clients = [await socket_of(address) for _ in range(8)]
            async with raw_connection(address) as further:
                await further.send(head())
                assert status_of(await further.rest()) == 503
            for client in clients:
                await client.close()
            await until(lambda: len(application.ended) % 8 == 0)


async def test_a_server_that_stops_says_so(application: Application) -> None:
    async with serving(application.app) as address:
        client = await socket_of(address)
    assert await closed(client) == 1001
    assert application.ended == [1001]
    counted = {"method": "GET", "route": "/v1/echo", "status": "101"}
    assert application.registry.get_sample_value("alpha_umi_http_requests_total", counted) == 1
