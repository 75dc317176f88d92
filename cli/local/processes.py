"""Start services detached, find again every process that belongs to them, and end them all.

A service leads a session of its own. Its number alone proves nothing, since numbers are used again: a process counts
as ours only with its start time, and a session only while a process of it that we know still exists.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import psutil

from cli.local.services import ROOT, Service
from cli.local.state import OWNER_FILE, ProcessIdentity, ServiceRecord

GRACE_S = 15.0
KILL_PATIENCE_S = 5.0
POLL_S = 0.05
# The kernel counts in hundredths of a second.
_CLOCK_TICK_S = 0.015

# By number. A handle that is dropped while its process runs is a warning, and these are meant to outlive us.
_children: dict[int, subprocess.Popen[bytes]] = {}


def start(service: Service, log: Path) -> ServiceRecord:
    """Start a service in a session of its own; what it prints is appended to `log`. Raises `OSError`."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, OWNER_FILE)
    try:
        child = subprocess.Popen(  # noqa: S603 - the command is our own
            service.command,
            env={**service.defaults, **os.environ, **service.environment},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
        )
    finally:
        os.close(descriptor)
    _children[child.pid] = child
    return ServiceRecord(
        name=service.name,
        url=service.url,
        ready_url=service.url + service.ready_path,
        log=log,
        process=identify(psutil.Process(child.pid)),
    )


def exit_code(record: ServiceRecord) -> int | None:
    """How a service ended that this process started; None where that is not known.

    The number of the service is free for other processes afterwards, so end the rest of its session first.
    """
    child = _children.get(record.process.pid)
    return None if child is None else child.poll()


def identify(process: psutil.Process) -> ProcessIdentity:
    """What tells a process from a later one of the same number. Raises `psutil.NoSuchProcess`."""
    # Both hold the time of booting as the clock has it now, so a clock that was set in between does not matter.
    return ProcessIdentity(pid=process.pid, started=round(process.create_time() - psutil.boot_time(), 2))


def lives(identity: ProcessIdentity) -> bool:
    """Whether this very process runs. One that has ended, but was not waited for, does not."""
    process = _find(identity)
    return process is not None and _runs(process)


def members(record: ServiceRecord) -> list[psutil.Process]:
    """Every running process of a service: its leader, the leader's session, and what they have started."""
    known = [found for identity in (record.process, *record.members) if (found := _find(identity))]
    if not known:
        return []
    session = [_process(pid) for pid in psutil.pids() if _session(pid) == record.process.pid]
    everyone = {process.pid: process for process in [*known, *session] if process is not None}
    for process in list(everyone.values()):
        with contextlib.suppress(psutil.Error):
            everyone |= {child.pid: child for child in process.children(recursive=True)}
    return [process for process in everyone.values() if _runs(process)]


def with_members(record: ServiceRecord) -> ServiceRecord:
    """The record with the processes that the service has now."""
    identities = []
    for process in members(record):
        with contextlib.suppress(psutil.Error):
            identities.append(identify(process))
    return record.model_copy(update={"members": tuple(item for item in identities if item != record.process)})


def stop(records: Sequence[ServiceRecord], *, grace_s: float = GRACE_S) -> list[int]:
    """End services and everything that they have started: SIGTERM, and SIGKILL for what is left after `grace_s`.

    The one that was started last goes first, because it uses the others. Returns the numbers of those that could not
    be ended.
    """
    if not records:
        return []
    end = time.monotonic() + grace_s
    *others, last = records
    _end([last], until=time.monotonic() + grace_s / 2)
    _end(others, until=end)
    if _wait(lambda: not _all_members(records), until=end):
        return []
    return _kill(records)


def _end(records: Sequence[ServiceRecord], *, until: float) -> None:
    told: set[int] = set()

    def ended() -> bool:
        found = [process for record in records for process in _first_to_end(record) if process.pid not in told]
        told.update(process.pid for process in found)
        _signal(found, signal.SIGTERM)
        return not _all_members(records)

    _wait(ended, until=until)


def _first_to_end(record: ServiceRecord) -> list[psutil.Process]:
    """A service's leader, which ends the others when its work is done; without a leader all that are left."""
    leader = _find(record.process)
    return [leader] if leader is not None and _runs(leader) else members(record)


def _kill(records: Sequence[ServiceRecord]) -> list[int]:
    def dead() -> bool:
        # Again in each round: a process may have started another one meanwhile.
        _signal(_all_members(records), signal.SIGKILL)
        return not _all_members(records)

    _wait(dead, until=time.monotonic() + KILL_PATIENCE_S)
    return [process.pid for process in _all_members(records)]


def _all_members(records: Iterable[ServiceRecord]) -> list[psutil.Process]:
    return [process for record in records for process in members(record)]


def _signal(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)


def _wait(condition: Callable[[], bool], *, until: float) -> bool:
    while not condition():
        if time.monotonic() >= until:
            return False
        time.sleep(POLL_S)
    return True


def _find(identity: ProcessIdentity) -> psutil.Process | None:
    """The process, running or ended and not waited for; None when it is gone and the number may be another's."""
    process = _process(identity.pid)
    if process is None:
        return None
    with contextlib.suppress(psutil.Error):
        if abs(identify(process).started - identity.started) < _CLOCK_TICK_S:
            return process
    return None


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.Error:
        return None


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None
