"""Options that several commands share: their types, checks, and the objects that they name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import httpx
import typer
from rich.console import Console
from rich.text import Text

from alpha_umi.client.orchestrator import DEFAULT_URL, OrchestratorClient
from alpha_umi.client.sync import SyncOrchestratorClient
from alpha_umi.plain_text import plain
from cli.errors import UsageProblem
from cli.local.state import ORCHESTRATOR, StateFolder, state_path
from evaluation.files import Format

if TYPE_CHECKING:
    pass

KEY_MAX_CHARACTERS = 4096

StateDir = Annotated[
    Path | None,
    typer.Option(
        "--state-dir",
        envvar="ALPHA_UMI_STATE",
        help="Folder of run file, logs and database. Default: alpha-umi in the user's state folder.",
        show_default=False,
    ),
]
Url = Annotated[
    str | None,
    typer.Option(
        envvar="ALPHA_UMI_URL", help="Address of the orchestrator. Default: the running one.", show_default=False
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        envvar="ALPHA_UMI_API_KEY", help="API key of the orchestrator, if it requires one.", show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]

# Evaluation
FileFormat = Annotated[Format, typer.Option("--format", help="The format of the predictions' files.")]
SuiteName = Annotated[str, typer.Option("--suite", help="Name of a suite, or its file; a colon precedes parts of it.")]
RunFile = Annotated[
    Path, typer.Option("--output", help="The file of the run; an existing one is resumed.", dir_okay=False)
]
Resamples = Annotated[int, typer.Option(min=100, max=100_000, help="Resamples of the bootstrap.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the bootstrap.")]
ReportFile = Annotated[
    Path | None, typer.Option("--report", help="Write the full report to this file, as JSON.", dir_okay=False)
]
Report = Annotated[
    Path | None, typer.Option("--output", help="Write the complete report to this file, as JSON.", dir_okay=False)
]


def predictions(what: str) -> typer.models.ArgumentInfo:
    """An argument that names a file of predictions."""
    info: typer.models.ArgumentInfo = typer.Argument(help=f"{what}: the file of a run, or in the published format.")
    return info


def state_folder(option: Path | None) -> StateFolder:
    """The state folder; it may not exist yet. Raises `StateUnusable`."""
    return StateFolder(state_path(option))


def connect(url: str | None, api_key: str | None, state_dir: Path | None) -> SyncOrchestratorClient:
    """A client of the orchestrator at `url`, else of the running one, else of the default address.

    Raises `UsageProblem` for an invalid address.
    """
    return SyncOrchestratorClient(OrchestratorClient(orchestrator_address(url, state_dir), api_key=api_key))


def orchestrator_address(url: str | None, state_dir: Path | None) -> str:
    """`url`, else the address of the running orchestrator, else the default. Raises `UsageProblem`."""
    return checked_address(url or _running(state_dir) or DEFAULT_URL)


def checked_address(url: str, option: str = "--url") -> str:
    """The address, validated. Raises `UsageProblem`."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise UsageProblem(f"{option}: {error}", remedy="write it as http://HOST:PORT") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise UsageProblem(f"{option}: {url!r} is not an address", remedy="write it as http://HOST:PORT")
    return url


def own_key() -> str | None:
    """The API key for an orchestrator of this machine: ALPHA_UMI_API_KEY, else the first of ALPHA_UMI_API_KEYS."""
    first = os.environ.get("ALPHA_UMI_API_KEYS", "").partition(",")[0].strip()
    return os.environ.get("ALPHA_UMI_API_KEY") or first or None


def output() -> Console:
    """Standard output: results."""
    return Console(highlight=False)


def messages() -> Console:
    """Standard error: progress and errors."""
    return Console(stderr=True, highlight=False)


def as_text(text: str, style: str = "") -> Text:
    """Untrusted text for rich: without control characters, and with its markup as it stands."""
    return Text(plain(text), style=style)


def _running(state_dir: Path | None) -> str | None:
    run = state_folder(state_dir).read_run()
    return None if run is None else run.url_of(ORCHESTRATOR)


def read_key(file: Path | None, option: str, variable: str) -> str:
    """The key in a file, else that of the environment, else an empty one. Command-line arguments are visible to others.

    Raises `UsageProblem` for an unreadable file or an invalid key.
    """
    if file is None:
        return _checked_key(os.environ.get(variable, "").strip(), variable)
    remedy = "write only the key into it"
    try:
        key = file.read_text(encoding="ascii").strip()
    except OSError as error:
        raise UsageProblem(f"{option}: {file} cannot be read: {error.strerror}", remedy="name a file") from error
    except UnicodeDecodeError as error:
        raise UsageProblem(f"{option}: {file} has no key", remedy=remedy) from error
    if not key:
        raise UsageProblem(f"{option}: {file} is empty", remedy=remedy)
    return _checked_key(key, option)


def check_distinct_files(inputs: Iterable[Path], outputs: Mapping[str, Path | None]) -> None:
    """Raises `UsageProblem` for an option (its name and file) whose file is an input, or another option's."""
    taken = {path: f"{path} is an input of the command" for path in inputs}
    for option, path in outputs.items():
        if path is None:
            continue
        for other, why in taken.items():
            if _is_same_file(path, other):
                raise UsageProblem(f"{option}: {why}", remedy="name another file")
        taken[path] = f"{path} is also the file of {option}"


def _checked_key(key: str, where: str) -> str:
    """The key, if it fits into a header. The error does not contain it."""
    if not key.isascii() or not key.isprintable() or " " in key or len(key) > KEY_MAX_CHARACTERS:
        raise UsageProblem(
            f"{where}: the key is invalid", remedy="give one line of printable characters without spaces"
        )
    return key


def _is_same_file(one: Path, other: Path) -> bool:
    """Whether both paths are one file, also through links, and also if it does not exist yet."""
    try:
        return one.samefile(other)
    except OSError:
        return os.path.realpath(one) == os.path.realpath(other)
