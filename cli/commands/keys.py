"""API keys of an orchestrator, hashed in a file: `keys create`, `keys list`."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from alpha_umi.web.key_file import (
    Grant,
    KeyFileUnusable,
    NewKey,
    create_key,
    new_key,
    read_key_file,
    scope_names,
)
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


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter("write the day as YYYY-MM-DD") from error


@app.command()
def create(
    name: Annotated[str, typer.Option(help="Its display name: letters, digits and ._@- only.")] = "",
    owner: Annotated[
        str, typer.Option(help="Owner of what it creates; keys of one owner share everything. Default: its id.")
    ] = "",
    scope: Annotated[
        list[str] | None,
        typer.Option(help="What it may do; repeat it for several. Default: use and tools.", show_default=False),
    ] = None,
    expires: Annotated[
        date | None, typer.Option(parser=_date, metavar="YYYY-MM-DD", help="The day (UTC) from which it is refused.")
    ] = None,
    file: KeyFile = None,
) -> None:
    """Create a key and print it once: only its hash is stored.

    Standard output holds the key and nothing else. The hash is appended to the file, or printed for you to add.
    """
    made = _created(file, name, _grant(owner, scope, expires))
    typer.echo(made.text)
    if file is None:
        messages().print(f"Add this line to the file that {VARIABLE} names:", style="dim")
        messages().print(Text(made.entry.line), soft_wrap=True)
    else:
        messages().print(Text(f"{file} holds its hash; remove line {made.entry.id} to revoke it", style="dim"))


@app.command("list")
def list_keys(file: KeyFile = None) -> None:
    """List the keys of the file with their owners, scopes and expiry."""
    if file is None:
        raise UsageProblem("no file of keys is named", remedy=f"name one with --file or {VARIABLE}")
    try:
        entries = read_key_file(file)
    except KeyFileUnusable as error:
        raise UsageProblem(str(error)) from error
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("id", "name", "owner", "scopes", "expires"):
        table.add_column(column, overflow="fold")
    for entry in entries:
        expires = "" if entry.grant.expires is None else entry.grant.expires.isoformat()
        table.add_row(
            entry.id,
            Text(entry.name),
            Text(entry.owner),
            ",".join(scope_names(entry.grant.scopes)),
            f"{expires} (expired)" if entry.expired else expires,
        )
    output().print(table if entries else "the file has no key; `alpha-umi keys create` adds one")


def _grant(owner: str, scopes: list[str] | None, expires: date | None) -> Grant:
    try:
        return Grant.parse(owner, scopes, expires)
    except ValueError as error:
        raise UsageProblem(f"--{error}") from error


def _created(file: Path | None, name: str, grant: Grant) -> NewKey:
    try:
        return new_key(name, grant) if file is None else create_key(file, name, grant)
    except ValueError as error:
        raise UsageProblem(f"--name: {error}") from error
    except KeyFileUnusable as error:
        raise UsageProblem(str(error)) from error
