"""The command `alpha-umi`; errors of all commands become a message on standard error and an exit code."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from alpha_umi.client.errors import ClientError, RequestRefused, Unavailable
from alpha_umi.contract.problems import Problem
from alpha_umi.plain_text import plain, plain_line
from cli.commands import evaluate, keys, lifecycle, mcp, models, questions, records, tools, train
from cli.errors import EXIT_INTERRUPTED, CommandError, exit_code_of
from cli.options import as_text, messages


class ReportingGroup(TyperGroup):
    """The root group, which reports the errors of all commands."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command. Errors become a message and an exit code."""
        try:
            return super().invoke(ctx)
        except (CommandError, ClientError) as error:
            report(error, messages())
            raise typer.Exit(exit_code_of(error)) from error
        except KeyboardInterrupt as error:
            messages().print(Text("interrupted", style="yellow"))
            raise typer.Exit(EXIT_INTERRUPTED) from error


def report(error: CommandError | ClientError, console: Console) -> None:
    """Print the error, the fields at fault, and the remedy."""
    problem = error.problem if isinstance(error, RequestRefused | Unavailable) else None
    if problem is not None:
        _report_problem(problem, console)
    else:
        console.print(Text("error: ", style="bold red") + as_text(error.message), soft_wrap=True)
    remedies = [] if problem is None else [item.remedy for item in problem.errors]
    if isinstance(error, CommandError) and error.log:
        console.print(as_text(error.log, "dim"), soft_wrap=True)
    if error.remedy and error.remedy not in remedies:
        console.print(Text("  → ", style="bold") + as_text(error.remedy), soft_wrap=True)


def _report_problem(problem: Problem, console: Console) -> None:
    console.print(Text("error: ", style="bold red") + as_text(problem.title), soft_wrap=True)
    listed = {text for item in problem.errors for text in (item.message, f"{item.field}: {item.message}")}
    if problem.detail not in listed:
        console.print(as_text(f"  {problem.detail}"), soft_wrap=True)
    for item in problem.errors:
        console.print(Text(f"  {plain_line(item.field)}: ", style="bold") + Text(plain(item.message)), soft_wrap=True)
        if item.remedy:
            console.print(Text("  → ", style="bold") + as_text(item.remedy), soft_wrap=True)
    if problem.request_id:
        console.print(Text(f"  request {plain_line(problem.request_id)}", style="dim"), soft_wrap=True)


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
app.command()(mcp.mcp)
app.command()(records.show)
app.command()(records.replay)
app.command()(records.export)
app.command()(records.prune)
app.add_typer(tools.app, name="tools")
app.add_typer(models.app, name="models")
app.add_typer(keys.app, name="keys")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(train.app, name="train")

if __name__ == "__main__":
    app()
