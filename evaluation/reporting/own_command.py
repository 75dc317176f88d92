"""The commands that print what a suite is measured by where it comes from, beside the figures of every suite."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from evaluation.page.blocks import Paragraph


@dataclass(frozen=True)
class OwnCommand:
    """`alpha-umi evaluate NAME RUN`, and a sentence on what it tells."""

    name: str
    tells: str

    def line(self, run: str) -> str:
        """How it is given for a file."""
        return shlex.join(["alpha-umi", "evaluate", self.name, run])


OF_STEPS: Final[Mapping[str, OwnCommand]] = {
    "bfcl": OwnCommand(
        "bfcl",
        "has the leaderboard's own checker judge the calls, in an environment of its own, so its verdicts are not "
        "here. It takes every right value of a parameter; call match takes only the first, and so is lower",
    ),
    "seal-tools": OwnCommand("seal-tools", "prints the figures that Seal-Tools itself measures, as in its table here"),
}


def own_command(suite: str, commands: Mapping[str, OwnCommand]) -> OwnCommand | None:
    """That of a suite, also where only parts of it were asked; None for one that has only the figures of all suites."""
    return commands.get(suite.partition(":")[0])


def own_lines(suite: str, run: str, commands: Mapping[str, OwnCommand]) -> tuple[str, ...]:
    """The command for a file, if its suite has one."""
    found = own_command(suite, commands)
    return () if found is None else (found.line(run),)


def own_remark(suite: str, commands: Mapping[str, OwnCommand]) -> Iterator[Paragraph]:
    """What the command of a suite tells, if it has one."""
    if found := own_command(suite, commands):
        yield Paragraph(f"`{found.line('RUN')}` {found.tells}.")
