"""Role services and the orchestrator that go away and come back: an outage costs time, not work."""

from __future__ import annotations

import asyncio
import math
import signal
import sqlite3
import time
from functools import partial
from typing import Literal

from benchmarks.trust.system import System, system
from benchmarks.trust.table import Check, Form, Outcome, require

How = Literal["killed", "terminated", "frozen"]
RUNNING = 60
STEPS = 8
ANSWER_S = 0.15
RESUME_S = 5.0


async def _roles_away(form: Form, *, how: How, seconds: float) -> Outcome:
    """60 trajectories in the middle of their work, then the only role process goes away for a time."""
    away_s = form.pick(seconds, min(seconds, 4)) if how != "frozen" else seconds
    async with system(seconds=ANSWER_S) as tested:
        await tested.create_many(RUNNING, steps=STEPS)
        await asyncio.sleep(1.0)
        hit = tested.statuses()["running"]
        require(hit > RUNNING / 2, f"{hit} trajectories were running when the roles went away")
        back = await _outage(tested, how=how, seconds=away_s)
        resumed = await _resumed(tested, back) if how != "frozen" else 0.0
        await tested.settled(seconds=60)
        counts = tested.statuses()
    failed = RUNNING - counts["completed"]
    figure = f"{failed} of {RUNNING} failed ({hit} hit, {away_s:g} s away)"
    if how != "frozen":
        figure += f", resumed after {resumed:.1f} s"
    return Outcome(figure, failed == 0 and form.within(resumed, RESUME_S))


