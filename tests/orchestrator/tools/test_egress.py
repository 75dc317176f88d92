"""Misbehaving servers: each causes a typed error within the timeout and affects no other request."""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
import struct
import time
from typing import Any

import psutil
import pytest

from alpha_umi.web.keys import CURRENT_OWNER
from orchestrator.tools import call_limits
from orchestrator.tools.call_limits import Caller, CallLimits
from orchestrator.tools.egress import MAX_BODY_BYTES, Egress, OutboundRequest
from orchestrator.tools.errors import ConnectionFailed, DeadlineExceeded, EgressError, ExchangeFailed, RequestRefused

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


def get(url: str, **more: Any) -> OutboundRequest:
    return OutboundRequest("GET", url, within=more.pop("within", url), **more)


def answering(raw: bytes) -> Any:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()

    return handler


async def forever(writer: asyncio.StreamWriter, piece: bytes, *, pause_s: float = 0) -> None:
    while not writer.is_closing():
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(pause_s)


async def test_an_answer_of_any_status_is_an_answer(egress: Egress, raw_server: Any) -> None:
    base = await raw_server(
        answering(b"HTTP/1.1 503 Busy\r\nContent-Type: Text/Plain; Charset=latin-1\r\nretry-after: soon\r\n\r\nbusy")
    )
    answer = await egress.send(get(base), timeout_s=5)
    assert (answer.status, answer.media_type, answer.body, answer.truncated) == (503, "text/plain", b"busy", False)


