"""Tools that misbehave: they repeat credentials, never answer, cannot be resolved, or send 1xx responses for ever."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import time
from asyncio import StreamWriter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from benchmarks.scripted import TOOL
from benchmarks.trust.encodings import answers, shows
from benchmarks.trust.process import health_of, memory_of
from benchmarks.trust.raw import raw_server, response
from benchmarks.trust.system import System, system
from benchmarks.trust.table import Check, Form, Outcome, require

Json = dict[str, Any]
SECRET = "k/9+zQ7-canary_credential~41="  # noqa: S105 - nobody's
CALL = {"arguments": {"order": "lamp"}}


def one_tool(name: str, address: str, *, parameters: Any = (), **more: Any) -> Json:
    """A source with one GET operation at `/`."""
    operation = {
        "operationId": name,
        "summary": name,
        "parameters": list(parameters),
        "responses": {"200": {"description": "yes"}},
    }
    info = {"title": name, "version": "1"}
    document = {"openapi": "3.1.0", "info": info, "paths": {"/": {"get": operation}}, **more.pop("document", {})}
    return {"name": name, "document": document, "base_url": address, "effect": "read", **more}


async def _credentials(form: Form) -> Outcome:
    """A tool that repeats its credential in 200 encodings; what reaches the API and the log is searched."""
    cases = answers()

    async def echo(head: bytes, writer: StreamWriter) -> None:
        number = int(parse_qs(urlsplit(head.split()[1].decode()).query)["form"][0])
        _, status, media_type, body = cases[number]
        writer.write(
            response(body(SECRET).encode(), status=status, media_type=media_type, head=f"x-echo: {SECRET}\r\n")
        )

    parameters = [{"name": "form", "in": "query", "required": True, "schema": {"type": "integer"}}]
    scheme = {"components": {"securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "x-key"}}}}
    async with raw_server(echo) as address:
        source = one_tool(
            "echo", address, parameters=parameters, credentials={"key": SECRET},
            document={**scheme, "security": [{"key": []}]},
        )  # fmt: skip
        async with system(sources=[source]) as tested:
            visible = []
            for number, (name, *_) in enumerate(cases):
                reply = await tested.ask("POST", "/v1/tools/echo/calls", {"arguments": {"form": number}})
                require(reply.status == 200, reply.text)
                visible += [name] if shows(reply.json()["observation"], SECRET) else []
            for number in range(0, len(cases), 20):
                await tested.create(f"echo-{number}", tool="echo", form=number)
            await tested.settled(seconds=60)
            stored = "\n".join(payload for (payload,) in tested.rows("SELECT payload FROM events"))
            in_log, in_output = shows(stored, SECRET), shows(tested.orchestrator.output(), SECRET)
    return Outcome(
        f"{len(visible)} of {len(cases)} encodings show it{_some(visible)}; in the event log: {_yes(in_log)}, in logs: "
        f"{_yes(in_output)}",
        not visible and not in_log and not in_output,
    )


def _some(names: list[str]) -> str:
    return f" ({', '.join(names[:4])}, ...)" if names else ""


def _yes(value: bool) -> str:
    return "yes" if value else "no"


async def _never(head: bytes, writer: StreamWriter) -> None:
    await asyncio.Event().wait()


async def _stuck(form: Form) -> Outcome:
    """320 calls of a tool that never answers, and one call of another tool beside them."""
    count = form.count(320, 320)
    async with (
        raw_server(_never) as address,
        system(sources=[one_tool("stuck", address)], tool_timeout_s=15) as tested,
    ):
        stuck = [
            asyncio.create_task(tested.ask("POST", "/v1/tools/stuck/calls", {"arguments": {}})) for _ in range(count)
        ]
        await asyncio.sleep(1.5)
        started = time.monotonic()
        reply = await tested.ask("POST", f"/v1/tools/{TOOL}/calls", CALL)
        seconds = time.monotonic() - started
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)
    return Outcome(
        f"{count} calls of a stuck tool: another tool answered {reply.status} after {seconds:.2f} s",
        reply.status == 200 and form.within(seconds, 1.0),
    )


async def _continues(head: bytes, writer: StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 2_000)
        await writer.drain()


async def _endless_continue(form: Form) -> Outcome:
    """`100 Continue` for ever."""
    async with (
        raw_server(_continues) as address,
        system(sources=[one_tool("again", address)], tool_timeout_s=8) as tested,
    ):
        with memory_of(tested.orchestrator) as grown:
            async with health_of(tested.orchestrator) as health:
                reply = await tested.ask("POST", "/v1/tools/again/calls", {"arguments": {}})
    is_error = reply.status == 200 and reply.json()["is_error"]
    return Outcome(
        f"/healthz worst {health.worst * 1e3:.0f} ms; +{grown.mb:.0f} MB; the call is an error: {_yes(is_error)}",
        is_error and form.within(health.worst, 0.2) and grown.mb <= 64,
    )


@contextlib.contextmanager
def _silent_name_server(folder: Path) -> Iterator[list[str] | None]:
    """How to start a process whose names are never resolved; None where this machine does not allow it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        try:
            server.bind(("127.0.0.77", 53))
        except OSError:
            yield None
            return
        settings = folder / "resolv.conf"
        settings.write_text("nameserver 127.0.0.77\noptions timeout:30 attempts:1\n", encoding="utf-8")
        mounted = f"mount --bind {settings} /etc/resolv.conf"
        if shutil.which("unshare") is None or os.system(f"unshare -r -m sh -c '{mounted}' 2>/dev/null"):  # noqa: S605
            yield None
            return
        yield ["unshare", "-r", "-m", "sh", "-c", f'{mounted} && exec "$@"', "sh"]


