"""API keys of an orchestrator, hashed in a file: `keys create`, `keys list`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from alpha_umi.web.key_file import KeyFileUnusable, NewKey, create_key, new_key, read_key_file
from cli.errors import UsageProblem
from cli.options import messages, output

VARIABLE = "ALPHA_UMI_API_KEYS_FILE"

app = typer.Typer(no_args_is_help=True, help="API keys, stored as hashes in a file.")

KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--file", envvar=VARIABLE, dir_okay=False, help="The file that the orchestrator reads.", show_default=False
    ),
]


@app.command()
def create(
    name: Annotated[str, typer.Option(help="Name of its owner: letters, digits and ._@- only.")] = "",
    file: KeyFile = None,
) -> None:
    """Create a key and print it once: only its hash is stored.

    Standard output holds the key and nothing else. The hash is appended to the file, or printed for you to add.
    """
    made = _created(file, name)
    typer.echo(made.text)
    if file is None:
        messages().print(f"Add this line to the file that {VARIABLE} names:", style="dim")
        messages().print(Text(made.entry.line), soft_wrap=True)
    else:
        messages().print(Text(f"{file} holds its hash; remove line {made.entry.id} to revoke it", style="dim"))


@app.command("list")
def list_keys(file: KeyFile = None) -> None:
    """List the keys of the file by id and name."""
    if file is None:
        raise UsageProblem("no file of keys is named", remedy=f"name one with --file or {VARIABLE}")
    try:
        entries = read_key_file(file)
    except KeyFileUnusable as error:
        raise UsageProblem(str(error)) from error
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("id")
    table.add_column("name", overflow="fold")
    for entry in entries:
        table.add_row(entry.id, Text(entry.name))
    output().print(table if entries else "the file has no key; `alpha-umi keys create` adds one")


def _created(file: Path | None, name: str) -> NewKey:
    try:
        return new_key(name) if file is None else create_key(file, name)
    except ValueError as error:
        raise UsageProblem(f"--name: {error}") from error
    except KeyFileUnusable as error:
        raise UsageProblem(str(error)) from error
