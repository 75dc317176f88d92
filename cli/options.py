"""Options that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from cli.client import Client
from cli.state import RunFile, state_folder

Url = Annotated[
    str | None,
    typer.Option("--url", envvar="ALPHA_UMI_URL", help="Orchestrator; what `up` started, else http://127.0.0.1:8000"),
]
ApiKey = Annotated[str | None, typer.Option("--api-key", envvar="ALPHA_UMI_API_KEY", help="Bearer key")]
StateDir = Annotated[Path | None, typer.Option("--state-dir", help="Where run file, logs and database are")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else")]


def run_file_of(state_dir: Path | None) -> RunFile:
    """The run file in the chosen state folder, or the user's."""
    return RunFile((state_dir or state_folder(os.environ)).absolute())


def client_of(url: str | None, api_key: str | None, state_dir: Path | None = None) -> Client:
    """A client of the orchestrator that was named, is running, or would be at the usual place."""
    running = {entry.name: entry.address for entry in run_file_of(state_dir).read()}
    return Client(url or running.get("orchestrator") or "http://127.0.0.1:8000", api_key)