async def test_what_leaves(egress: Egress, raw_server: Any) -> None:
    heads: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"set-cookie: a=b\r\ncontent-length: 2\r\n\r\n{}")

    async def recording(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        await handler(reader, writer)
        writer.close()

    server = await asyncio.start_server(recording, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    for _ in range(2):
        await egress.send(
            get(f"{base}/a%2Fb%2C;c?q=%2B&r=%2C,", headers={"Accept-Encoding": "gzip", "X-Key": "k"}), timeout_s=5
        )
    server.close()
    first, second = (head.decode().lower() for head in heads)
    assert first.startswith("get /a%2fb%2c;c?q=%2b&r=%2c, http/1.1\r\n")
    assert first.count("accept-encoding: identity\r\n") == first.count("accept-encoding") == 1
    assert "x-key: k\r\n" in first
    assert "cookie" not in second


async def test_proxies_of_the_environment_are_not_used(raw_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    connections = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(True)

    proxy_url = await raw_server(proxy)
    base = await raw_server(answering(HEAD + b"content-length: 2\r\n\r\n{}"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy_url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with Egress(allow_loopback=True) as egress:
        assert (await egress.send(get(base), timeout_s=5)).body == b"{}"
    assert not connections


async def test_a_redirect_is_handed_back_and_not_followed(egress: Egress, raw_server: Any) -> None:
    requests = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(True)
        writer.write(b"HTTP/1.1 302 Found\r\nlocation: /again\r\ncontent-length: 0\r\n\r\n")

    answer = await egress.send(get(await raw_server(handler)), timeout_s=5)
    assert (answer.status, len(requests)) == (302, 1)


async def test_a_body_without_end_is_cut(egress: Egress, raw_server: Any) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"transfer-encoding: chunked\r\n\r\n")
        await forever(writer, b"10000\r\n" + b"x" * 0x10000 + b"\r\n")

    before = psutil.Process().memory_info().rss
    answer = await egress.send(get(await raw_server(handler)), timeout_s=10)
    assert answer.truncated
    assert len(answer.body) == MAX_BODY_BYTES
    assert psutil.Process().memory_info().rss - before < 32 * 1024 * 1024


async def test_a_body_of_exactly_the_limit_is_complete(egress: Egress, raw_server: Any) -> None:
    base = await raw_server(answering(HEAD + b"content-length: 100\r\n\r\n" + b"x" * 100))
    assert not (await egress.send(get(base), timeout_s=5, max_body_bytes=100)).truncated
    assert (await egress.send(get(base), timeout_s=5, max_body_bytes=99)).truncated


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip", "GZIP"])
async def test_compressed_answers_are_refused_unread(egress: Egress, raw_server: Any, encoding: str) -> None:
    bomb = gzip.compress(bytes(20_000_000))
    head = HEAD + f"content-encoding: {encoding}\r\ncontent-length: {len(bomb)}\r\n\r\n".encode()
    with pytest.raises(ExchangeFailed, match="compressed"):
        await egress.send(get(await raw_server(answering(head + bomb))), timeout_s=5)


async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def dripping_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"content-length: 1000000\r\n\r\n")
    await forever(writer, b"x", pause_s=0.02)


async def dripping_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nx: ")
    await forever(writer, b"y", pause_s=0.02)


async def only_interim(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await forever(writer, b"HTTP/1.1 100 Continue\r\n\r\n", pause_s=0.02)


@pytest.mark.parametrize("handler", [nothing, dripping_body, dripping_head, only_interim])
async def test_slow_servers_meet_the_deadline(egress: Egress, raw_server: Any, handler: Any) -> None:
    base = await raw_server(handler)
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded, match=r"0\.3 s"):
        await egress.send(get(base), timeout_s=0.3)
    assert time.monotonic() - started < 2


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"content-length: 1000\r\n\r\nhalf")
    await writer.drain()
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


BROKEN = {
    "nothing at all": b"",
    "garbage": b"\x00\x01\x02garbage\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "half a body": HEAD + b"content-length: 100\r\n\r\nhalf",
    "half a chunk": HEAD + b"transfer-encoding: chunked\r\n\r\nff\r\nhalf",
    "no chunk size": HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
    "two lengths": HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\nab",
    "a huge header": HEAD + b"x: " + b"y" * 1_000_000 + b"\r\n\r\n{}",
    "many headers": HEAD + b"".join(b"x-%d: y\r\n" % index for index in range(20_000)) + b"\r\n{}",
}


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN.keys())
async def test_broken_answers_are_named(egress: Egress, raw_server: Any, raw: bytes) -> None:
    with pytest.raises(ExchangeFailed):
        await egress.send(get(await raw_server(answering(raw))), timeout_s=5)


async def test_a_reset_is_named(egress: Egress, raw_server: Any) -> None:
    with pytest.raises(ExchangeFailed, match="broke"):
        await egress.send(get(await raw_server(reset)), timeout_s=5)


async def test_no_connection_is_distinguished(egress: Egress, raw_server: Any, free_port: int) -> None:
    with pytest.raises(ConnectionFailed, match="refuses"):
        await egress.send(get(f"http://127.0.0.1:{free_port}/"), timeout_s=5)
    plain = await raw_server(answering(b"HTTP/1.1 400 Bad\r\n\r\n"))
    with pytest.raises(EgressError):
        await egress.send(get(plain.replace("http:", "https:")), timeout_s=0.3)


async def test_tls_that_is_none_is_named(egress: Egress) -> None:
    async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"this is not TLS at all\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(garbage, "127.0.0.1", 0)
    with pytest.raises(ConnectionFailed, match="TLS"):
        await egress.send(get(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"), timeout_s=5)
    server.close()


async def test_an_unknown_name_is_named(table_resolver: Any) -> None:
    async with Egress(resolver=table_resolver({})) as egress:
        with pytest.raises(ConnectionFailed, match="cannot be resolved"):
            await egress.send(get("http://nowhere.invalid/"), timeout_s=5)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
async def test_a_call_leaves_once_even_if_the_server_hangs_up(egress: Egress, raw_server: Any, method: str) -> None:
    requests = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(True)
        if len(requests) == 1:
            writer.write(HEAD + b"connection: keep-alive\r\ncontent-length: 2\r\n\r\n{}")

    base = await raw_server(handler)
    await egress.send(OutboundRequest(method, base, within=base), timeout_s=5)
    with pytest.raises(ExchangeFailed):
        await egress.send(OutboundRequest(method, base, within=base), timeout_s=5)
    assert len(requests) == 2


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("http://a.example/v1", "http://b.example/v1/x"),
        ("http://a.example/v1", "https://a.example/v1/x"),
        ("http://a.example/v1", "http://a.example:81/v1/x"),
        ("http://a.example/v1", "http://a.example/v2"),
        ("http://a.example/v1", "http://a.example/v11"),
        ("http://a.example/v1", "http://a.example/v1/../admin"),
        ("http://a.example/v1", "http://a.example/v1/%2e%2e/admin"),
        ("http://a.example/v1", "http://a.example/v1/.%2E/admin"),
        ("http://a.example/v1", "http://a.example"),
    ],
)
async def test_leaving_the_base_is_refused(egress: Egress, base: str, url: str) -> None:
    with pytest.raises(RequestRefused, match="base path"):
        await egress.send(get(url, within=base), timeout_s=1)


@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\x00", "é"])
async def test_headers_cannot_be_split(egress: Egress, value: str) -> None:
    with pytest.raises(RequestRefused, match="header"):
        await egress.send(get("http://127.0.0.1:9/", headers={"x": value}), timeout_s=1)


INTERIM = {
    "continue": b"HTTP/1.1 100 Continue\r\n\r\n",
    "processing": b"HTTP/1.1 102 Processing\r\n\r\n",
    "hints": b"HTTP/1.1 103 Early Hints\r\nlink: " + b"x" * 1_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("interim", INTERIM)
async def test_interim_answers_end_at_a_bound(egress: Egress, raw_server: Any, interim: str) -> None:
    sent = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while not writer.is_closing():
            writer.write(INTERIM[interim] * 1_000)
            await writer.drain()
            sent += 1

    before = psutil.Process().memory_info().rss
    with pytest.raises(ExchangeFailed, match="headers are too large"):
        await egress.send(get(await raw_server(handler)), timeout_s=20)
    assert psutil.Process().memory_info().rss - before < 32 * 1024 * 1024


async def test_a_few_interim_answers_are_passed_over(egress: Egress, raw_server: Any) -> None:
    raw = b"".join(INTERIM.values()) + HEAD + b"content-length: 2\r\n\r\n{}"
    assert (await egress.send(get(await raw_server(answering(raw))), timeout_s=5)).body == b"{}"


@pytest.mark.parametrize(
    "endless",
    [
        HEAD + b"x: y\r\n" * 20_000,
        HEAD + b"x: " + b"y" * 1_000_000,
        HEAD + b"transfer-encoding: chunked\r\n\r\n0\r\n" + b"x: y\r\n" * 200_000,
        HEAD + b"transfer-encoding: chunked\r\n\r\n2;" + b"x" * 1_000_000,
    ],
    ids=["headers", "a header", "trailers", "chunk extension"],
)
async def test_endless_parts_of_an_answer_take_no_memory(egress: Egress, raw_server: Any, endless: bytes) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(endless)
        await forever(writer, endless[-200_000:])

    base = await raw_server(handler)
    before = psutil.Process().memory_info().rss
    with pytest.raises(ExchangeFailed):
        await egress.send(get(base), timeout_s=1)
    assert psutil.Process().memory_info().rss - before < 32 * 1024 * 1024


@pytest.mark.parametrize("same", ["host", "source"])
async def test_a_tool_that_never_answers_delays_no_other(raw_server: Any, same: str) -> None:
    calls = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        if calls > 4:
            writer.write(HEAD + b"content-length: 2\r\n\r\n{}")
        else:
            await reader.read()

    base = await raw_server(handler)
    async with Egress(allow_loopback=True, limits=CallLimits(per_tool=4, per_source=8, per_host=8)) as egress:
        stuck = [
            asyncio.create_task(egress.send(get(base), timeout_s=30, caller=Caller("one", "hangs"))) for _ in range(40)
        ]
        while calls < 4:
            await asyncio.sleep(0.01)
        other = Caller("one" if same == "source" else "other", "answers")
        assert (await egress.send(get(base), timeout_s=30, caller=other)).body == b"{}"
        assert calls == 5
        for call in stuck:
            call.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)


async def test_no_owner_takes_all_places(raw_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_limits, "MAX_CALLS", 8)
    calls = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        if calls > 6:
            writer.write(HEAD + b"content-length: 2\r\n\r\n{}")
        else:
            await reader.read()

    base = await raw_server(handler)
    async with Egress(allow_loopback=True, limits=CallLimits(per_tool=2)) as egress:
        CURRENT_OWNER.set("ann")
        stuck = [
            asyncio.create_task(egress.send(get(base), timeout_s=30, caller=Caller(f"source {number}", "hangs")))
            for number in range(20)
        ]
        while calls < 6:
            await asyncio.sleep(0.01)
        CURRENT_OWNER.set("bob")
        assert (await egress.send(get(base), timeout_s=30, caller=Caller("shared", "answers"))).body == b"{}"
        assert calls == 7
        for call in stuck:
            call.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)


