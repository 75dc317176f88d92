"""`evaluate suites`: what there is to measure on."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.errors import translate_evaluation_errors
from cli.options import AsJson, messages, output
from cli.plain_text import plain_line

if TYPE_CHECKING:
    from recordings.suites.suite import ListedSuite


def suites(as_json: AsJson = False) -> None:
    """List the suites of the project: what they are, whose, and whether their data is at hand.

    Data is looked for in the folder that ALPHA_UMI_DATA names. No data is read.
    """
    with translate_evaluation_errors():
        from recordings.suites.definition import DATA_VARIABLE, data_folder
        from recordings.suites.suite import listed_suites

        folder = data_folder(os.environ)
        listed = listed_suites(folder)
    if as_json:
        typer.echo(json.dumps([suite.model_dump(mode="json") for suite in listed], indent=2))
        return
    _print(output(), listed)
    if not all(suite.at_hand for suite in listed):
        message = (
            f"put what is missing where it is looked for, or name another folder than {folder} with {DATA_VARIABLE}"
        )
        messages().print(Text(plain_line(message), style="yellow"), soft_wrap=True)


def _print(console: Console, listed: list[ListedSuite]) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("suite", no_wrap=True)
    table.add_column("what it is")
    table.add_column("instructions", justify="right", no_wrap=True)
    table.add_column("data", no_wrap=True)
    for suite in listed:
        at_hand = Text("at hand", style="green") if suite.at_hand else Text("missing", style="yellow")
        table.add_row(suite.name, suite.title, f"{suite.instructions:,}", at_hand)
    console.print(table)
    for suite in listed:
        _print_origin(console, suite)


def _print_origin(console: Console, suite: ListedSuite) -> None:
    """Whose it is, where it is looked for, and, as long as it is not there, what belongs there."""
    console.print(Text(f"\n{suite.name}: {suite.licence}"), soft_wrap=True)
    console.print(Text(f"  {plain_line(str(suite.data))}", style="dim"), soft_wrap=True)
    if not suite.at_hand:
        console.print(Text(f"  missing: {plain_line(suite.source)}", style="yellow"), soft_wrap=True)
