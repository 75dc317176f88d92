"""Start services in sessions of their own, list all of their processes, and stop them.

PIDs are reused, so a process is identified by its PID and start time. A session ID counts only while a process of the
session that we recorded still exists.
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
KILL_TIMEOUT_S = 5.0
POLL_S = 0.05
# The kernel's clock ticks every 10 ms.
_CLOCK_TICK_S = 0.015

# By PID. Python warns when the handle of a running process is dropped, and these outlive this command.
_children: dict[int, subprocess.Popen[bytes]] = {}


def start(service: Service, log: Path) -> ServiceRecord:
    """Start a service in a session of its own and append its output to `log`. Raises `OSError`."""
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
        process=process_identity(psutil.Process(child.pid)),
    )


def exit_code(record: ServiceRecord) -> int | None:
    """Exit code of a service that this process started; None if it runs or is unknown.

    The PID may be reused afterwards, so stop the rest of its session first.
    """
    child = _children.get(record.process.pid)
    return None if child is None else child.poll()


def process_identity(process: psutil.Process) -> ProcessIdentity:
    """PID and start time of a process. Raises `psutil.NoSuchProcess`."""
    # Both include the boot time by the current clock, so setting the clock in between has no effect.
    return ProcessIdentity(pid=process.pid, started=round(process.create_time() - psutil.boot_time(), 2))


def is_running(identity: ProcessIdentity) -> bool:
    """Whether this process runs; a zombie does not."""
    process = _find(identity)
    return process is not None and _runs(process)


def processes_of(record: ServiceRecord) -> list[psutil.Process]:
    """All running processes of a service: its leader, the leader's session, and their descendants."""
    known = [process for identity in (record.process, *record.members) if (process := _find(identity))]
    if not known:
        return []
    session = [_process(pid) for pid in psutil.pids() if _session(pid) == record.process.pid]
    processes = {process.pid: process for process in [*known, *session] if process is not None}
    for process in list(processes.values()):
        with contextlib.suppress(psutil.Error):
            processes |= {child.pid: child for child in process.children(recursive=True)}
    return [process for process in processes.values() if _runs(process)]


def refresh_processes(record: ServiceRecord) -> ServiceRecord:
    """The record with the current processes of the service."""
    identities = []
    for process in processes_of(record):
        with contextlib.suppress(psutil.Error):
            identities.append(process_identity(process))
    return record.model_copy(update={"members": tuple(item for item in identities if item != record.process)})


def stop(records: Sequence[ServiceRecord], *, grace_s: float = GRACE_S) -> list[int]:
    """Stop services and their descendants: SIGTERM, then SIGKILL for those that run after `grace_s` seconds.

    The service that was started last is stopped first, because it uses the others. Returns the PIDs of processes that
    could not be stopped.
    """
    if not records:
        return []
    end = time.monotonic() + grace_s
    *others, last = records
    _terminate([last], until=time.monotonic() + grace_s / 2)
    _terminate(others, until=end)
    if _wait(lambda: not _all_processes(records), until=end):
        return []
    return _kill(records)


def _terminate(records: Sequence[ServiceRecord], *, until: float) -> None:
    signalled: set[int] = set()

    def stopped() -> bool:
        targets = [process for record in records for process in _term_targets(record) if process.pid not in signalled]
        signalled.update(process.pid for process in targets)
        _signal(targets, signal.SIGTERM)
        return not _all_processes(records)

    _wait(stopped, until=until)


def _term_targets(record: ServiceRecord) -> list[psutil.Process]:
    """The leader of a service, which stops its children itself; without a leader all remaining processes."""
    leader = _find(record.process)
    return [leader] if leader is not None and _runs(leader) else processes_of(record)


def _kill(records: Sequence[ServiceRecord]) -> list[int]:
    def dead() -> bool:
        # In each round: a process may have started another one meanwhile.
        _signal(_all_processes(records), signal.SIGKILL)
        return not _all_processes(records)

    _wait(dead, until=time.monotonic() + KILL_TIMEOUT_S)
    return [process.pid for process in _all_processes(records)]


def _all_processes(records: Iterable[ServiceRecord]) -> list[psutil.Process]:
    return [process for record in records for process in processes_of(record)]


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
    """The process, running or a zombie; None if it no longer exists or its PID was reused."""
    process = _process(identity.pid)
    if process is None:
        return None
    with contextlib.suppress(psutil.Error):
        if abs(process_identity(process).started - identity.started) < _CLOCK_TICK_S:
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
