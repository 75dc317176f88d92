"""Options that several commands share, and what follows from them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.console import Console

from cli.client import DEFAULT_URL, OrchestratorClient
from cli.errors import UsageProblem
from cli.local.state import ORCHESTRATOR, StateFolder, state_path

StateDir = Annotated[
    Path | None,
    typer.Option(
        "--state-dir",
        envvar="ALPHA_UMI_STATE",
        help="Folder of run file, logs and database; by default alpha-umi in the user's state folder.",
        show_default=False,
    ),
]
Url = Annotated[
    str | None,
    typer.Option(
        envvar="ALPHA_UMI_URL", help="Address of the orchestrator; by default the one that is up.", show_default=False
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        envvar="ALPHA_UMI_API_KEY", help="Key of the orchestrator, where it asks for one.", show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


def state_folder(option: Path | None) -> StateFolder:
    """The state folder; it may not be there yet. Raises `StateUnusable`."""
    return StateFolder(state_path(option))


def connect(url: str | None, api_key: str | None, state_dir: Path | None) -> OrchestratorClient:
    """A client of the orchestrator that is named, else of the one that is up, else of the usual address.

    Raises `UsageProblem` for something that is not an address.
    """
    return OrchestratorClient(orchestrator_address(url, state_dir), api_key=api_key)


def orchestrator_address(url: str | None, state_dir: Path | None) -> str:
    """The address that is named, else of the orchestrator that is up, else the usual one. Raises `UsageProblem`."""
    return checked_address(url or _running(state_dir) or DEFAULT_URL)


def checked_address(url: str, option: str = "--url") -> str:
    """The address, if it is one. Raises `UsageProblem`."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise UsageProblem(f"{option}: {error}", remedy="write it as http://HOST:PORT") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise UsageProblem(f"{option}: {url!r} is not an address", remedy="write it as http://HOST:PORT")
    return url


def own_key() -> str | None:
    """The key for an orchestrator that was started here: ours, or the first of those that it lets in."""
    first = os.environ.get("ALPHA_UMI_API_KEYS", "").partition(",")[0].strip()
    return os.environ.get("ALPHA_UMI_API_KEY") or first or None


def output() -> Console:
    """Standard output: results."""
    return Console(highlight=False)


def messages() -> Console:
    """Standard error: progress and errors."""
    return Console(stderr=True, highlight=False)


def _running(state_dir: Path | None) -> str | None:
    run = state_folder(state_dir).read_run()
    return None if run is None else run.url_of(ORCHESTRATOR)
