"""Start all services of the system or none, wait until they are ready while showing progress, and stop them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from pydantic import ValidationError
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from alpha_umi.contract.problems import Problem
from alpha_umi.plain_text import plain_line
from cli.errors import CommandError, StartFailed, StateUnusable
from cli.local.processes import GRACE_S, exit_code, is_running, processes_of, refresh_processes, start, stop
from cli.local.services import PortSpec, Service, check_ports_free
from cli.local.signals import deferred_signals, ending_signals_interrupt, ignored_signals
from cli.local.state import RunRecord, ServiceRecord, StateFolder

# Three vLLM engines that start together on two cores take about 90 s.
READY_TIMEOUT_S = 600.0
PROBE_TIMEOUT_S = 5.0
POLL_S = 0.2


class ServiceDied(Exception):
    """A service exited before it was ready."""

    def __init__(self, record: ServiceRecord) -> None:
        super().__init__(record.name)
        self.record = record


class NotReadyInTime(Exception):
    """Services that were not ready in time; `states` has the last state of each."""

    def __init__(self, states: dict[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {state}" for name, state in states.items()))
        self.states = states


@dataclass
class Progress:
    """Progress of one service. `seconds` counts from the start of waiting until it was ready."""

    record: ServiceRecord
    started_at: float = field(default_factory=time.monotonic)
    state: str = "starting"
    ready_after: float | None = None

    @property
    def seconds(self) -> float:
        """Until now, or until it was ready."""
        return time.monotonic() - self.started_at if self.ready_after is None else self.ready_after


OnReady = Callable[[Progress], None]


def wait_until_ready(waiting: Sequence[Progress], *, on_ready: OnReady, timeout_s: float = READY_TIMEOUT_S) -> None:
    """Return when all are ready, updating `waiting`. Raises `ServiceDied`, `NotReadyInTime`."""
    asyncio.run(_poll_all(waiting, on_ready, timeout_s))


async def _poll_all(waiting: Sequence[Progress], on_ready: OnReady, timeout_s: float) -> None:
    # Loopback: ignore proxy variables.
    async with httpx.AsyncClient(timeout=PROBE_TIMEOUT_S, trust_env=False) as http:
        try:
            async with asyncio.timeout(timeout_s), asyncio.TaskGroup() as watches:
                for progress in waiting:
                    watches.create_task(_watch(progress, http, on_ready))
        except* ServiceDied as deaths:
            raise deaths.exceptions[0] from None
        except* TimeoutError:
            late = {progress.record.name: progress.state for progress in waiting if progress.ready_after is None}
            raise NotReadyInTime(late) from None


async def _watch(progress: Progress, http: httpx.AsyncClient, on_ready: OnReady) -> None:
    while (state := await _state(progress.record, http)) is not None:
        progress.state = state
        if not is_running(progress.record.process):
            progress.state = "ended"
            raise ServiceDied(progress.record)
        await asyncio.sleep(POLL_S)
    progress.state = "ready"
    progress.ready_after = progress.seconds
    on_ready(progress)


async def _state(record: ServiceRecord, http: httpx.AsyncClient) -> str | None:
    """Why a service is not ready; None if it is."""
    try:
        response = await http.get(record.ready_url)
    except httpx.HTTPError:
        return "starting"
    if response.status_code == httpx.codes.OK:
        return None
    try:
        return Problem.model_validate_json(response.content).detail
    except ValidationError:
        return f"not ready (status {response.status_code})"


@contextlib.contextmanager
def startup_view(console: Console, waiting: Sequence[Progress]) -> Iterator[OnReady]:
    """Show `waiting` until the block ends: a live table on a terminal, else a line for each ready service.

    Yields the callback for services that became ready.
    """
    if not console.is_terminal:
        yield lambda progress: _print_line(console, progress)
        return
    with Live(get_renderable=lambda: table(waiting), console=console, refresh_per_second=4):
        yield lambda progress: None


def table(waiting: Sequence[Progress]) -> Table:
    """Service, PID, state and seconds of each."""
    view = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("service", "pid", "state"):
        view.add_column(heading, overflow="ellipsis", no_wrap=True)
    view.add_column("seconds", justify="right")
    for progress in waiting:
        style = {"ready": "green", "ended": "red"}.get(progress.state, "yellow")
        view.add_row(
            Text(progress.record.name),
            Text(str(progress.record.process.pid)),
            Text(plain_line(progress.state), style=style),
            Text(f"{progress.seconds:.1f}"),
        )
    return view


def _print_line(console: Console, progress: Progress) -> None:
    console.print(Text(f"{progress.record.name} is ready after {progress.seconds:.1f} s"))


LOG_LINES = 20


@dataclass(frozen=True)
class Plan:
    """The start of a system. `prepare` prepares models and files and returns the services, after the port check.

    `ready_timeout_s` limits the start, `grace_s` the shutdown after a failed start, both in seconds.
    """

    specs: Sequence[PortSpec]
    prepare: Callable[[], Sequence[Service]]
    role_token: str
    ready_timeout_s: float = READY_TIMEOUT_S
    grace_s: float = GRACE_S


@dataclass(frozen=True)
class StartResult:
    """The running system. `started_now`: this command started it."""

    run: RunRecord
    started_now: bool


def start_system(state: StateFolder, plan: Plan, console: Console) -> StartResult:
    """Start the services and wait until they are ready, unless they already run; the console shows progress.

    Raises `PortTaken`, `StateUnusable`, `StartFailed`, `KeyboardInterrupt`, and what `plan.prepare` raises. Before any
    of them everything that was started here is stopped.
    """
    with state.locked(), ending_signals_interrupt():
        running = _running(state)
        if running is not None:
            return StartResult(running, started_now=False)
        check_ports_free(plan.specs)
        services = plan.prepare()
        return StartResult(_start_all(state, plan, services, console), started_now=True)


def stop_system(state: StateFolder, *, grace_s: float = GRACE_S) -> list[str]:
    """Stop everything that `start_system` started; returns the names of the services that were running.

    Raises `StateUnusable`, and `CommandError` if a process cannot be stopped.
    """
    if not state.path.is_dir():
        return []
    with state.locked():
        run = state.read_run()
        if run is None:
            return []
        running = [service.name for service in run.services if processes_of(service)]
        _stop(run.services, grace_s)
        state.delete_run()
        return running


_RESTART = "stop it with `alpha-umi down`, then start it again"


def _running(state: StateFolder) -> RunRecord | None:
    """The run of an earlier command, if all of its services run. Raises `StateUnusable` if only some do."""
    run = state.read_run()
    if run is None:
        return None
    ended = [service.name for service in run.services if not is_running(service.process)]
    if run.complete and not ended:
        return run
    remaining = [service.name for service in run.services if processes_of(service)]
    if remaining:
        what = f"{', '.join(ended)} ended and " if ended else "an earlier start was interrupted, and "
        raise StateUnusable(f"{what}{', '.join(remaining)} still runs", remedy=_RESTART)
    state.delete_run()
    return None


def _start_all(state: StateFolder, plan: Plan, services: Sequence[Service], console: Console) -> RunRecord:
    started: list[ServiceRecord] = []
    try:
        for service in services:
            # Recorded one by one, so that `down` stops them also if this command is killed.
            with deferred_signals():
                started.append(_start(service, state))
                state.write_run(RunRecord(role_token=plan.role_token, services=tuple(started)))
        _wait(started, plan, console)
        ready = tuple(map(refresh_processes, started))
        run = RunRecord(role_token=plan.role_token, complete=True, services=ready)
        state.write_run(run)
    except BaseException as error:
        with ignored_signals():
            _stop(started, plan.grace_s)
            state.delete_run()
        if isinstance(error, ServiceDied):
            raise _died(error.record) from error
        raise
    return run


def _start(service: Service, state: StateFolder) -> ServiceRecord:
    log = state.logs / f"{service.name}.log"
    try:
        # The log of an earlier run could be mistaken for this one's.
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
        remedy=f"the full log is {record.log}",
    )


def last_lines(log: Path, lines: int = LOG_LINES) -> str:
    """The last lines of a log; empty if it cannot be read."""
    try:
        text = log.read_bytes()[-64_000:].decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def _stop(records: Sequence[ServiceRecord], grace_s: float) -> None:
    remaining = stop(records, grace_s=grace_s)
    if remaining:
        raise CommandError(f"these processes could not be stopped: {', '.join(map(str, remaining))}")
