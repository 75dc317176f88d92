"""`train VARIANT`: train the stages of a variant, or resume the training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.errors import EXIT_INTERRUPTED, translate_training_errors
from cli.local.signals import stop_requested
from cli.options import messages, output
from cli.training_view import RunView, print_costs

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
        int | None,
        typer.Option(min=1, help="Bound the tokens of all stages together.", show_default=False),
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
