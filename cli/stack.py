"""Bring all services up and down: ports first, then weights, then processes, then readiness."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table

from cli.processes import Service, StartFailed, check_ports, start, stop, wait_ready
from cli.state import RunFile, Running

READY_S = 600.0


def bring_up(services: Sequence[Service], run_file: RunFile, console: Console, *, timeout_s: float = READY_S) -> None:
    """Start services and wait until all are ready. Raises `StartFailed`; then, and on Ctrl-C, nothing is left."""
    check_ports(services)
    run_file.prepare()
    logs = run_file.folder / "logs"
    logs.mkdir(exist_ok=True)
    running: list[Running] = []
    try:
        for service in services:
            running.append(start(service, logs))
            run_file.write(running)
        _show_until_ready(services, running, logs, console, timeout_s)
    except BaseException:
        stop(running)
        run_file.clear()
        raise


def take_down(run_file: RunFile) -> tuple[list[Running], list[str]]:
    """End what runs; what it was, and the names of those that had to be killed."""
    running = run_file.read()
    stubborn = stop(list(reversed(running)))
    run_file.clear()
    return running, stubborn


def _show_until_ready(
    services: Sequence[Service], running: Sequence[Running], logs: Path, console: Console, timeout_s: float
) -> None:
    began = time.monotonic()
    seconds: dict[str, float] = {}
    with Live(console=console, refresh_per_second=4) as live:
        for ready in wait_ready(services, running, logs, timeout_s=timeout_s):
            for name in ready:
                seconds.setdefault(name, time.monotonic() - began)
            live.update(_table(running, seconds, time.monotonic() - began))


def _table(running: Sequence[Running], seconds: dict[str, float], elapsed: float) -> Table:
    table = Table("service", "address", "pid", "state", box=None, pad_edge=False)
    for entry in running:
        state = f"ready after {seconds[entry.name]:.0f} s" if entry.name in seconds else f"starting, {elapsed:.0f} s"
        table.add_row(entry.name, entry.address, str(entry.pid), state)
    return table


__all__ = ["READY_S", "StartFailed", "bring_up", "take_down"]
