"""Responses beside trajectories: what the view of a response costs, and many streams at once.

    python -m benchmarks.front_door [--quick] [--json FILE]

Roles and tool are scripted (`scripted`). The same work is requested in turn as a trajectory and as a response, one at a
time; the medians of the differences are the response's own time. Then many clients stream a response each. Every stream
is checked: its numbers increase, its deltas join to the texts at their ends, its last event is the terminal one, and
the stored response's stream afterwards has the same events.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from httpx_sse import EventSource

from benchmarks.orchestrator import running_orchestrator, services
from benchmarks.processes import measured
from benchmarks.report import Row, show, write_json
from benchmarks.scripted import instruction

TITLE = "Responses beside trajectories, with scripted roles and tool"
MODEL = "alpha-umi"
PATHS = ("/v1/trajectories", "/v1/responses")
WARM_UP = 5
# Until the process has done what follows an answer.
SETTLING_S = 0.005


@dataclass(frozen=True)
class Sizes:
    """Pairs of one trajectory and one response, and streams at once."""

    pairs: int
    streams: int


FULL = Sizes(pairs=200, streams=500)
QUICK = Sizes(pairs=30, streams=100)


def measure(sizes: Sizes) -> list[Row]:
    """All rows."""
    with services() as services_url:
        return [*asyncio.run(_own_time(services_url, sizes.pairs)), asyncio.run(_streams(services_url, sizes.streams))]


async def _own_time(services_url: str, pairs: int) -> list[Row]:
    costs: dict[str, list[tuple[float, float]]] = {path: [] for path in PATHS}
    async with running_orchestrator(services_url) as (process, client):
        for number in range(WARM_UP + pairs):
            # The other way round each time, so that load which rises or falls favours none.
            for path in PATHS if number % 2 else PATHS[::-1]:
                started, cpu_before = time.monotonic(), _cpu_ms(process.pid)
                body = _body(path, f"{path.rpartition('/')[2]}-{number}")
                answer = (await client.post(path, json=body)).raise_for_status().json()
                waited = (time.monotonic() - started) * 1_000
                if answer["status"] != "completed":
                    raise RuntimeError(f"{answer['id']} ended as {answer['status']}: {answer['error']}")
                await asyncio.sleep(SETTLING_S)
                costs[path].append((waited, _cpu_ms(process.pid) - cpu_before))
    base, other = (costs[path][WARM_UP:] for path in PATHS)
    own = [(wait - base_wait, cpu - base_cpu) for (wait, cpu), (base_wait, base_cpu) in zip(other, base, strict=True)]
    return [
        {"what": f"{name}, {pairs} times", "ms p50": _median(rows, 0), "CPU ms p50": _median(rows, 1)}
        for name, rows in ((f"POST {PATHS[0]}", base), (f"POST {PATHS[1]}", other), ("difference of a pair", own))
    ]


def _median(rows: Sequence[tuple[float, float]], column: int) -> float:
    return statistics.median(row[column] for row in rows)


def _cpu_ms(pid: int) -> float:
    """Milliseconds that the threads of a process were on a processor."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text(encoding="utf-8").split()[0]) for thread in threads) / 1e6


def _body(path: str, job: str) -> dict[str, Any]:
    if path == PATHS[0]:
        return {"instruction": instruction(job)}
    return {"model": MODEL, "input": instruction(job)}


async def _streams(services_url: str, count: int) -> Row:
    async with running_orchestrator(services_url) as (process, client):
        await _read(client, "POST", "warm-up")
        with measured(process) as cost:
            streams = await asyncio.gather(*(_read(client, "POST", f"stream-{number}") for number in range(count)))
        gaps = [fault for events in streams for fault in faults(events)]
        for events in streams:
            replayed = await _read(client, "GET", events[0]["response"]["id"])
            gaps += [] if replayed == events else ["the stored stream differs"]
    return {
        "what": f"{count} streams at once",
        "events/s": sum(map(len, streams)) / cost[0].seconds,
        "seconds": cost[0].seconds,
        "peak MB": cost[0].peak_mb,
        "gaps": len(gaps),
    }


async def _read(client: httpx.AsyncClient, method: str, name: str) -> list[dict[str, Any]]:
    """The events of a new response, or of the stored one of this id."""
    path, body = f"/v1/responses/{name}?stream=true", None
    if method == "POST":
        path, body = "/v1/responses", {**_body(path, name), "stream": True}
    async with client.stream(method, path, json=body) as response:
        response.raise_for_status()
        return [json.loads(event.data) async for event in EventSource(response).aiter_sse() if event.data != "[DONE]"]


def faults(events: Sequence[dict[str, Any]]) -> list[str]:
    """What is wrong with a complete stream."""
    numbers = [event["sequence_number"] for event in events]
    wrong = [] if numbers == sorted(set(numbers)) else ["the numbers do not increase"]
    if events[-1]["type"] != "response.completed":
        wrong.append(f"it ends with {events[-1]['type']}")
    text = ""
    for event in events:
        if event["type"].endswith("_part.added"):
            text = ""
        elif event["type"].endswith(".delta"):
            text += event["delta"]
        elif event["type"] in ("response.reasoning.done", "response.output_text.done") and event["text"] != text:
            wrong.append("its deltas do not join to the text")
    return wrong


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less of everything, under a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to a file, too")
    options = parser.parse_args()
    rows = measure(QUICK if options.quick else FULL)
    show(TITLE, rows)
    write_json(options.json, TITLE, rows)


if __name__ == "__main__":
    main()
