"""The role models of this machine: `models list`, `models verify`."""

from __future__ import annotations

from collections.abc import Sequence

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.errors import EXIT_FAILED
from cli.model_folders import ModelFolder, RunningModel, find_models, running_models, verify_models
from cli.options import StateDir, output, state_folder
from cli.plain_text import plain_line
from cli.reporting import ReportingGroup

app = typer.Typer(cls=ReportingGroup, no_args_is_help=True, help="The role models of this machine.")


@app.command("list")
def list_models(state_dir: StateDir = None) -> None:
    """List the models in the cache and those that ship, and the ones that the role services run."""
    console = output()
    _print_folders(console, find_models())
    run = state_folder(state_dir).read_run()
    if run is None:
        console.print("no role service was started by `alpha-umi up`", style="dim")
    else:
        _print_running(console, running_models(run))


@app.command()
def verify() -> None:
    """Compare every file of every model with the digest in its manifest. Exits with 1 when one differs."""
    console = output()
    folders = verify_models()
    _print_folders(console, folders)
    if any(folder.problem for folder in folders):
        raise typer.Exit(EXIT_FAILED)


def _print_folders(console: Console, folders: Sequence[ModelFolder]) -> None:
    if not folders:
        console.print("there is no model yet; `alpha-umi up` prepares the embedded one", style="dim")
    for folder in folders:
        line = Text(plain_line(str(folder.path)), style="bold")
        line.append(f"  {folder.size / 2**20:.0f} MiB", style="dim")
        console.print(line, soft_wrap=True)
        if folder.manifest is not None:
            made = folder.manifest
            about = f"{made.name} · {made.role} · template {made.template} · context {made.context:,}"
            console.print(Text(f"  {plain_line(about)}"), soft_wrap=True)
        if folder.problem is not None:
            console.print(Text(f"  {plain_line(folder.problem)}", style="red"), soft_wrap=True)


def _print_running(console: Console, running: Sequence[RunningModel]) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("service", "address", "model", "template", "context"):
        table.add_column(heading, overflow="fold")
    for item in running:
        table.add_row(Text(item.service.name), Text(item.service.url), *_cells(item))
    console.print(table)


def _cells(item: RunningModel) -> tuple[Text, Text, Text]:
    if item.model is None:
        return Text(plain_line(item.problem or "no model"), style="red"), Text(), Text()
    return Text(plain_line(item.model.id)), Text(plain_line(item.model.template)), Text(f"{item.model.max_model_len:,}")
