"""Training: `train prepare` makes role examples of trajectories, `train VARIANT` trains on them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cli.commands.train_export import export
from cli.commands.train_run import run
from cli.errors import translate_training_errors
from cli.options import AsJson, messages, output
from cli.reporting import ReportingGroup

if TYPE_CHECKING:
    from training.mixture import Mixture


class VariantGroup(ReportingGroup):
    """A group in which an argument that is not a command is the name of a variant to train."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The named command, or `run`."""
        named = bool(args) and not args[0].startswith("-")
        known = named and self.get_command(ctx, args[0]) is not None
        return super().resolve_command(ctx, args if known or not named else ["run", *args])


app = typer.Typer(
    cls=VariantGroup,
    no_args_is_help=True,
    help="Train role models: `alpha-umi train VARIANT` is short for `alpha-umi train run VARIANT`.",
)
app.command()(run)
app.command()(export)


@app.command()
def prepare(
    folder: Annotated[Path, typer.Option("--output", help="The folder to write; it must not exist.")],
    config: Annotated[
        str, typer.Option("--config", help="The mixture: a mixture of the project, or a file NAME.yaml.")
    ] = "rotbench",
    data: Annotated[
        Path | None,
        typer.Option(
            envvar="ALPHA_UMI_DATA",
            help="The folder of data; by default shared/data beside the checkout.",
            show_default=False,
        ),
    ] = None,
    backbone: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the backbone to train, for its tokenizer; by default the embedded one.",
            show_default=False,
        ),
    ] = None,
    context: Annotated[int | None, typer.Option(min=64, help="Context in tokens; by default the mixture's.")] = None,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Exclude broken entries, counted and named, instead of refusing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make role examples of trajectories: one data set for the backbone, one for each role.

    Instructions of suites are excluded. Exits with 2 if the mixture or the data cannot be used, 1 if the folder cannot
    be written; no partial folder remains.
    """
    with translate_training_errors():
        from cli.training_view import dataset_blocks
        from evaluation.page.terminal import print_blocks
        from recordings.suites.definition import data_folder
        from training.mixture import load_mixture
        from training.prepare import prepare as prepare_examples

        mixture = _with_context(load_mixture(config), context)
        with _progress() as progress:
            task = progress.add_task("trajectories", total=None)
            record = prepare_examples(
                mixture,
                data or data_folder(os.environ),
                backbone or _embedded(),
                folder,
                skip_broken=skip_broken,
                progress=lambda done, total: progress.update(task, completed=done, total=total),
            )
    if as_json:
        typer.echo(record.model_dump_json(indent=2))
    else:
        print_blocks(output(), dataset_blocks(record))
        output().print(
            f"\n{folder}: seed {record.seed}, {record.context} tokens, digest {record.digest}", soft_wrap=True
        )


def _with_context(mixture: Mixture, context: int | None) -> Mixture:
    return mixture if context is None else mixture.model_copy(update={"context": context})


def _embedded() -> Path:
    from alpha_umi.serving.weights import cache_folder, ensure_backbone

    return ensure_backbone(cache_folder(os.environ))


@contextmanager
def _progress() -> Iterator[Progress]:
    console = messages()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield progress