async def test_a_call_without_a_place_is_not_sent(raw_server: Any) -> None:
    calls = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        await reader.read()

    base = await raw_server(handler)
    async with Egress(allow_loopback=True, limits=CallLimits(per_tool=1, max_wait_s=0.2)) as egress:
        caller = Caller("one", "hangs")
        stuck = asyncio.create_task(egress.send(get(base), timeout_s=30, caller=caller))
        while not calls:
            await asyncio.sleep(0.01)
        with pytest.raises(ConnectionFailed, match="under way"):
            await egress.send(get(base), timeout_s=30, caller=caller)
        assert calls == 1
        stuck.cancel()
        await asyncio.gather(stuck, return_exceptions=True)


async def test_a_hundred_calls_at_once_and_no_socket_left(egress: Egress, raw_server: Any) -> None:
    together = asyncio.Barrier(100)

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # No request is answered before all have arrived.
        await together.wait()
        writer.write(HEAD + b"content-length: 2\r\n\r\n{}")

    base = await raw_server(handler)
    descriptors = psutil.Process().num_fds()
    answers = await asyncio.gather(*(egress.send(get(base), timeout_s=20) for _ in range(100)))
    assert {answer.body for answer in answers} == {b"{}"}
    async with asyncio.timeout(5):
        while psutil.Process().num_fds() > descriptors + 4:
            await asyncio.sleep(0.01)


async def test_cancelling_hangs_up(egress: Egress, raw_server: Any) -> None:
    arrived, gone = asyncio.Event(), asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await reader.read()
        gone.set()

    call = asyncio.create_task(egress.send(get(await raw_server(handler)), timeout_s=30))
    await arrived.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.wait_for(gone.wait(), 5)


async def test_nothing_of_a_request_is_logged_or_shown(
    egress: Egress, raw_server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    base = await raw_server(answering(b"garbage\r\n\r\n"))
    request = get(f"{base}/path?key=canary-5e1f", within=base, headers={"authorization": "Bearer canary-5e1f"})
    with pytest.raises(ExchangeFailed) as caught:
        await egress.send(request, timeout_s=5)
    assert "canary" not in caplog.text + str(caught.value) + repr(request)
