"""How numbers are formatted in a report, and the official command of a suite."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from evaluation.page.blocks import Paragraph
from evaluation.results import DifferenceReport, FigureReport

NO_FIGURE: Final = "–"


class Spread(Protocol):
    """What has an interval."""

    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


def number(value: float | None, *, signed: bool = False) -> str:
    """A share with three places, anything from 10 on without."""
    if value is None:
        return NO_FIGURE
    places = 3 if abs(value) < 10 else 0
    return f"{value:{'+' if signed else ''},.{places}f}"


def interval_text(figure: Spread, *, signed: bool = False) -> str:
    """The interval in brackets."""
    if figure.low is None or figure.high is None:
        return "(no interval)"
    return f"({number(figure.low, signed=signed)} to {number(figure.high, signed=signed)})"


def figure_text(figure: FigureReport) -> str:
    """A figure with its interval and n."""
    if figure.value is None:
        return NO_FIGURE
    return f"{number(figure.value)} {interval_text(figure)}, n {figure.n:,}"


def difference_text(item: DifferenceReport) -> str:
    """A difference with its interval, and what follows from it."""
    if item.difference is None:
        return NO_FIGURE
    return f"{number(item.difference, signed=True)} {interval_text(item, signed=True)} {item.verdict}"


def percent(value: float | None) -> str:
    """A share as the paper prints it."""
    return NO_FIGURE if value is None else f"{100 * value:.2f}"


def shade(count: int, total: int, shades: int = 4) -> int:
    """How dark a cell is: 0 for nothing, the darkest for all."""
    return 0 if not count or not total else max(1, round(shades * count / total))


@dataclass(frozen=True)
class SuiteCommand:
    """`alpha-umi evaluate NAME RUN`, and a sentence on what it tells."""

    name: str
    tells: str

    def line(self, run: str) -> str:
        """How it is given for a file."""
        return shlex.join(["alpha-umi", "evaluate", self.name, run])


_COMMANDS: Final[Mapping[str, SuiteCommand]] = {
    "bfcl": SuiteCommand(
        "bfcl",
        "has the leaderboard's own checker judge the calls, in an environment of its own, so its verdicts are not "
        "here. It takes every right value of a parameter; call match takes only the first, and so is lower",
    ),
    "seal-tools": SuiteCommand(
        "seal-tools", "prints the figures that Seal-Tools itself measures, as in its table here"
    ),
}


def suite_command(suite: str) -> SuiteCommand | None:
    """That of a suite, also where only parts of it were asked; None for one that has only the figures of all suites."""
    return _COMMANDS.get(suite.partition(":")[0])


def suite_command_lines(suite: str, run: str) -> tuple[str, ...]:
    """The command for a file, if its suite has one."""
    command = suite_command(suite)
    return () if command is None else (command.line(run),)


def suite_command_note(suite: str) -> Iterator[Paragraph]:
    """What the command of a suite tells, if it has one."""
    if command := suite_command(suite):
        yield Paragraph(f"`{command.line('RUN')}` {command.tells}.")