async def _outage(tested: System, *, how: How, seconds: float) -> float:
    """Take the roles away. Returns the moment when they are back, monotonic."""
    roles = tested.roles
    if how == "frozen":
        roles.send(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        roles.send(signal.SIGCONT)
        return time.monotonic()
    roles.send(signal.SIGKILL if how == "killed" else signal.SIGTERM)
    await roles.ended()
    await asyncio.sleep(seconds)
    roles.start()
    return await roles.ready("/readyz")


async def _resumed(tested: System, back: float) -> float:
    """Seconds from `back` to the first call, or the time that was waited for one."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        first = (await tested.roles_state())["first_call"]
        if first is not None:
            return float(max(0.0, first - back))
        if not tested.statuses()["running"]:
            break
        await asyncio.sleep(0.1)
    return math.inf


async def _power_cut(form: Form) -> Outcome:
    """Everything dies at once; the orchestrator starts first, the roles much later."""
    late_s, count = form.pick(60, 6), 40
    async with system(seconds=ANSWER_S) as tested:
        await tested.create_many(count, steps=STEPS)
        await asyncio.sleep(0.5)
        await tested.orchestrator.kill()
        await tested.roles.kill()
        tested.orchestrator.start()
        await tested.orchestrator.ready("/healthz")
        await asyncio.sleep(late_s)
        tested.roles.start()
        back = await tested.roles.ready("/readyz")
        resumed = await _resumed(tested, back)
        await tested.settled(seconds=90)
        failed = count - tested.statuses()["completed"]
    return Outcome(
        f"{failed} of {count} failed, roles {late_s:g} s late, resumed after {resumed:.1f} s",
        failed == 0 and form.within(resumed, RESUME_S),
    )


async def _orchestrator_killed(form: Form) -> Outcome:
    """kill -9 at random moments under load: what was acknowledged is in the log and ends."""
    kills, acknowledged = form.count(12, 3), 0
    async with system(seconds=0.02) as tested:
        slowest = 0.0
        for number in range(kills):
            creating = [asyncio.create_task(tested.create(f"k{number}-{job}", steps=3)) for job in range(25)]
            await asyncio.sleep(0.05 + 0.37 * number % 0.6)
            await tested.orchestrator.kill()
            replies = await asyncio.gather(*creating, return_exceptions=True)
            acknowledged += sum(not isinstance(reply, BaseException) and reply.status == 202 for reply in replies)
            started = tested.orchestrator.start()
            slowest = max(slowest, await tested.orchestrator.ready("/healthz") - started)
        await tested.settled(seconds=60)
        counts = tested.statuses()
    lost = max(0, acknowledged - counts.total())
    unfinished = counts.total() - counts["completed"]
    return Outcome(
        f"{kills} kills, {acknowledged} acknowledged: {lost} lost, {unfinished} not completed; "
        f"listening again after {slowest:.1f} s",
        lost == 0 and unfinished == 0 and form.within(slowest, 3.0),
    )


async def _terminated(form: Form) -> Outcome:
    """SIGTERM with many open streams."""
    count = form.count(1_000, 100)
    async with system(seconds=5.0) as tested:
        ids = await tested.create_many(count, steps=8)

        async def follow(trajectory_id: str) -> bool:
            url = f"{tested.orchestrator.url}/v1/trajectories/{trajectory_id}/events"
            async with tested.session.get(url) as response:
                return "event: reconnect" in await response.text()

        following = [asyncio.create_task(follow(trajectory_id)) for trajectory_id in ids]
        await asyncio.sleep(form.pick(5, 2))
        started = time.monotonic()
        tested.orchestrator.send(signal.SIGTERM)
        code = await tested.orchestrator.ended()
        seconds = time.monotonic() - started
        replies = await asyncio.gather(*following, return_exceptions=True)
        reconnects = sum(reply is True for reply in replies)
        unfinished = tested.statuses()["running"]
    return Outcome(
        f"{count} streams: exit code {code} after {seconds:.1f} s, {reconnects} were asked to reconnect, "
        f"{unfinished} continue",
        code == 0 and form.within(seconds, 10) and reconnects == count == unfinished,
    )


async def _listening(form: Form) -> Outcome:
    """A start with many unfinished trajectories: it listens first, and reads them afterwards."""
    count = form.count(10_000, 1_000)
    async with system(seconds=30.0) as tested:
        (template,) = await tested.create_many(1, steps=3)
        await asyncio.sleep(1.0)
        await tested.orchestrator.kill()
        await asyncio.to_thread(_copy_trajectory, tested, template, count - 1)
        started = tested.orchestrator.start()
        listening = await tested.orchestrator.ready("/healthz") - started
        before = time.monotonic()
        readable = await tested.ask("GET", f"/v1/trajectories/copy-{count - 2}")
        reading = time.monotonic() - before
        answered = await tested.ask("POST", f"/v1/trajectories/copy-{count - 2}/cancel")
    return Outcome(
        f"{count:,} unfinished: listening after {listening:.1f} s; one of them is read ({readable.status}) "
        f"in {reading:.2f} s and cancelled ({answered.status})",
        form.within(listening, 2.0) and readable.status == 200 and answered.status == 200,
    )


def _copy_trajectory(tested: System, template: str, count: int) -> None:
    """Rows of `count` trajectories like the one given."""
    names = [(f"copy-{number}",) for number in range(count)]
    with sqlite3.connect(tested.folder / "log.db") as log:
        for table, name in (("trajectories", "id"), ("events", "trajectory_id")):
            columns = [row[1] for row in log.execute(f"PRAGMA table_info({table})") if row[1] != name]
            listed = ", ".join(columns)
            log.executemany(
                f"INSERT INTO {table} ({name}, {listed}) "  # noqa: S608 - names of our own tables
                f"SELECT ?, {listed} FROM {table} WHERE {name} = '{template}'",
                names,
            )
    log.close()


def _away(name: str, fault: str, how: How, seconds: float, *, short: bool = True) -> Check:
    goal = f"0 of {RUNNING} failed" + ("" if how == "frozen" else f", resumed <= {RESUME_S:g} s after it is back")
    run = partial(_roles_away, how=how, seconds=seconds)
    return Check(name, fault, goal, run, short=short, targets="R3", idle=True)


CHECKS = [
    _away("role-away", "a role service is killed and away for 3 s", "killed", 3),
    _away("role-away-long", "the same for 30 s", "killed", 30, short=False),
    _away("role-terminated", "a role service restarts gracefully", "terminated", 3),
    _away("role-frozen", "a role service freezes for 10 s", "frozen", 10),
    Check(
        "power-cut", "power cut: the roles are back 60 s after the orchestrator",
        "0 of 40 failed, resumed <= 5 s", _power_cut, targets="R3", idle=True,
    ),
    Check(
        "orchestrator-killed", "kill -9 of the orchestrator at random moments under load",
        "0 acknowledged lost, all completed, listening <= 3 s", _orchestrator_killed, targets="R1",
    ),
    Check(
        "unfinished-at-start", "a start with 10,000 unfinished trajectories",
        "listening <= 2 s; unfinished ones are readable and can be cancelled", _listening,
    ),
    Check("terminated", "SIGTERM with 1,000 open streams", "exit code 0 <= 10 s, every stream ends with `reconnect`",
          _terminated, targets="R10"),
]  # fmt: skip
