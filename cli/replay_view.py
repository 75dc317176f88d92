"""The states of a replayed trajectory as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from alpha_umi.contract.retelling import Move
from alpha_umi.trajectory import State, branch, effect_of, pack
from cli.plain_text import as_text, plain_line


def print_moves(console: Console, made: Sequence[Move]) -> None:
    """Each event, the phase that it led to and what the machine wanted then; the outcome at the end."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("", justify="right")
    for heading in ("event", "phase", "wants"):
        table.add_column(heading, no_wrap=True)
    table.add_column("steps", justify="right")
    searches = bool(made) and made[-1].state.strategy == "dfsdt"
    if searches:
        table.add_column("branch", no_wrap=True)
    for number, move in enumerate(made, start=1):
        kind, _ = pack(move.event)
        effect = effect_of(move.state)
        table.add_row(
            str(number),
            Text(kind),
            Text(move.state.phase, style="cyan"),
            Text("" if effect is None else effect.key),
            str(len(move.state.steps)),
            *([_branch(move.state)] if searches else []),
        )
    console.print(table)
    if made:
        _print_outcome(console, made[-1])


def _branch(state: State) -> Text:
    return Text(" › ".join(str(step.index + 1) for step in branch(state)))


def _print_outcome(console: Console, last: Move) -> None:
    console.print(Text("status  ", style="dim") + Text(last.state.status, style="bold"))
    if last.state.error is not None:
        why = f"{last.state.error.code}: {last.state.error.detail}"
        console.print(Text("because ", style="dim") + Text(plain_line(why)), soft_wrap=True)
    if last.state.answer is not None:
        console.print(Text("answer  ", style="dim") + as_text(last.state.answer), soft_wrap=True)
