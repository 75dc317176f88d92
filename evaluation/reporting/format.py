"""Format numbers for a report, and the official command of a suite."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from evaluation.page.blocks import Paragraph
from evaluation.results import DifferenceReport, FigureReport

NO_FIGURE: Final = "–"


class Spread(Protocol):
    """A value with an interval."""

    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


def number(value: float | None, *, signed: bool = False) -> str:
    """Three decimal places below 10, none from 10 on."""
    if value is None:
        return NO_FIGURE
    places = 3 if abs(value) < 10 else 0
    return f"{value:{'+' if signed else ''},.{places}f}"


def interval_text(figure: Spread, *, signed: bool = False) -> str:
    """The interval in parentheses."""
    if figure.low is None or figure.high is None:
        return "(no interval)"
    return f"({number(figure.low, signed=signed)} to {number(figure.high, signed=signed)})"


def figure_text(figure: FigureReport) -> str:
    """A figure with its interval and n."""
    if figure.value is None:
        return NO_FIGURE
    return f"{number(figure.value)} {interval_text(figure)}, n {figure.n:,}"


def difference_text(item: DifferenceReport) -> str:
    """A difference with its interval and its verdict."""
    if item.difference is None:
        return NO_FIGURE
    return f"{number(item.difference, signed=True)} {interval_text(item, signed=True)} {item.verdict}"


def percent(value: float | None) -> str:
    """A share in percent, with two decimal places as in the paper."""
    return NO_FIGURE if value is None else f"{100 * value:.2f}"


def shade(count: int, total: int, shades: int = 4) -> int:
    """The shade of a cell, from 0 (no count) to `shades` (all)."""
    return 0 if not count or not total else max(1, round(shades * count / total))


@dataclass(frozen=True)
class SuiteCommand:
    """The command `alpha-umi evaluate NAME RUN`, and a description of its output."""

    name: str
    tells: str

    def line(self, run: str) -> str:
        """The command line for a run file."""
        return shlex.join(["alpha-umi", "evaluate", self.name, run])


_COMMANDS: Final[Mapping[str, SuiteCommand]] = {
    "bfcl": SuiteCommand(
        "bfcl",
        "checks the calls with the leaderboard's own checker, in a separate environment, so its verdicts are not "
        "here. It accepts every right value of a parameter; call match accepts only the first, so it is lower",
    ),
    "seal-tools": SuiteCommand("seal-tools", "prints Seal-Tools' own figures, as in its table here"),
}


def suite_command(suite: str) -> SuiteCommand | None:
    """The official command of a suite or of its parts; None if it has none."""
    return _COMMANDS.get(suite.partition(":")[0])


def suite_command_lines(suite: str, run: str) -> tuple[str, ...]:
    """The command line for a run file, if its suite has one."""
    command = suite_command(suite)
    return () if command is None else (command.line(run),)


def suite_command_note(suite: str) -> Iterator[Paragraph]:
    """A note on the suite's command, if it has one."""
    if command := suite_command(suite):
        yield Paragraph(f"`{command.line('RUN')}` {command.tells}.")
