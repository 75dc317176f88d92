"""The event log: its clock, its size, its file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil

from benchmarks.trust.load import open_loop
from benchmarks.trust.process import Process, ProcessEnded, folder_size
from benchmarks.trust.services import instruction
from benchmarks.trust.system import CREATE, System, system
from benchmarks.trust.table import Check, Form, Outcome

DAY_S = 86_400
# Trajectories/s under retention.
RATE = 8
SURVEY = {"name": "survey", "parameters": {"type": "object"}}


async def _clock(form: Form) -> Outcome:
    """The wall clock jumps 30 days ahead, then an hour back: keys, waiting clients and running work."""
    faults = []
    async with system(started=False, seconds=0.05, client_tool_timeout_s=60) as tested:
        offset = tested.folder / "offset"
        offset.write_text("0", encoding="utf-8")
        process = tested.orchestrator
        tested.orchestrator = shifted = Process(["benchmarks.trust.shifted_clock", str(offset), "orchestrator"])
        process.close()
        shifted.environment = {**process.environment, "ALPHA_UMI_PORT": str(shifted.port)}
        await tested.start()
        for jump in (30 * DAY_S, -3_600):
            faults += await _jump(tested, offset, jump)
    return Outcome("; ".join(faults) or "30 d ahead and 1 h back: no fault", not faults)


async def _jump(tested: System, offset: Path, seconds: int) -> list[str]:
    """What went wrong at a jump of the clock."""
    key, question = {"Idempotency-Key": f"k{seconds}"}, {"instruction": instruction("once"), "background": True}
    first = (await tested.ask("POST", CREATE, question, headers=key)).json()["id"]
    waiting = (await tested.create("waiting", tools=[SURVEY], tool="survey")).json()["id"]
    paused = await tested.end_of(waiting)
    running = await tested.create_many(5, steps=8)
    before = await asyncio.to_thread(offset.read_text)
    await asyncio.to_thread(offset.write_text, str(float(before) + seconds))
    # A commit in which old keys could be removed.
    await tested.end_of((await tested.create("after")).json()["id"])
    again = (await tested.ask("POST", CREATE, question, headers=key)).json().get("id")
    outputs = {"outputs": [{"call_id": paused["steps"][-1]["action"]["call_id"], "content": "21"}], "background": True}
    output = await tested.ask("POST", f"{CREATE}/{waiting}/tool_outputs", outputs)
    ends = [(await tested.end_of(each))["status"] for each in running]
    day = "+30 d" if seconds > 0 else "-1 h"
    return [
        *([f"{day}: the same key was carried out twice"] * (again != first)),
        *([f"{day}: an output in time was answered {output.status}"] * (output.status not in (200, 202))),
        *([f"{day}: {ends.count('failed')} of {len(ends)} running ones failed"] * (set(ends) != {"completed"})),
    ]


async def _retention(form: Form, *, minutes: float = 0) -> Outcome:
    """Load with a retention of a minute, which is enforced every minute: log and memory in the second half."""
    duration = 60 * (minutes or 4.2)
    async with system(retention="1m") as tested:
        sizes, memory, numbers = [], [], []

        async def watch() -> None:
            process = psutil.Process(tested.orchestrator.popen.pid)
            while True:
                await asyncio.sleep(duration / 20)
                sizes.append(folder_size(tested.folder) / 1e6)
                memory.append(process.memory_info().rss / 1e6)
                numbers.append(tested.statuses().total())

        watching = asyncio.create_task(watch())
        answered = await open_loop(tested, rate=RATE, seconds=duration, steps=3)
        watching.cancel()
    half = len(sizes) // 2
    growth = max(sizes[half:]) - max(sizes[:half])
    more = max(memory[half:]) - max(memory[:half])
    accepted = sum(each.reply.status == 202 for each in answered)
    return Outcome(
        f"{accepted} in {duration:.0f} s, {numbers[-1]} left; in the second half the log grew by {growth:.1f} MB (of "
        f"{max(sizes):.1f}), the memory by {more:.0f} MB",
        growth <= 0.1 * max(sizes) + 1 and more <= 16 and max(numbers[half:]) <= 130 * RATE,
    )


async def _deleted(form: Form) -> Outcome:
    """A trajectory is deleted by its owner, the others are pruned: they are gone, and their streams say so."""
    async with system() as tested:
        ids = await tested.create_many(40, steps=3, bytes=20_000)
        await tested.settled(seconds=60)
        deleted = await tested.ask("DELETE", f"{CREATE}/{ids[0]}")
        after = [(await tested.ask("GET", f"{CREATE}/{ids[0]}{path}")).status for path in ("", "/events")]
        left = tested.rows("SELECT count(*) FROM events WHERE trajectory_id = ?", ids[0])[0][0]
        pruned = await tested.ask("POST", "/v1/prune", {"older_than_s": 0.0})
        remaining = tested.statuses().total()
    return Outcome(
        f"DELETE {deleted.status}, then {after}, {left} rows left; prune {pruned.status}, {remaining} left",
        deleted.status in (200, 204) and set(after) <= {404, 410} and not left and remaining == 0,
    )


async def _second_orchestrator(form: Form) -> Outcome:
    """A second orchestrator on the same file: by a hard link, a symbolic link, and with the lock file removed."""

    def hard_link(path: Path) -> Path:
        os.link(path, other := path.with_name("hard.db"))
        return other

    def soft_link(path: Path) -> Path:
        (other := path.with_name("soft.db")).symlink_to(path)
        return other

    def no_lock(path: Path) -> Path:
        for lock in path.parent.glob("*.lock"):
            lock.unlink()
        return path

    ways: dict[str, Callable[[Path], Path]] = {"a hard link": hard_link, "a link": soft_link, "no lock": no_lock}
    admitted = []
    async with system() as tested:
        for name, way in ways.items():
            database = way(tested.folder / "log.db")
            second = Process(["orchestrator"], tested.orchestrator.environment)
            second.environment |= {
                "ALPHA_UMI_PORT": str(second.port),
                "ALPHA_UMI_DATABASE_URL": f"sqlite:///{database}",
            }
            second.start()
            try:
                await second.ready("/healthz")
                admitted.append(name)
            except ProcessEnded:
                pass
            finally:
                second.close()
    return Outcome(f"admitted by: {', '.join(admitted) or 'nothing'}", not admitted)


SOAK = Check(
    "soak", "20 minutes at 8 trajectories/s with retention", "log and memory stay level",
    partial(_retention, minutes=20),
    targets="R14", limit_s=1_800,
)  # fmt: skip
CHECKS = [
    Check(
        "clock", "the wall clock jumps 30 days ahead and an hour back", "no key twice, no output late, nothing failed",
        _clock, targets="R6", idle=True,
    ),
    Check("retention", "8 trajectories/s with retention", "log and memory stay level", _retention, short=False,
          targets="R14", idle=True, limit_s=600),
    Check("deleted", "a trajectory is deleted, the others are pruned", "gone, 410 or 404", _deleted, idle=True),
    Check("second-orchestrator", "a second orchestrator by a hard link or a removed lock", "refused",
          _second_orchestrator, idle=True),
]  # fmt: skip
