"""More work than the system can do: what is accepted is finished, what is refused is refused before acceptance."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from benchmarks.own_time import percentile
from benchmarks.trust.process import busy_machine, health_of, memory_of
from benchmarks.trust.system import Reply, System, system
from benchmarks.trust.table import Check, Form, Outcome

# Eight answers of each role at once, 0.2 s each, two of the planner's in a trajectory: 20 trajectories/s.
SLOTS, ANSWER_S = 8, 0.2
FACTOR = 5
REFUSALS = (429, 503)
GOODPUT = 0.85


@dataclass(frozen=True)
class Answered:
    """One request of an open loop."""

    reply: Reply
    seconds: float


async def open_loop(tested: System, *, rate: float, seconds: float, steps: int = 1) -> list[Answered]:
    """Create trajectories at random moments with a fixed mean rate, whether or not earlier ones have finished."""
    rng = random.Random(17)  # noqa: S311 - nothing to guess
    begin, due = time.monotonic(), 0.0
    tasks: list[asyncio.Task[Answered]] = []

    async def create(number: int) -> Answered:
        started = time.monotonic()
        reply = await tested.create(f"load-{number}", steps=steps)
        return Answered(reply, time.monotonic() - started)

    while due < seconds:
        await asyncio.sleep(max(0.0, begin + due - time.monotonic()))
        tasks.append(asyncio.create_task(create(len(tasks))))
        due += rng.expovariate(rate)
    return await asyncio.gather(*tasks)


async def _peak(tested: System, seconds: float) -> float:
    """Trajectories/s of a closed loop that keeps every slot of the roles busy."""
    end, done = time.monotonic() + seconds, 0

    async def work() -> None:
        nonlocal done
        while time.monotonic() < end:
            reply = await tested.create(f"peak-{done}")
            if reply.status != 202:
                await asyncio.sleep(0.2)
                continue
            await tested.end_of(reply.json()["id"])
            done += 1

    started = time.monotonic()
    await asyncio.gather(*(work() for _ in range(4 * SLOTS)))
    return done / (time.monotonic() - started)


async def _overload(form: Form) -> Outcome:
    """An open loop of five times the capacity. Finished ones count if they were finished during the load."""
    seconds = form.pick(120, 15)
    async with system(seconds=ANSWER_S, slots=SLOTS, trajectory_timeout_s=60, role_timeout_s=20) as tested:
        peak = await _peak(tested, form.pick(15, 6))
        started = datetime.now(UTC)
        answered = await open_loop(tested, rate=FACTOR * peak, seconds=seconds)
        ended = started + timedelta(seconds=seconds)
        await tested.settled(seconds=150)
        finished = tested.rows(
            "SELECT count(*) FROM trajectories WHERE status = 'completed' AND finished_at BETWEEN ? AND ?",
            _stored(started), _stored(ended),
        )  # fmt: skip
        counts = tested.statuses()
        again = time.monotonic()
        await tested.end_of((await tested.create("afterwards")).json()["id"])
        normal = time.monotonic() - again
    refused = [each for each in answered if each.reply.status in REFUSALS]
    accepted = sum(each.reply.status == 202 for each in answered)
    without = sum("retry-after" not in {name.lower() for name in each.reply.headers} for each in refused)
    slow = percentile([each.seconds for each in refused], 0.99) if refused else 0.0
    goodput = finished[0][0] / seconds / peak
    unfinished = counts.total() - counts["completed"]
    others = len(answered) - accepted - len(refused)
    figure = (
        f"{len(answered):,} requests at {FACTOR} x {peak:.0f}/s: {accepted:,} accepted, of which {unfinished} failed; "
        f"goodput {goodput:.0%} of the peak; {len(refused):,} refused ({without} without Retry-After, "
        f"p99 {slow * 1e3:.0f} ms), {others} others; one trajectory afterwards {normal:.1f} s"
    )
    passed = unfinished == 0 and goodput >= GOODPUT and not without and not others and form.within(normal, 10)
    return Outcome(figure, passed and form.within(slow, 0.1))


def _stored(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")


async def _beside_others(form: Form) -> Outcome:
    """As many at once as the issue names, while two other processes compute all the time."""
    count = form.count(2_000, 300)
    async with system() as tested:
        with busy_machine(2):
            replies = await asyncio.gather(
                *(tested.create(f"at-once-{number}") for number in range(count)), return_exceptions=True
            )
            await tested.settled(seconds=180)
        counts = tested.statuses()
    answers = Counter(None if isinstance(reply, BaseException) else reply.status for reply in replies)
    unfinished = max(answers[202], counts.total()) - counts["completed"]
    refused = sum(answers[status] for status in REFUSALS)
    others = count - answers[202] - refused - answers[None]
    return Outcome(
        f"{count:,} at once: {unfinished} of {answers[202]:,} accepted failed, {refused} refused, {answers[None]} "
        f"without an answer, {others} other answers",
        unfinished == 0 and answers[None] == others == 0,
    )


async def _concurrent(form: Form) -> Outcome:
    """Many trajectories in flight that wait for slow roles, at 100 steps/s."""
    count = form.count(1_000, 200)
    async with system(seconds=count / 300) as tested:
        with memory_of(tested.orchestrator) as grown:
            await tested.create_many(count, steps=2)
            async with health_of(tested.orchestrator) as health:
                await tested.settled(seconds=180)
        counts = tested.statuses()
    p99 = health.percentile(0.99)
    return Outcome(
        f"{counts['completed']:,} of {count:,} completed; /healthz p99 {p99 * 1e3:.0f} ms, worst "
        f"{health.worst * 1e3:.0f} ms; +{grown.mb:.0f} MB",
        counts["completed"] == count and form.within(p99, 0.1) and grown.mb <= 300,
    )


CHECKS = [
    Check(
        "overload", "five times the capacity for two minutes",
        "goodput >= 85 %, 0 accepted failed, refusals with Retry-After, p99 <= 100 ms", _overload, targets="R9",
    ),
    Check("beside-others", "2,000 at once beside a busy machine", "0 failed", _beside_others),
    Check(
        "concurrent", "1,000 trajectories at once", "all completed, /healthz p99 <= 100 ms, <= +300 MB", _concurrent,
        targets="R8",
    ),
]  # fmt: skip
