"""Closed loops: a fixed number of jobs in flight.

Standard library only, because the loops beside the orchestrator run in separate environments.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path

Work = Callable[[str], Awaitable[None]]
WARM_UP = 3


@dataclass(frozen=True)
class LoopCost:
    """Wall time and CPU time of the measured jobs, and the process's peak memory in MB."""

    seconds: float
    cpu_s: float
    peak_mb: float


async def run_closed(work: Work, *, concurrency: int, jobs: int) -> None:
    """Do `jobs` jobs, `concurrency` at a time."""
    waiting = iter([f"job-{number}" for number in range(jobs)])

    async def worker() -> None:
        for job in waiting:
            await work(job)

    await asyncio.gather(*(worker() for _ in range(min(concurrency, jobs))))


async def warm_up(work: Work) -> None:
    """Run a few jobs before the measurement."""
    for number in range(WARM_UP):
        await work(f"warm-{number}")


async def measure_own(work: Work, *, concurrency: int, jobs: int) -> LoopCost:
    """The cost of a loop that this process runs."""
    await warm_up(work)
    started, cpu_before = time.monotonic(), time.process_time()
    await run_closed(work, concurrency=concurrency, jobs=jobs)
    return LoopCost(time.monotonic() - started, time.process_time() - cpu_before, peak_memory_mb())


def peak_memory_mb(pid: int | str = "self") -> float:
    """Peak resident set size of a process, in MB (10^6 bytes)."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1_024 / 1e6


def parse_arguments(description: str | None) -> argparse.Namespace:
    """The command line that the loops beside the orchestrator share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("url", help="address of the scripted services")
    parser.add_argument("--concurrency", type=int, required=True)
    parser.add_argument("--jobs", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="folder for a database")
    return parser.parse_args()


def print_cost(cost: LoopCost) -> None:
    """Print the cost as JSON, for the parent process."""
    print(json.dumps(asdict(cost)))
