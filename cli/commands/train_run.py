"""`train VARIANT`: carry a variant's stages out, or go on with them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.errors import EXIT_INTERRUPTED, translate_training_errors
from cli.interrupts import stop_wanted
from cli.options import messages, output
from cli.training_view import RunView, print_costs

Variant = Annotated[str, typer.Argument(help="Name of a variant, such as alpha-umi, or its YAML file.")]
ConfigName = Annotated[str, typer.Option("--config", help="Name of a config, or its YAML file.")]
Prepared = Annotated[Path, typer.Option("--data", help="Folder of prepared data (`alpha-umi train prepare`).")]
Output = Annotated[
    Path, typer.Option("--output", help="Folder of the run; one that is there is gone on with.", file_okay=False)
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
    take_over: Annotated[
        Path | None,
        typer.Option(
            help="Folder of another run: what it has trained in the same way is not trained again.",
            show_default=False,
            file_okay=False,
            exists=True,
        ),
    ] = None,
) -> None:
    """Train the stages of a variant one after another; run again, it goes on from the last checkpoint.

    Ctrl-C ends it after the step at hand, with a checkpoint. Exits with 1 when the loss is no number any more or the
    disk is full, 2 when the run cannot be as it was given, 130 when it was interrupted.
    """
    with translate_training_errors():
        from training.errors import Stopped
        from training.loop.processes import is_first
        from training.recipes.loading import load_config, load_variant
        from training.run import RunRequest, train

        chosen, numbers = load_variant(variant), load_config(config)
        only = tuple(name.strip() for name in stages.split(",") if name.strip()) if stages else ()
        with RunView(messages()) as view, stop_wanted() as stop:
            request = RunRequest(
                variant=chosen,
                config=numbers,
                data=data,
                output=output_folder,
                seed=seed,
                max_tokens=max_tokens,
                stages=only,
                take_over=take_over,
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
