"""Requests that read much: lists and streams of long trajectories."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import time

import aiohttp

from benchmarks.trust.process import health_of, memory_of
from benchmarks.trust.raw import open_request
from benchmarks.trust.system import CREATE, System, system
from benchmarks.trust.table import Check, Form, Outcome

STEPS = 64
OBSERVATION_BYTES = 2_000


async def _restarted(tested: System) -> None:
    """An orchestrator that has read nothing yet."""
    tested.orchestrator.send(signal.SIGTERM)
    await tested.orchestrator.ended()
    tested.orchestrator.start()
    await tested.orchestrator.ready("/readyz")


async def _list(form: Form) -> Outcome:
    """A list without steps, then the same one with them, of an orchestrator that has read neither."""
    count, path = form.count(100, 20), f"{CREATE}?limit=100"
    figures, passed = [], True
    async with system() as tested:
        await tested.create_many(count, steps=form.count(STEPS, 16), bytes=OBSERVATION_BYTES)
        await tested.settled(seconds=300)
        await _restarted(tested)
        for query, goal_s in ("", 0.3), ("&include=steps", 10):
            with memory_of(tested.orchestrator) as grown:
                async with health_of(tested.orchestrator) as health:
                    started = time.monotonic()
                    reply = await tested.ask("GET", path + query)
                    seconds = time.monotonic() - started
            passed &= reply.status == 200 and len(reply.json()["data"]) > 0 and grown.mb <= 64
            passed &= form.within(seconds, goal_s) and form.within(health.worst, 0.2)
            figures.append(
                f"{len(reply.text) / 1e6:.2f} MB in {seconds * 1e3:.0f} ms, /healthz worst "
                f"{health.worst * 1e3:.0f} ms, +{grown.mb:.0f} MB"
            )
    return Outcome(f"{count} trajectories: {figures[0]}; with steps: {figures[1]}", passed)


async def _slow_readers(form: Form) -> Outcome:
    """Streams of long trajectories whose clients read nothing, while others read theirs."""
    readers = form.count(100, 50)
    async with system() as tested:
        (trajectory_id,) = await tested.create_many(1, steps=form.count(STEPS, 32), bytes=100_000)
        await tested.settled(seconds=60)
        await _restarted(tested)
        with memory_of(tested.orchestrator) as grown:
            async with health_of(tested.orchestrator) as health:
                head = f"GET {CREATE}/{trajectory_id}/events HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
                connections = await asyncio.gather(*(open_request(tested.orchestrator, head) for _ in range(readers)))
                await asyncio.sleep(form.pick(5, 2))
        for connection in connections:
            connection.close()
    return Outcome(
        f"{readers} readers: +{grown.mb:.0f} MB, /healthz worst {health.worst * 1e3:.0f} ms",
        grown.mb <= 64 and form.within(health.worst, 0.2),
    )


async def _cuts(form: Form) -> Outcome:
    """Streams that are cut at random and resumed with Last-Event-ID, also across kill -9."""
    followers, wanted = form.count(20, 8), form.count(1_000, 100)
    cuts = 0
    half = asyncio.Event()
    rng = random.Random(7)  # noqa: S311 - nothing to guess

    async def follow(tested: System, trajectory_id: str) -> list[int]:
        nonlocal cuts
        ids: list[int] = []
        while True:
            headers = {"Last-Event-ID": str(ids[-1])} if ids else {}
            url = f"{tested.orchestrator.url}{CREATE}/{trajectory_id}/events"
            with contextlib.suppress(aiohttp.ClientError):
                async with tested.session.get(url, headers=headers) as response:
                    if response.status == 204:
                        return ids
                    left = rng.randint(1, 5)
                    while left and (line := await response.content.readline()):
                        if line.startswith(b"id: "):
                            ids.append(int(line[4:]))
                            left -= 1
                    cuts += 1
                    if cuts >= wanted // 2:
                        half.set()
            await asyncio.sleep(0.02)

    async with system(seconds=0.01) as tested:
        ids = await tested.create_many(followers, steps=form.count(56, 20))
        following = [asyncio.create_task(follow(tested, trajectory_id)) for trajectory_id in ids]
        # The kill has to come while the streams are followed, however fast the machine is.
        await half.wait()
        await tested.orchestrator.kill()
        tested.orchestrator.start()
        await tested.orchestrator.ready("/readyz")
        seen = await asyncio.gather(*following)
        complete = [await tested.ask("GET", f"{CREATE}/{trajectory_id}/events") for trajectory_id in ids]
    expected = [[int(line[4:]) for line in each.text.splitlines() if line.startswith("id: ")] for each in complete]
    broken = sum(rows != wanted_rows for rows, wanted_rows in zip(seen, expected, strict=True))
    return Outcome(
        f"{cuts:,} cuts of {followers} streams: {broken} with a gap, a repetition or another order",
        broken == 0 and cuts >= wanted,
    )


CHECKS = [
    Check(
        "list", "a list of 100 trajectories of 64 steps, then with its steps",
        "<= 300 ms, with steps <= 10 s; /healthz <= 200 ms, <= +64 MB", _list,
    ),
    Check("slow-readers", "100 streams that nobody reads", "<= +64 MB, /healthz <= 200 ms", _slow_readers,
          targets="R7"),
    Check("cuts", "1,000 random cuts of streams and a kill -9", "no gap, no repetition", _cuts, targets="R7"),
]  # fmt: skip
