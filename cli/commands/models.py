"""The role models of this machine: `models list`, `models verify`, `models convert`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from alpha_umi.plain_text import plain_line
from alpha_umi.roles.template import UnknownTemplate
from alpha_umi.roles.turns import Role
from alpha_umi.serving.manifest import ManifestError
from cli.errors import CommandError, UsageProblem
from cli.local.models import ModelFolder, RunningModel, find_models, located, running_models, verify_models
from cli.options import StateDir, messages, output, state_folder

app = typer.Typer(no_args_is_help=True, help="The role models of this machine.")


Folder = Annotated[
    Path | None,
    typer.Argument(help="List this folder instead of the cache and the shipped models.", show_default=False),
]


@app.command("list")
def list_models(folder: Folder = None, state_dir: StateDir = None) -> None:
    """List the models in the cache, the shipped ones, and those that the role services run."""
    console = output()
    print_folders(console, find_models(folder))
    if folder is not None:
        return
    run = state_folder(state_dir).read_run()
    if run is None:
        console.print("no role service was started by `alpha-umi up`", style="dim")
    else:
        _print_running(console, running_models(run))


@app.command()
def verify(folder: Folder = None) -> None:
    """Compare every file of every model with the digest in its manifest.

    An instruct model without a manifest is checked as `up --model` does. Exits with 1 if a model cannot be served, 2 if
    the folder has no model.
    """
    console = output()
    folders = verify_models(folder)
    print_folders(console, folders)
    invalid = sum(folder.problem is not None for folder in folders)
    if invalid:
        raise CommandError(f"{invalid} of {len(folders)} models cannot be served as they are")
    if any(folder.manifest is not None for folder in folders):
        console.print("every file matches its digest", style="dim")


@app.command()
def convert(
    source: Annotated[str, typer.Argument(help="Folder of the downloaded checkpoint, or a hub id: org/name@revision.")],
    target: Annotated[Path, typer.Argument(help="The folder to write; it must not exist.")],
    role: Annotated[Role, typer.Option(help="What the model was trained to do.")],
    template: Annotated[str, typer.Option(help="The prompt template that it was trained with.")] = "toolbench",
    name: Annotated[str | None, typer.Option(help="Its name; by default that of its folder.")] = None,
    base: Annotated[str | None, typer.Option(help="The backbone that it was trained from.")] = None,
    context: Annotated[
        int | None, typer.Option(min=256, help="Context in tokens; by default that of its configuration.")
    ] = None,
    origin: Annotated[str | None, typer.Option(help="Its origin and licence, for the manifest.")] = None,
    canary_prompt: Annotated[
        str | None, typer.Option(help="A prompt with a certain continuation; by default one of its role.")
    ] = None,
    canary_expected: Annotated[
        str | None, typer.Option(help="The expected continuation; by default the model generates it.")
    ] = None,
) -> None:
    """Turn a published checkpoint (PyTorch or safetensors) into a model folder, without running its code.

    Of a hub only safetensors are fetched.

    Exits with 2 if the folders or options do not fit, 1 if the checkpoint cannot be used.
    """
    from alpha_umi.serving.weights.errors import TargetUnusable
    from alpha_umi.serving.weights.hub import hub_reference
    from alpha_umi.serving.weights.progress import progress_bar
    from alpha_umi.serving.weights.published import ConversionOptions, convert_checkpoint

    if canary_expected is not None and canary_prompt is None:
        raise UsageProblem("--canary-expected needs --canary-prompt", remedy="name the prompt of that continuation")
    checkpoint = located(source, messages())
    fetched = hub_reference(checkpoint)
    usual = checkpoint.resolve().name if fetched is None else fetched.partition("@")[0].rpartition("/")[2]
    options = ConversionOptions(
        name=name or usual,
        role=role,
        template=template,
        source=origin or f"converted from {fetched or usual}",
        base=base,
        context=context,
        canary_prompt=canary_prompt,
        canary_expected=canary_expected,
    )
    try:
        with progress_bar(messages()) as progress:
            manifest = convert_checkpoint(checkpoint, target, options, progress=progress)
    except (UnknownTemplate, TargetUnusable) as error:
        raise UsageProblem(str(error)) from error
    except ManifestError as error:
        raise CommandError(str(error)) from error
    print_folders(output(), [ModelFolder(target, manifest)])
    output().print(Text(f"  its canary: {plain_line(repr(manifest.canary.expected))}"), soft_wrap=True)


def print_folders(console: Console, folders: Sequence[ModelFolder]) -> None:
    """Print path, size, manifest and problem of each model folder."""
    if not folders:
        console.print("there is no model yet; `alpha-umi up` prepares the embedded one", style="dim")
    for folder in folders:
        line = Text(plain_line(str(folder.path)), style="bold")
        line.append(f"  {folder.size / 2**20:.0f} MiB", style="dim")
        console.print(line, soft_wrap=True)
        if folder.manifest is not None:
            manifest = folder.manifest
            about = f"{manifest.name} · {manifest.role} · template {manifest.template} · context {manifest.context:,}"
            if manifest.trained_on is not None:
                about += f" · trained on {len(manifest.trained_on):,} instructions"
            console.print(Text(f"  {plain_line(about)}"), soft_wrap=True)
        if folder.lacks is not None:
            console.print(Text(f"  {plain_line(folder.lacks)}", style="yellow"), soft_wrap=True)
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
