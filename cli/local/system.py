"""The plan that starts the real system, its tool sources file, and what `up` prints."""

from __future__ import annotations

import base64
import json
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
from alpha_umi.plain_text import plain_line
from alpha_umi.serving.weights.hub import is_hub_id
from cli.errors import UsageProblem
from cli.local.models import ensure_models, role_folders
from cli.local.services import HOST, Ports, Script, Service, service_table
from cli.local.state import ORCHESTRATOR, RunRecord, StateFolder
from cli.local.supervisor import Plan

TOKEN_BYTES = 32
SOURCES_TIMEOUT_S = 15.0
POLL_S = 0.2


@dataclass(frozen=True)
class UpOptions:
    """Options of `up`; `models` is a folder or hub id with a model or adapter for each role, `model` of one for all.

    `engine` and `script` are for tests.
    """

    ports: Ports
    tool_sources: Path | None = None
    engine: Literal["vllm", "scripted"] = "vllm"
    script: Path | None = None
    models: str | None = None
    model: str | None = None

    @property
    def script_engine(self) -> Script | None:
        """The scripted engine, if it replaces the language models; a script implies it."""
        return Script(self.script) if self.engine == "scripted" or self.script is not None else None


def system_plan(options: UpOptions, state: StateFolder, console: Console) -> Plan:
    """How to start the system. Raises `UsageProblem` for unusable tool sources and models."""
    check_sources(options.tool_sources, options.ports)
    _check_models(options)
    token = secrets.token_urlsafe(TOKEN_BYTES)

    def prepare() -> Sequence[Service]:
        engines = options.script_engine or ensure_models(
            console, options.ports.of_roles(), options.models, model=options.model
        )
        sources = write_sources(state, options.tool_sources, options.ports)
        ensure_secrets_key(state)
        return service_table(options.ports, engines, state=state, token=token, tool_sources=sources)

    return Plan(options.ports.specs(), prepare, role_token=token)


def _check_models(options: UpOptions) -> None:
    if options.models is not None and options.model is not None:
        raise UsageProblem("--model excludes --models", remedy="name either: one model for all roles, or one for each")
    if options.models is not None and not is_hub_id(options.models):
        role_folders(Path(options.models), options.ports.of_roles())
    if options.model is not None and not is_hub_id(options.model) and not Path(options.model).is_dir():
        raise UsageProblem(f"--model: there is no folder {options.model}", remedy="name a folder, or org/name of a hub")


def wait_for_sources(client: SyncOrchestratorClient, *, timeout_s: float = SOURCES_TIMEOUT_S) -> list[ToolSourceInfo]:
    """The tool sources, as soon as all are ready or `timeout_s` seconds have passed."""
    end = time.monotonic() + timeout_s
    while True:
        sources = client.tool_sources()
        if all(source.status == "ready" for source in sources) or time.monotonic() >= end:
            return sources
        time.sleep(POLL_S)


def print_started(console: Console, run: RunRecord, *, started_now: bool) -> None:
    """Print the address of each service and the log folder."""
    console.print(Text("alpha-umi is up" if started_now else "alpha-umi is up already", style="bold green"))
    width = max(len(service.name) for service in run.services)
    for service in run.services:
        docs = f"  {service.url}/docs" if service.name == ORCHESTRATOR else ""
        console.print(Text(f"  {service.name.ljust(width)}  {service.url}{docs}"), soft_wrap=True)
    console.print(Text(f"  {'logs'.ljust(width)}  {run.services[0].log.parent}", style="dim"), soft_wrap=True)


def warn_failed_sources(console: Console, sources: Sequence[ToolSourceInfo]) -> None:
    """Warn about sources without tools; the orchestrator keeps trying to load them."""
    for source in sources:
        if source.status != "ready":
            why = plain_line(source.error or "it was not loaded in time")
            console.print(
                Text(f"warning: no tools of {plain_line(source.name)}: {why}", style="yellow"), soft_wrap=True
            )


EXAMPLES = "demo"


def check_sources(own: Path | None, ports: Ports) -> None:
    """Raises `UsageProblem` for an unusable tool sources file."""
    if own is None:
        return
    # The orchestrator's dependencies, which most commands do not need.
    from orchestrator.tools.errors import ToolSourceError
    from orchestrator.tools.sources_file import load_sources_file

    try:
        names = [source.name for source in load_sources_file(own)]
    except ToolSourceError as error:
        raise UsageProblem(f"{own}: {error.field}: {error.message}", remedy=error.remedy) from error
    if ports.tools is not None and EXAMPLES in names:
        raise UsageProblem(
            f"{own}: a source has the name {EXAMPLES!r} of the example tools",
            remedy="rename it, or add --no-example-tools",
        )


def ensure_secrets_key(state: StateFolder) -> None:
    """Write the key that encrypts the credentials of tools, unless there is one. Raises `StateUnusable`."""
    if not state.secrets_key.exists():
        state.write_private(state.secrets_key, base64.urlsafe_b64encode(secrets.token_bytes(TOKEN_BYTES)).decode())


def write_sources(state: StateFolder, own: Path | None, ports: Ports) -> Path | None:
    """Write the orchestrator's tool sources file; None if there are no sources. Raises `StateUnusable`."""
    import yaml

    if ports.tools is None:
        return None if own is None else own.absolute()
    examples = {
        "name": EXAMPLES,
        "kind": "openapi",
        "url": f"http://{HOST}:{ports.tools}/openapi.json",
        "effect": "read",
    }
    others = [] if own is None else yaml.safe_load(own.read_bytes())["sources"]
    # JSON is YAML. The orchestrator expands the variables of the operator's file.
    state.write_private(state.tool_sources, json.dumps({"sources": [examples, *others]}, indent=2, default=str))
    return state.tool_sources
