"""The tool sources that the orchestrator is started with: the operator's own file, and the example tools."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from cli.errors import UsageProblem
from cli.services import HOST, Ports
from cli.state import StateFolder
from orchestrator.tools.errors import ToolSourceError
from orchestrator.tools.sources_file import load_sources_file

EXAMPLES = "demo"


def check_sources(own: Path | None, ports: Ports) -> None:
    """Raises `UsageProblem` for an operator's file that cannot be used."""
    if own is None:
        return
    try:
        names = [source.name for source in load_sources_file(own)]
    except ToolSourceError as error:
        raise UsageProblem(f"{own}: {error.field}: {error.message}", remedy=error.remedy) from error
    if ports.tools is not None and EXAMPLES in names:
        raise UsageProblem(
            f"{own}: a source is called {EXAMPLES!r}, as the example tools are",
            remedy="rename it, or add --no-example-tools",
        )


def write_sources(state: StateFolder, own: Path | None, ports: Ports) -> Path | None:
    """The file to start the orchestrator with; None when there are no sources. Raises `StateUnusable`."""
    if ports.tools is None:
        return None if own is None else own.absolute()
    examples = {
        "name": EXAMPLES,
        "kind": "openapi",
        "url": f"http://{HOST}:{ports.tools}/openapi.json",
        "effect": "read",
    }
    others = [] if own is None else yaml.safe_load(own.read_bytes())["sources"]
    # JSON is YAML. Variables in the operator's file are left for the orchestrator to expand.
    state.write_private(state.tool_sources, json.dumps({"sources": [examples, *others]}, indent=2, default=str))
    return state.tool_sources
