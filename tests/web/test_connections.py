"""Connections of a real server: what a client sends, or does not send, is bounded in size, number and time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from support.raw_http import GET, raw_connection, status_of
from support.serving_on_loopback import serving, until

from alpha_umi.web import bodies, connections
from alpha_umi.web.application import create_application
from alpha_umi.web.connections import Door

HEAD = b"POST /v1/length HTTP/1.1\r\nHost: localhost\r\n"


def application(**options: Any) -> FastAPI:
    router = APIRouter()

    @router.post("/v1/length")
    async def length(request: Request) -> int:
        return len(await request.body())

    @router.get("/v1/large")
    async def large() -> Response:
        return Response(b"x" * 2**25)

    async def ready() -> dict[str, Any]:
        return {}

    return create_application(title="test", routers=[router], readiness=ready, registry=CollectorRegistry(), **options)


@pytest.fixture
async def address() -> AsyncIterator[str]:
    async with serving(application()) as address:
        yield address


async def test_a_request_is_answered_however_it_is_cut(address: str) -> None:
    request = HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    async with raw_connection(address) as connection:
        for byte in request:
            assert await connection.send(bytes([byte]))
        assert status_of(await connection.answer()) == 200


async def test_requests_that_are_sent_ahead_are_answered_in_order(address: str) -> None:
    posts = b"".join(HEAD + b"Content-Length: %d\r\n\r\n" % n + b"x" * n for n in range(200))
    last = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    async with raw_connection(address) as connection:
        assert await connection.send(posts + last)
        answers = (await connection.rest()).split(b"HTTP/1.1 ")[1:]
    assert [answer[:3] for answer in answers] == [b"200"] * 201
    assert [answer.partition(b"\r\n\r\n")[2] for answer in answers[:200]] == [str(n).encode() for n in range(200)]


@pytest.mark.parametrize(
    ("sent", "status", "kind"),
    [
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 60_000, 431, "head-too-large"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 101 + b"\r\n", 431, "head-too-large"),
        (b"GET / HTTP/1.1\r\nA: " + b"b" * 100_000, 431, "head-too-large"),
        (b"GET /" + b"a" * 100_000, 431, "head-too-large"),
        (b"nonsense\r\n\r\n", 400, "malformed-request"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "malformed-request"),
        (HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400, "malformed-request"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 20_000, 400, "malformed-request"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * 100_000, 431, "head-too-large"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: b\r\n" * 60_000, 431, "head-too-large"),
        (GET * 20_000, 200, None),
    ],
    ids=lambda value: value[:40].decode() if isinstance(value, bytes) else None,
)
async def test_what_is_too_large_or_no_http_is_refused(
    address: str, sent: bytes, status: int, kind: str | None
) -> None:
    async with raw_connection(address) as connection:
        await connection.send(sent)
        answer = await connection.answer()
    assert status_of(answer) == status
    assert kind is None or f"urn:alpha-umi:problem:{kind}".encode() in answer
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{address}/healthz")).status_code == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", None),
        (b"GET /healthz HTT", 408),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n", 408),
        (HEAD + b"Content-Length: 10\r\n\r\nhalf", 408),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", 408),
        # Answered before its body is there.
        (b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf", 404),
    ],
)
async def test_half_a_request_ends(
    address: str, monkeypatch: pytest.MonkeyPatch, sent: bytes, status: int | None
) -> None:
    for name in ("HEAD_S", "BODY_S", "LINGER_S"):
        monkeypatch.setattr(connections, name, 0)
    async with raw_connection(address) as connection:
        await connection.send(sent)
        assert status_of(await connection.rest()) == status


async def test_the_rest_of_a_refused_body_is_not_read(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "LINGER_S", 1)
    async with raw_connection(address) as connection, asyncio.timeout(30):
        await connection.send(b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n")
        assert status_of(await connection.answer()) == 404
        sent = 0
        while await connection.send(b"x" * 2**16):
            sent += 2**16
        assert sent < 2**25, "all else is in buffers of the system"


async def test_a_slow_head_and_a_slow_body_end_although_bytes_come(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HEAD_S", "BODY_S", "LINGER_S"):
        monkeypatch.setattr(connections, name, 1)
    for start, more in (
        (b"GET /healthz HTTP/1.1\r\n", b"A: b\r\n"),
        (HEAD + b"Content-Length: 1000000\r\n\r\n", b"x"),
        (b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n", b"x"),
    ):
        async with raw_connection(address) as connection, asyncio.timeout(30):
            await connection.send(start)
            while await connection.send(more):
                await asyncio.sleep(0.1)


async def test_a_client_that_does_not_read_is_cut_off(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "WRITE_S", 1)
    async with raw_connection(address) as connection:
        await connection.send(b"GET /v1/large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await asyncio.sleep(0)
        connection._reader._transport.pause_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(30):
            while await connection.send(b"x"):
                await asyncio.sleep(0.1)


async def test_the_number_of_connections_is_bounded() -> None:
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(serving(application(), max_connections=8))
        half = [await stack.enter_async_context(raw_connection(address)) for _ in range(4)]
        for connection in half:
            await connection.send(b"GET /")
        async with raw_connection(address) as one_more:
            answer = await one_more.rest()
        assert (status_of(answer), b"retry-after: 5" in answer) == (503, True)
        await half[0].send(GET[5:])
        assert status_of(await half[0].answer()) == 200, "those that are open go on"


def test_a_place_is_given_back() -> None:
    door = Door(4)
    assert [door.enter("a") for _ in range(3)] == [True, True, False]
    assert [door.enter("b"), door.enter("b"), door.enter("c")] == [True, True, False]
    door.leave("a")
    assert [door.enter("c"), door.enter("c")] == [True, False]


async def test_unfinished_bodies_take_a_bounded_part_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "SHARE_BYTES", 2**20)
    monkeypatch.setattr(bodies, "WAIT_S", 0.2)
    app = application(max_body_bytes=2**20)
    async with serving(app) as address, AsyncExitStack() as stack:
        large = HEAD + b"Content-Length: 1000000\r\n\r\n" + b"x" * 600_000
        clients = [await stack.enter_async_context(raw_connection(address)) for _ in range(6)]
        await asyncio.gather(*(connection.send(large) for connection in clients))
        reading = [asyncio.create_task(connection.answer()) for connection in clients]
        await until(lambda: sum(task.done() for task in reading) >= 5)
        answers = [task.result() for task in reading if task.done()]
        assert {status_of(answer) for answer in answers} == {503}
        assert b"the bodies of other requests" in answers[0]
        async with httpx.AsyncClient() as client:
            small = await client.post(f"{address}/v1/length", content=b"x" * 60_000)
        assert small.json() == 60_000, "small bodies need no room"
        for connection, task in zip(clients, reading, strict=True):
            if not task.done():
                await connection.send(b"x" * 400_000)
                assert status_of(await task) == 200
        async with httpx.AsyncClient() as client:
            later = await client.post(f"{address}/v1/length", content=b"x" * 1_000_000)
        assert later.json() == 1_000_000, "room is given back"


async def test_few_bodies_wait_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "SHARE_BYTES", 100)
    monkeypatch.setattr(bodies, "MAX_WAITING", 2)
    memory = bodies.BodyMemory(100)
    await memory.take("alice", 100, patience_s=0)
    waiting = [asyncio.create_task(memory.take("alice", 50, patience_s=60)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(HTTPException, match="bodies of other requests"):
        await memory.take("alice", 50, patience_s=60)
    assert await memory.take("bob", 100, patience_s=60) > 0, "others have their own share"
    memory.release("alice", 100)
    await asyncio.gather(*waiting)