async def _names(form: Form) -> Outcome:
    """8 tools whose names do not resolve for 30 s; the planner is at a numeric address."""
    count = 8
    sources = [one_tool(f"lost_{number}", f"http://lost-{number}.example.test/") for number in range(count)]
    async with system(sources=sources, started=False, tool_timeout_s=30) as tested:
        with _silent_name_server(tested.folder) as command:
            if command is None:
                return Outcome("port 53 or a mount namespace is not allowed here", None)
            tested.orchestrator.prefix = command
            await tested.start()
            lost = [
                asyncio.create_task(tested.ask("POST", f"/v1/tools/lost_{number}/calls", {"arguments": {}}))
                for number in range(count)
            ]
            await asyncio.sleep(1)
            slowest, ended = await _one_after_another(tested, form.count(10, 4))
            for task in lost:
                task.cancel()
            await asyncio.gather(*lost, return_exceptions=True)
    failed = sum(status != "completed" for status in ended)
    return Outcome(
        f"{failed} of {len(ended)} trajectories failed beside {count} lookups without an answer; the slowest took "
        f"{slowest:.2f} s",
        failed == 0 and form.within(slowest, 2),
    )


async def _one_after_another(tested: System, count: int) -> tuple[float, list[str]]:
    slowest, ended = 0.0, []
    for number in range(count):
        started = time.monotonic()
        reply = await tested.create(f"beside-{number}")
        ended.append((await tested.end_of(reply.json()["id"])).get("status", ""))
        slowest = max(slowest, time.monotonic() - started)
    return slowest, ended


CHECKS = [
    Check("credentials", "a tool that repeats its credential", "0 of 200 encodings show it", _credentials, idle=True),
    Check("names", "8 tools whose names do not resolve", "0 failed, <= 2 s", _names, idle=True),
    Check("stuck-tool", "320 calls of a tool that never answers", "another tool answers <= 1 s", _stuck, targets="R4",
          idle=True),
    Check(
        "endless-continue", "`100 Continue` for ever from a tool", "an error, /healthz <= 200 ms, <= +64 MB",
        _endless_continue, targets="R4",
    ),
]  # fmt: skip
