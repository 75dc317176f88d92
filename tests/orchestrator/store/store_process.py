"""A program with an event log, run by tests as a child process. It prints one line for each operation.

store_process.py hold URL      open the log and keep it until standard input ends
store_process.py write URL     append to 20 trajectories at once until killed; a line for every append that returned
store_process.py limited URL   write through an I/O error: the system refuses to let the file grow, then allows it
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from datetime import UTC, datetime

from alpha_umi import telemetry
from orchestrator.store import EventStore, NewEvent, StoreError, open_store

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TRAJECTORIES = 20


async def hold(store: EventStore) -> None:
    say("held")
    await asyncio.to_thread(sys.stdin.read)


async def write(store: EventStore) -> None:
    await asyncio.gather(*(write_one(store, f"tr_{index}") for index in range(TRAJECTORIES)))


async def write_one(store: EventStore, name: str) -> None:
    await store.create(name, [NewEvent("trajectory.created", {})], at=NOON, instruction="Add.", tools=["add"])
    end = 1
    while True:
        say(f"{name} {end}")
        await store.append(name, after=end, events=[NewEvent("planner.decided", {"n": end + 1})], at=NOON)
        end += 1


async def limited(store: EventStore) -> None:
    await store.create("tr_1", [], at=NOON, instruction="Add.", tools=["add"])
    path = sys.argv[2].removeprefix("sqlite:///")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (os.stat(path).st_size, hard))
    say(await append(store, "x" * 200_000))
    say(await append(store, "x" * 200_000))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    say(await append(store, "x" * 200_000))


async def append(store: EventStore, text: str) -> str:
    try:
        await store.append("tr_1", after=0, events=[NewEvent("tool.observed", {"content": text})], at=NOON)
    except StoreError as error:
        return f"{type(error).__name__}: {error}"
    return "appended"


def say(line: str) -> None:
    print(line, flush=True)


async def main() -> None:
    telemetry.configure_logs(service="test")
    try:
        async with open_store(sys.argv[2]) as store:
            await {"hold": hold, "write": write, "limited": limited}[sys.argv[1]](store)
    except StoreError as error:
        say(f"{type(error).__name__}: {error}")


asyncio.run(main())
