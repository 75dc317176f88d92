"""Bring the system up as a whole or not at all, and take it down.

Left out: what the services are (`services`), and how a process is started and ended (`processes`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from cli.errors import CommandError, StartFailed, StateUnusable
from cli.local.processes import GRACE_S, exit_code, lives, members, start, stop, with_members
from cli.local.readiness import READY_TIMEOUT_S, NotReadyInTime, Progress, ServiceDied, startup_view, wait_until_ready
from cli.local.services import PortClaim, Service, require_free
from cli.local.signals import ending_signals_interrupt, interrupted_afterwards, uninterrupted
from cli.local.state import RunRecord, ServiceRecord, StateFolder

LOG_LINES = 20


@dataclass(frozen=True)
class Plan:
    """What to bring up. `prepare` makes ready what the services need, and says what to start; it is called last.

    `ready_timeout_s` bounds the start, `grace_s` the ending of what was started when that fails, both in seconds.
    """

    claims: Sequence[PortClaim]
    prepare: Callable[[], Sequence[Service]]
    role_token: str
    ready_timeout_s: float = READY_TIMEOUT_S
    grace_s: float = GRACE_S


@dataclass(frozen=True)
class Up:
    """The system is up. `started_now`: this command started it."""

    run: RunRecord
    started_now: bool


def bring_up(state: StateFolder, plan: Plan, console: Console) -> Up:
    """Start what is planned and wait until it is ready, unless it is up already; the console shows the progress.

    Raises `PortTaken`, `StateUnusable`, `StartFailed`, `KeyboardInterrupt`, and what `plan.prepare` raises. After
    any of them nothing that was started here is left.
    """
    with state.alone(), ending_signals_interrupt():
        running = _running(state)
        if running is not None:
            return Up(running, started_now=False)
        require_free(plan.claims)
        services = plan.prepare()
        return Up(_start_all(state, plan, services, console), started_now=True)


def take_down(state: StateFolder, *, grace_s: float = GRACE_S) -> list[str]:
    """End everything that `bring_up` started; the names of the services that were running.

    Raises `StateUnusable`, and `CommandError` when a process cannot be ended.
    """
    if not state.path.is_dir():
        return []
    with state.alone():
        run = state.read_run()
        if run is None:
            return []
        running = [service.name for service in run.services if members(service)]
        _end(run.services, grace_s)
        state.forget_run()
        return running


_AGAIN = "end it with `alpha-umi down`, then start it again"


def _running(state: StateFolder) -> RunRecord | None:
    """What an earlier command brought up, if all of it lives. Raises `StateUnusable` if only a part of it does."""
    run = state.read_run()
    if run is None:
        return None
    ended = [service.name for service in run.services if not lives(service.process)]
    if run.complete and not ended:
        return run
    left = [service.name for service in run.services if members(service)]
    if left:
        what = f"{', '.join(ended)} ended and " if ended else "an earlier start was interrupted, and "
        raise StateUnusable(f"{what}{', '.join(left)} still runs", remedy=_AGAIN)
    state.forget_run()
    return None


def _start_all(state: StateFolder, plan: Plan, services: Sequence[Service], console: Console) -> RunRecord:
    started: list[ServiceRecord] = []
    try:
        for service in services:
            # Recorded one by one, so that `down` finds them also after this command was killed.
            with interrupted_afterwards():
                started.append(_start(service, state))
                state.write_run(RunRecord(role_token=plan.role_token, services=tuple(started)))
        _wait(started, plan, console)
        ready = tuple(map(with_members, started))
        run = RunRecord(role_token=plan.role_token, complete=True, services=ready)
        state.write_run(run)
    except BaseException as error:
        with uninterrupted():
            _end(started, plan.grace_s)
            state.forget_run()
        if isinstance(error, ServiceDied):
            raise _died(error.record) from error
        raise
    return run


def _start(service: Service, state: StateFolder) -> ServiceRecord:
    log = state.logs / f"{service.name}.log"
    try:
        # The log of an earlier run would hide why this one failed.
        log.unlink(missing_ok=True)
        return start(service, log)
    except OSError as error:
        raise StartFailed(f"the {service.name} could not be started: {error}") from error


def _wait(records: Sequence[ServiceRecord], plan: Plan, console: Console) -> None:
    waiting = [Progress(record) for record in records]
    try:
        with startup_view(console, waiting) as on_ready:
            wait_until_ready(waiting, on_ready=on_ready, timeout_s=plan.ready_timeout_s)
    except NotReadyInTime as late:
        message = f"not ready after {plan.ready_timeout_s:.0f} s: {late}"
        raise StartFailed(message, remedy=f"the logs are in {records[0].log.parent}") from late


def _died(record: ServiceRecord) -> StartFailed:
    code = exit_code(record)
    how = "" if code is None else f" with exit code {code}"
    return StartFailed(
        f"the {record.name} ended{how} before it was ready",
        log=last_lines(record.log),
        remedy=f"the whole log is {record.log}",
    )


def last_lines(log: Path, lines: int = LOG_LINES) -> str:
    """The end of a log; empty when it cannot be read."""
    try:
        text = log.read_bytes()[-64_000:].decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def _end(records: Sequence[ServiceRecord], grace_s: float) -> None:
    left = stop(records, grace_s=grace_s)
    if left:
        raise CommandError(f"these processes could not be ended: {', '.join(map(str, left))}")
