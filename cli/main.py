"""The command `alpha-umi`: run the system on this machine, ask it, look at what it did."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from cli.commands import evaluate, export, keys, lifecycle, models, questions, records, tools, train
from cli.reporting import ReportingGroup

app = typer.Typer(
    name="alpha-umi",
    cls=ReportingGroup,
    no_args_is_help=True,
    add_completion=False,
    # A traceback with local variables could show keys.
    pretty_exceptions_show_locals=False,
    help="Tool use by small open models: a planner, a caller and a summarizer behind one orchestrator.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(version("alpha-umi"))
        raise typer.Exit


@app.callback()
def _main(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.command()(lifecycle.up)
app.command()(lifecycle.down)
app.command()(lifecycle.demo)
app.command()(questions.ask)
app.command()(questions.tail)
app.command()(records.show)
app.command()(records.replay)
app.command()(export.export)
app.add_typer(tools.app, name="tools")
app.add_typer(models.app, name="models")
app.add_typer(keys.app, name="keys")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(train.app, name="train")

if __name__ == "__main__":
    app()
