"""The rows of the table: what is checked, what was measured, and whether the goal was reached."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

Verdict = bool | None
BEGIN, END = "<!-- table -->", "<!-- end of the table -->"


@dataclass(frozen=True)
class Form:
    """How much is measured. `patience` multiplies the goals that are times: the tests run on busy machines.

    There they allow half of a memory goal more, too: what lies in buffers depends on who waits for whom.
    """

    short: bool = False
    patience: float = 1.0

    def pick(self, full: float, short: float) -> float:
        """A duration or a size of this form."""
        return short if self.short else full

    def count(self, full: int, short: int) -> int:
        """A number of things of this form."""
        return short if self.short else full

    def within(self, measured: float, goal: float) -> bool:
        """Whether a measured time reaches its goal."""
        return measured <= goal * self.patience

    def fits(self, grown_mb: float, goal_mb: float) -> bool:
        """Whether measured memory reaches its goal."""
        return grown_mb <= goal_mb * (1 if self.patience == 1 else 1.5)


@dataclass(frozen=True)
class Outcome:
    """What was measured. `passed` is None where this machine cannot produce the fault."""

    figure: str
    passed: Verdict


@dataclass(frozen=True)
class Check:
    """One row. `short`: it is part of the short form. `targets`: rows of the reliability targets that it measures."""

    name: str
    fault: str
    goal: str
    run: Callable[[Form], Awaitable[Outcome]]
    short: bool = True
    targets: str = ""
    # It mostly waits, and its figures bear others beside it.
    idle: bool = False
    # However slow the machine is.
    limit_s: float = 400.0


@dataclass(frozen=True)
class Line:
    """A check that was carried out."""

    check: Check
    outcome: Outcome
    seconds: float


class CheckInvalid(RuntimeError):
    """What a check rests on did not hold, so that it says nothing."""


def require(condition: bool, reason: str) -> None:
    """Raises `CheckInvalid`."""
    if not condition:
        raise CheckInvalid(reason)


async def carry_out(check: Check, form: Form) -> Line:
    """Run one check. A check that raises has failed: its figure is the error."""
    started = time.monotonic()
    try:
        async with asyncio.timeout(check.limit_s):
            outcome = await check.run(form)
    except Exception as error:
        outcome = Outcome(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}", False)
    return Line(check, outcome, time.monotonic() - started)


def chosen(checks: Iterable[Check], *, names: Sequence[str], form: Form) -> list[Check]:
    """The checks of this form, or those named. Raises `ValueError` for a name that no check has."""
    every = {check.name: check for check in checks}
    if unknown := [name for name in names if name not in every]:
        raise ValueError(f"no check is named {', '.join(unknown)}: see --list")
    if names:
        return [every[name] for name in names]
    return [check for check in every.values() if check.short or not form.short]


def verdict(passed: Verdict) -> str:
    """The last column."""
    return "not run" if passed is None else "pass" if passed else "FAIL"


def show(lines: Sequence[Line], title: str, *, seconds: float) -> None:
    """Print the table, the rows' number and the seconds that all took."""
    table = Table("check", "fault", "figure", "goal", "", "s", title=title, title_justify="left")
    for line in lines:
        texts = line.check.name, line.check.fault, line.outcome.figure, line.check.goal, verdict(line.outcome.passed)
        table.add_row(*map(Text, texts), f"{line.seconds:.0f}")
    console = Console(width=190 if not Console().is_terminal else None)
    console.print(table)
    failed = [line.check.name for line in lines if line.outcome.passed is False]
    console.print(f"{len(lines)} checks in {seconds:.0f} s; failed: {', '.join(failed) or 'none'}")


def markdown(lines: Sequence[Line]) -> str:
    """The same table for a document."""
    rows = [
        f"| {cell(line.check.fault)} | {cell(line.outcome.figure)} | {cell(line.check.goal)} "
        f"| {verdict(line.outcome.passed)} | `{line.check.name}` |"
        for line in lines
    ]
    return "\n".join(["| fault | figure | goal | | check |", "| --- | --- | --- | --- | --- |", *rows]) + "\n"


def in_document(document: str, table: str) -> str:
    """The document with this table in place of its own. Raises `ValueError` for one without the marks."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"the document has no table between {BEGIN} and {END}")
    return f"{before}{begin}\n{table}{end}{after}"


def cell(text: str) -> str:
    """A text without what divides cells."""
    return text.replace("|", "\\|")
