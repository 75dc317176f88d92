"""Wait until all services are ready, showing progress; fail as soon as one exits."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import httpx
from pydantic import ValidationError
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from alpha_umi.contract.problems import Problem
from alpha_umi.plain_text import plain_line
from cli.local.processes import is_running
from cli.local.state import ServiceRecord

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
    asyncio.run(_wait(waiting, on_ready, timeout_s))


async def _wait(waiting: Sequence[Progress], on_ready: OnReady, timeout_s: float) -> None:
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
