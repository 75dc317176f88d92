"""The states of a replayed trajectory as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from alpha_umi.trajectory import State, Transition, branch, effect_key, effect_of
from cli.plain_text import as_text, plain_line


def print_transitions(console: Console, made: Sequence[Transition]) -> None:
    """Each event, the phase that follows and the effect that the machine wants there; the outcome at the end."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("", justify="right")
    for heading in ("event", "phase", "wants"):
        table.add_column(heading, no_wrap=True)
    table.add_column("steps", justify="right")
    searches = bool(made) and made[-1].after.strategy == "dfsdt"
    if searches:
        table.add_column("branch", no_wrap=True)
    for number, transition in enumerate(made, start=1):
        state = transition.after
        effect = effect_of(state)
        table.add_row(
            str(number),
            Text(transition.event.type),
            Text(state.phase, style="cyan"),
            Text("" if effect is None else effect_key(effect)),
            str(len(state.steps)),
            *([_branch(state)] if searches else []),
        )
    console.print(table)
    if made:
        _print_outcome(console, made[-1].after)


def _branch(state: State) -> Text:
    return Text(" › ".join(str(step.index + 1) for step in branch(state)))


def _print_outcome(console: Console, last: State) -> None:
    console.print(Text("status  ", style="dim") + Text(last.status, style="bold"))
    if last.error is not None:
        why = f"{last.error.code}: {last.error.detail}"
        console.print(Text("because ", style="dim") + Text(plain_line(why)), soft_wrap=True)
    if last.answer is not None:
        console.print(Text("answer  ", style="dim") + as_text(last.answer), soft_wrap=True)
