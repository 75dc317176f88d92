"""Overhead of the orchestrator: time per step, throughput and memory, beside a bare loop and LangGraph.

    python -m benchmarks.orchestrator [--quick] [--json FILE]

Roles and tool are scripted and answer immediately (`scripted`), so that only the orchestrator is measured: a real
process with its event log on disk. One effect is one HTTP call to a role or a tool.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from benchmarks.agent_calls import agent_calls
from benchmarks.closed_loop import LoopCost, run_closed, warm_up
from benchmarks.own_time import ClientWait, ServiceCall, own_times, percentile
from benchmarks.processes import ROOT, free_port, measured, run_loop, running
from benchmarks.report import Row, show, write_json
from benchmarks.scripted import CALLS, ROUNDS, document, instruction

TITLE = "The orchestrator with scripted roles and tool"
LANGGRAPH_PYTHON = ROOT / ".venv-benchmarks" / "bin" / "python"
STEPS_PER_TRAJECTORY = ROUNDS + 1
STEPS_PER_SECOND = 100


@dataclass(frozen=True)
class Sizes:
    """Seconds of the open loop, and jobs of the closed loops by concurrency."""

    open_s: float
    jobs: dict[int, int]


FULL = Sizes(open_s=20, jobs={1: 60, 100: 600, 1_000: 1_500})
QUICK = Sizes(open_s=5, jobs={1: 20, 100: 200})


def measure(sizes: Sizes) -> list[Row]:
    """All rows."""
    with services() as services_url:
        rows = [asyncio.run(_open_loop(services_url, sizes.open_s))]
        for concurrency, jobs in sizes.jobs.items():
            rows += _closed_loops(services_url, concurrency, jobs)
    return rows


def _closed_loops(services_url: str, concurrency: int, jobs: int) -> list[Row]:
    bare = run_loop(Path(sys.executable), "benchmarks.bare_loop", services_url, concurrency=concurrency, jobs=jobs)
    ours = asyncio.run(_closed_loop(services_url, concurrency, jobs))
    peers = {"bare loop": bare, "orchestrator": ours}
    if LANGGRAPH_PYTHON.exists():
        peers["LangGraph, SQLite checkpoints"] = run_loop(
            LANGGRAPH_PYTHON, "benchmarks.langgraph_loop", services_url, concurrency=concurrency, jobs=jobs
        )
    return [_row(name, concurrency, jobs, cost, ours) for name, cost in peers.items()]


def _row(name: str, concurrency: int, jobs: int, cost: LoopCost, ours: LoopCost) -> Row:
    effects = jobs * CALLS
    return {
        "loop": name,
        "load": f"{concurrency:,} at once",
        "effects/s": effects / cost.seconds,
        "orchestrator is": f"{cost.seconds / ours.seconds:.2f}x",
        "CPU ms/effect": cost.cpu_s / effects * 1_000,
        "peak MB": cost.peak_mb,
    }


async def _closed_loop(services_url: str, concurrency: int, jobs: int) -> LoopCost:
    async with running_orchestrator(services_url) as (process, client):

        async def work(job: str) -> None:
            await _run_job(client, job)

        await warm_up(work)
        with measured(process) as cost:
            await run_closed(work, concurrency=concurrency, jobs=jobs)
        return cost[0]


async def _open_loop(services_url: str, seconds: float) -> Row:
    """Trajectories arrive at random with a fixed mean rate, whether or not earlier ones have finished."""
    arrivals = _arrivals(seconds)
    waits: dict[str, ClientWait] = {}
    async with running_orchestrator(services_url) as (process, client), agent_calls(services_url) as services:

        async def run_at(number: int, due: float) -> None:
            await asyncio.sleep(due - time.monotonic())
            started = time.monotonic()
            await _run_job(client, f"open-{number}")
            waits[f"open-{number}"] = ClientWait(started, time.monotonic())

        await warm_up(lambda job: _run_job(client, job))
        with measured(process) as cost:
            begin = time.monotonic()
            await asyncio.gather(*(run_at(number, begin + due) for number, due in enumerate(arrivals)))
        calls = [ServiceCall(*call) for call in (await services.http.get("/times")).json()]
    own = own_times(calls, waits)
    return {
        "loop": "orchestrator",
        "load": f"open, {len(own) / cost[0].seconds:.0f} steps/s",
        "effects/s": len(arrivals) * CALLS / cost[0].seconds,
        "CPU ms/effect": cost[0].cpu_s / (len(arrivals) * CALLS) * 1_000,
        "peak MB": cost[0].peak_mb,
        "own ms/step p50": percentile(own, 0.5) * 1_000,
        "own ms/step p99": percentile(own, 0.99) * 1_000,
    }


def _arrivals(seconds: float) -> list[float]:
    """Arrival times in seconds from the start: a Poisson process, the same in every run."""
    rng = random.Random(17)  # noqa: S311 - nothing to guess
    rate = STEPS_PER_SECOND / STEPS_PER_TRAJECTORY
    arrivals = [0.0]
    while arrivals[-1] < seconds:
        arrivals.append(arrivals[-1] + rng.expovariate(rate))
    return arrivals


async def _run_job(client: httpx.AsyncClient, job: str) -> None:
    response = await client.post("/v1/trajectories", json={"instruction": instruction(job)})
    trajectory = response.raise_for_status().json()
    if trajectory["status"] != "completed":
        raise RuntimeError(f"{job} ended as {trajectory['status']}: {trajectory['error']}")


@contextlib.contextmanager
def services() -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with running(["benchmarks.scripted", str(port)], f"{url}/readyz"):
        yield url


@contextlib.asynccontextmanager
async def running_orchestrator(services_url: str) -> AsyncIterator[tuple[psutil.Process, httpx.AsyncClient]]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        environment = _environment(Path(folder), services_url, port)
        with running(["orchestrator"], f"{url}/readyz", environment=environment) as process:
            async with agent_calls(url) as client:
                yield process, client.http


def _environment(folder: Path, services_url: str, port: int) -> dict[str, str]:
    sources = folder / "sources.json"
    source = {"name": "shipments", "document": document(), "base_url": services_url}
    sources.write_text(json.dumps({"sources": [source]}), encoding="utf-8")
    return {
        "ALPHA_UMI_PORT": str(port),
        "ALPHA_UMI_DATABASE_URL": f"sqlite:///{folder}/log.db",
        "ALPHA_UMI_PLANNER_URL": services_url,
        "ALPHA_UMI_CALLER_URL": services_url,
        "ALPHA_UMI_SUMMARIZER_URL": services_url,
        "ALPHA_UMI_TOOL_SOURCES": str(sources),
        "ALPHA_UMI_ALLOW_LOOPBACK_TOOLS": "true",
        "ALPHA_UMI_LOG_LEVEL": "INFO",
    }


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less of everything, under a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to a file, too")
    options = parser.parse_args()
    rows = measure(QUICK if options.quick else FULL)
    show(TITLE, rows)
    write_json(options.json, TITLE, rows)
    if not LANGGRAPH_PYTHON.exists():
        print("LangGraph is not measured; `make benchmarks-setup` installs it.", file=sys.stderr)


if __name__ == "__main__":
    main()
