"""The real system as a plan to bring up, and what to say once it is."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.text import Text

from alpha_umi.client.sync import SyncOrchestratorClient
from alpha_umi.contract.tool_sources import ToolSourceInfo
from cli.engines import ensure_models, role_folders
from cli.launch import Plan
from cli.plain_text import plain_line
from cli.services import Ports, Script, Service, service_table
from cli.state import ORCHESTRATOR, RunRecord, StateFolder

TOKEN_BYTES = 32
SOURCES_PATIENCE_S = 15.0
POLL_S = 0.2


@dataclass(frozen=True)
class Wishes:
    """What the user wants to run; `models` is a folder with one for each role.

    `engine` and `script` are for tests: the main job runs real models.
    """

    ports: Ports
    tool_sources: Path | None = None
    engine: Literal["vllm", "scripted"] = "vllm"
    script: Path | None = None
    models: Path | None = None

    @property
    def script_engine(self) -> Script | None:
        """What stands in for the language models, if anything does. A script alone asks for it as well."""
        return Script(self.script) if self.engine == "scripted" or self.script is not None else None


def system_plan(wishes: Wishes, state: StateFolder, console: Console) -> Plan:
    """How to bring the system up. Raises `UsageProblem` for tool sources and models that cannot be used."""
    # It needs what the orchestrator needs, and most commands do without.
    from cli.sources_file import check_sources, write_sources

    check_sources(wishes.tool_sources, wishes.ports)
    if wishes.models is not None:
        role_folders(wishes.models, wishes.ports.of_roles())
    token = secrets.token_urlsafe(TOKEN_BYTES)

    def prepare() -> Sequence[Service]:
        engines = wishes.script_engine or ensure_models(console, wishes.ports.of_roles(), wishes.models)
        sources = write_sources(state, wishes.tool_sources, wishes.ports)
        return service_table(wishes.ports, engines, state=state, token=token, tool_sources=sources)

    return Plan(wishes.ports.claims(), prepare, role_token=token)


def settled_sources(client: SyncOrchestratorClient, *, patience_s: float = SOURCES_PATIENCE_S) -> list[ToolSourceInfo]:
    """The tool sources, as soon as all of them are ready or the patience (in seconds) is over."""
    end = time.monotonic() + patience_s
    while True:
        sources = client.tool_sources()
        if all(source.status == "ready" for source in sources) or time.monotonic() >= end:
            return sources
        time.sleep(POLL_S)


def print_up(console: Console, run: RunRecord, *, started_now: bool) -> None:
    """Where everything is."""
    console.print(Text("alpha-umi is up" if started_now else "alpha-umi is up already", style="bold green"))
    width = max(len(service.name) for service in run.services)
    for service in run.services:
        docs = f"  {service.url}/docs" if service.name == ORCHESTRATOR else ""
        console.print(Text(f"  {service.name.ljust(width)}  {service.url}{docs}"), soft_wrap=True)
    console.print(Text(f"  {'logs'.ljust(width)}  {run.services[0].log.parent}", style="dim"), soft_wrap=True)


def print_failed_sources(console: Console, sources: Sequence[ToolSourceInfo]) -> None:
    """Warn of sources that offer no tools yet; the orchestrator goes on trying."""
    for source in sources:
        if source.status != "ready":
            why = plain_line(source.error or "it did not answer in time")
            console.print(
                Text(f"warning: no tools of {plain_line(source.name)}: {why}", style="yellow"), soft_wrap=True
            )
