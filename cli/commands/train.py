"""`train prepare` makes role examples of trajectories, `train VARIANT` trains on them, `train export` writes model
folders.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from typer.core import TyperGroup

from cli.commands.models import print_folders
from cli.errors import EXIT_INTERRUPTED, translate_training_errors
from cli.local.models import ModelFolder, located
from cli.local.signals import stop_requested
from cli.options import AsJson, messages, output
from cli.training_view import RunView, print_costs

if TYPE_CHECKING:
    from training.mixture import Mixture


class VariantGroup(TyperGroup):
    """A group in which an argument that is not a command is the name of a variant to train."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The named command, or `run`."""
        named = bool(args) and not args[0].startswith("-")
        known = named and self.get_command(ctx, args[0]) is not None
        return super().resolve_command(ctx, args if known or not named else ["run", *args])


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
        str | None,
        typer.Option(
            help="Folder or hub id of the backbone to train, for its tokenizer; by default the embedded one.",
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
                _embedded() if backbone is None else located(backbone, messages()),
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


Variant = Annotated[str, typer.Argument(help="Name of a variant, such as alpha-umi, or its YAML file.")]
ConfigName = Annotated[str, typer.Option("--config", help="Name of a config, or its YAML file.")]
Prepared = Annotated[Path, typer.Option("--data", help="Folder of prepared data (`alpha-umi train prepare`).")]
Output = Annotated[
    Path, typer.Option("--output", help="Folder of the run; an existing run is resumed.", file_okay=False)
]


def run(
    variant: Variant,
    data: Prepared,
    output_folder: Output,
    config: ConfigName = "smollm2-135m",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the order of examples and of new weights.")] = 0,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Bound the tokens of all stages together.", show_default=False)
    ] = None,
    stages: Annotated[str | None, typer.Option(help="Only these stages, comma separated.", show_default=False)] = None,
    reuse: Annotated[
        Path | None,
        typer.Option(
            help="Folder of another run: stages that it has trained in the same way are copied.",
            show_default=False,
            file_okay=False,
            exists=True,
        ),
    ] = None,
) -> None:
    """Train the stages of a variant in order. The same command resumes from the last checkpoint.

    Ctrl-C stops after the current step, with a checkpoint. Exits with 1 if the loss is not finite or the disk is full,
    2 if the arguments cannot be used, 130 if it was interrupted.
    """
    with translate_training_errors():
        from training.errors import Stopped
        from training.loop.processes import is_first
        from training.recipes.loading import load_config, load_variant
        from training.run import RunRequest, train

        chosen, numbers = load_variant(variant), load_config(config)
        only = tuple(name.strip() for name in stages.split(",") if name.strip()) if stages else ()
        with RunView(messages()) as view, stop_requested() as stop:
            request = RunRequest(
                variant=chosen,
                config=numbers,
                data=data,
                output=output_folder,
                seed=seed,
                max_tokens=max_tokens,
                stages=only,
                reuse=reuse,
                observer=view,
                stop=stop,
            )
            try:
                train(request)
            except Stopped as stopped:
                if is_first():
                    view.tell(f"{stopped.message}; {stopped.remedy}")
                raise typer.Exit(EXIT_INTERRUPTED) from stopped
        if is_first():
            print_costs(output(), output_folder)


def export(
    run: Annotated[Path, typer.Argument(help="The folder of a complete run.")],
    target: Annotated[Path, typer.Option("--output", help="Gets a folder for each role; none of them may exist.")],
    merged: Annotated[bool, typer.Option("--merged/--adapters", help="Full models instead of LoRA adapters.")] = False,
) -> None:
    """Write a model folder for every role that a run has trained: weights as safetensors, and a manifest.

    Writes all of them or none. Exits with 2 if the run is not complete, or does not match this version's templates or
    its backbone, 1 if the folder cannot be written.
    """
    with translate_training_errors():
        from training.export import export_run

        made = export_run(run, target, merged=merged)
    print_folders(output(), [ModelFolder(item.folder, item.manifest) for item in made])


app = typer.Typer(
    cls=VariantGroup,
    no_args_is_help=True,
    help="Train role models: `alpha-umi train VARIANT` is short for `alpha-umi train run VARIANT`.",
)
app.command()(run)
app.command()(export)
app.command()(prepare)
