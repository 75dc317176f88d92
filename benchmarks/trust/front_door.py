"""Connections and requests of strangers: endless headers, half requests, unfinished bodies, weak keys, guessed keys."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import time

from benchmarks.own_time import percentile
from benchmarks.trust.process import ProcessEnded, health_of, memory_of
from benchmarks.trust.raw import Connection, open_request
from benchmarks.trust.system import System, new_key, system
from benchmarks.trust.table import Check, Form, Outcome

HEAD = b"POST /v1/trajectories HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"


async def _endless_headers(form: Form) -> Outcome:
    """Headers without an end on one connection, without a key."""
    async with system(keys=1) as tested:
        with memory_of(tested.orchestrator) as grown:
            connection = await open_request(tested.orchestrator, b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n")
            sent, end = 0, time.monotonic() + form.pick(10, 5)
            line = b"x-more: " + b"y" * 8_000 + b"\r\n"
            while time.monotonic() < end and await connection.send(line):
                sent += len(line)
            connection.close()
    return Outcome(f"closed after {sent / 1e6:.1f} MB; +{grown.mb:.0f} MB", grown.mb <= 16 and sent < 50e6)


async def _half_requests(form: Form) -> Outcome:
    """Requests that never become complete: in the first line, in the headers, in the body."""
    count, deadline_s = 20, 40
    halves = [b"", b"GET /heal", HEAD, HEAD + b"content-length: 100\r\n\r\n{"]
    async with system(keys=1) as tested:
        key = f"authorization: Bearer {tested.keys[0]}\r\n".encode()
        halves = [half.replace(b"content-type", key + b"content-type") for half in halves]
        open_ones = [await open_request(tested.orchestrator, half) for half in halves for _ in range(count)]
        started = time.monotonic()
        closed = await asyncio.gather(*(connection.closed_within(deadline_s) for connection in open_ones))
        seconds = time.monotonic() - started
        _close(open_ones)
    return Outcome(f"{sum(closed)} of {len(closed)} half requests were closed within {seconds:.0f} s", all(closed))


async def _unfinished_bodies(form: Form) -> Outcome:
    """60 bodies of 8 MB each without their last byte, with a key and without."""
    count, size = 60, 8_000_000
    grown_mb = {}
    for name in ("with a key", "without a key"):
        async with system(keys=1) as tested:
            key = f"authorization: Bearer {tested.keys[0]}\r\n".encode() if name == "with a key" else b""
            head = HEAD + key + f"content-length: {size}\r\n\r\n".encode()
            with memory_of(tested.orchestrator) as grown:
                connections = await asyncio.gather(
                    *(_body(tested, head, size - 1) for _ in range(count)), return_exceptions=True
                )
                await asyncio.sleep(1)
            answered = (await tested.ask("GET", "/v1/tools")).status
            _close([each for each in connections if isinstance(each, Connection)])
            grown_mb[name] = grown.mb
    figure = ", ".join(f"+{mb:.0f} MB {name}" for name, mb in grown_mb.items())
    return Outcome(f"{figure}; another request meanwhile: {answered}", max(grown_mb.values()) <= 64 and answered == 200)


async def _body(tested: System, head: bytes, size: int) -> Connection:
    connection = await open_request(tested.orchestrator, head)
    piece = b" " * 100_000
    for _ in range(size // len(piece)):
        if not await connection.send(piece):
            break
    return connection


def _close(connections: list[Connection]) -> None:
    for connection in connections:
        connection.close()


async def _weak_keys(form: Form) -> Outcome:
    """A start with keys that can be guessed."""
    weak = ["secret", "0123456789abcdef", "a" * 64, "changeme-changeme"]
    started = []
    for key in weak:
        async with system(started=False, api_keys=key) as tested:
            tested.orchestrator.start()
            try:
                await tested.orchestrator.ready("/healthz")
                started.append(key)
            except ProcessEnded:
                pass
    return Outcome(f"{len(started)} of {len(weak)} weak keys are accepted", not started)


async def _readiness(form: Form) -> Outcome:
    """`/readyz` asked often by a stranger: what it names, how fast it answers, whether it writes."""
    count = form.count(300, 100)
    async with system(keys=1) as tested:
        log = sqlite3.connect(tested.folder / "log.db")
        seconds, versions = [], {_version(log)}
        for _ in range(count):
            started = time.monotonic()
            async with tested.session.get(f"{tested.orchestrator.url}/readyz") as response:
                text = await response.text()
            seconds.append(time.monotonic() - started)
            versions.add(_version(log))
        log.close()
    named, commits = str(tested.roles.port) in text, len(versions) - 1
    return Outcome(
        f"p99 {percentile(seconds, 0.99) * 1e3:.0f} ms, {commits} commits, names replicas: {'yes' if named else 'no'}",
        not named and not commits and form.within(percentile(seconds, 0.99), 0.05),
    )


def _version(log: sqlite3.Connection) -> int:
    """A number that changes with each commit of another connection."""
    ((version,),) = log.execute("PRAGMA data_version").fetchall()
    return int(version)


async def _guessed_keys(form: Form) -> Outcome:
    """Requests with wrong keys: refused, counted, and no harm to a right key of the same address."""
    count = form.count(500, 200)
    async with system(keys=1) as tested:
        wrong = [asyncio.create_task(tested.ask("GET", "/v1/tools", key=new_key())) for _ in range(count)]
        async with health_of(tested.orchestrator) as health:
            started = time.monotonic()
            right = await tested.ask("GET", "/v1/tools")
            seconds = time.monotonic() - started
            replies = await asyncio.gather(*wrong)
        metrics = (await tested.ask("GET", "/metrics")).text
    statuses = {reply.status for reply in replies}
    counted = sum(
        float(value) for value in re.findall(r"(?m)^alpha_umi_\w*unauthorized\w*(?:\{.*\})? ([0-9.e+]+)$", metrics)
    )
    return Outcome(
        f"{count} wrong keys: answered {sorted(statuses)}, {counted:.0f} counted; a right key {right.status} after "
        f"{seconds * 1e3:.0f} ms; /healthz worst {health.worst * 1e3:.0f} ms",
        statuses <= {401, 429, 503} and counted > 0 and right.status == 200 and form.within(seconds, 1.0),
    )


async def _foreign_scripts(form: Form) -> Outcome:
    """The page of the API's document."""
    async with system(keys=1) as tested:
        page = await tested.ask("GET", "/docs")
    foreign = re.findall(r"""(?:src|href)=["'](?:https?:)?//[^"']+""", page.text)
    policy = {name.lower(): value for name, value in page.headers.items()}.get("content-security-policy", "")
    return Outcome(
        f"status {page.status}, {len(foreign)} foreign addresses, policy: {policy[:60] or 'none'}",
        page.status == 200 and not foreign and bool(policy),
    )


CHECKS = [
    Check("endless-headers", "endless headers without a key", "closed, <= +16 MB", _endless_headers, idle=True),
    Check("half-requests", "80 requests that never become complete", "all closed <= 40 s", _half_requests, short=False,
          idle=True),
    Check("unfinished-bodies", "60 unfinished bodies of 8 MB", "<= +64 MB, others are answered", _unfinished_bodies),
    Check("weak-keys", "a start with a key of less than 128 bits", "refused", _weak_keys, short=False, idle=True),
    Check("readiness", "a stranger asks `/readyz` all the time", "no replica's name, no commit, p99 <= 50 ms",
          _readiness),
    Check("guessed-keys", "many wrong keys", "401, counted, a right key <= 1 s", _guessed_keys),
    Check("foreign-scripts", "the page `/docs`", "no foreign address, with a policy", _foreign_scripts, short=False,
          idle=True),
]  # fmt: skip
