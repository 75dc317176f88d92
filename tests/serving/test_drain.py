"""Graceful shutdown of a role service: short requests finish, long ones are cut off, and the exit code is 0."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx_sse import ServerSentEvent, aconnect_sse
from support.processes import service_process, wait_ready

SHUTTING_DOWN = "urn:alpha-umi:problem:shutting-down"
STREAMS = 20


def request(content: str, *, stream: bool = False) -> dict[str, Any]:
    return {"history": [{"role": "user", "content": content}], "max_tokens": 4_000, "stream": stream}


@pytest.fixture(params=["services.summarizer", "services.shared"])
async def service(
    request: pytest.FixtureRequest, tmp_path: Path, free_port: int
) -> AsyncIterator[tuple[subprocess.Popen[str], httpx.AsyncClient, Path]]:
    """A service that writes for ever, for two seconds, or at once, as its prompt asks; and its log."""
    script, log = tmp_path / "script.json", tmp_path / "log"
    rules = [
        {"when": "for ever", "texts": ["word " * 3_000], "delay_s": 0.05},
        {"when": "two seconds", "texts": ["word " * 20], "delay_s": 0.1},
        {"texts": ["done"]},
    ]
    script.write_text(json.dumps(rules))
    prefix = "ALPHA_UMI_ROLE_"
    environment = {f"{prefix}ENGINE": "scripted", f"{prefix}SCRIPT": str(script), f"{prefix}PORT": str(free_port)}
    address = f"http://127.0.0.1:{free_port}"
    with log.open("w") as file, service_process(request.param, environment, log=file) as process:
        wait_ready(address, process, seconds=60)
        async with httpx.AsyncClient(base_url=address, timeout=30, limits=httpx.Limits(max_connections=None)) as client:
            yield process, client, log


async def streamed(client: httpx.AsyncClient, content: str, begun: asyncio.Event) -> list[ServerSentEvent]:
    events = []
    async with aconnect_sse(client, "POST", "/v1/summarize", json=request(content, stream=True)) as source:
        async for event in source.aiter_sse():
            events.append(event)
            begun.set()
    return events


async def begin_streams(client: httpx.AsyncClient, content: str, number: int) -> list[asyncio.Task[Any]]:
    """Streams that have begun."""
    begun = [asyncio.Event() for _ in range(number)]
    tasks = [asyncio.create_task(streamed(client, content, event)) for event in begun]
    await asyncio.gather(*(event.wait() for event in begun))
    return tasks


def last_problem(events: list[ServerSentEvent]) -> str:
    assert events[-1].event == "error"
    return str(events[-1].json()["type"])


async def test_it_finishes_what_is_short_and_cuts_off_the_rest(service: Any) -> None:
    process, client, log = service
    long = await begin_streams(client, "for ever", STREAMS)
    short = await begin_streams(client, "two seconds", STREAMS)
    waiting = asyncio.create_task(client.post("/v1/summarize", json=request("for ever")))
    while 'in_flight{role="summarizer"} 41.0' not in (await client.get("/metrics")).text:
        await asyncio.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    since = time.monotonic()
    while (ready := await client.get("/readyz")).status_code == 200:
        await asyncio.sleep(0.01)
    assert time.monotonic() - since < 1, "not ready at once"
    for refused in (ready, await client.post("/v1/summarize", json=request("at once"))):
        assert (refused.status_code, refused.json()["type"], refused.headers["Retry-After"]) == (
            503,
            SHUTTING_DOWN,
            "5",
        )
    assert (await client.get("/healthz")).status_code == 200
    assert [events[-1].event for events in await asyncio.gather(*short)] == ["done"] * STREAMS
    assert [last_problem(events) for events in await asyncio.gather(*long)] == [SHUTTING_DOWN] * STREAMS
    answer = await waiting
    assert (answer.status_code, answer.json()["type"]) == (503, SHUTTING_DOWN)
    assert await asyncio.to_thread(process.wait, 15) == 0
    assert time.monotonic() - since < 10
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {"server.ending", "drain.began", "drain.cut_off"} <= {line["event"] for line in lines}
    assert not [line for line in lines if line["level"] == "error"]


async def test_an_idle_one_ends_quickly(service: Any) -> None:
    process, _, _ = service
    since = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, 15) == 0
    assert time.monotonic() - since < 3


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_it_at_once(service: Any, second: int) -> None:
    process, client, log = service
    streams = await begin_streams(client, "for ever", STREAMS)
    process.send_signal(signal.SIGTERM)
    while (await client.get("/readyz")).status_code == 200:
        await asyncio.sleep(0.01)
    process.send_signal(second)
    assert await asyncio.to_thread(process.wait, 15) == 0
    # The streams did not have to wait for the end of their grace, however long the process took to go.
    events = {json.loads(line)["event"] for line in log.read_text().splitlines()}
    assert "server.ending_now" in events
    assert "drain.cut_off" not in events
    assert [last_problem(events) for events in await asyncio.gather(*streams)] == [SHUTTING_DOWN] * STREAMS
