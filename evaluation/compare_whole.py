"""Compare two files of whole trajectories, question by question: each difference with a 95 % interval.

A question that one of the files has no trajectory for counts as neither completed nor right there; of what it would
have cost, or done on the way, nothing can be said, so these differences stay open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from evaluation.compare import NAMELESS, Comparison
from evaluation.errors import CasesDiffer, EmptySuite, some
from evaluation.statistics.bootstrap import RESAMPLES, SEED
from evaluation.statistics.paired import paired
from evaluation.whole import SHARES, WANTED, Measured, columns, figure_names
from evaluation.whole_report import title_of
from evaluation.whole_run import AskedRecord, WholeRun

REMEDY = "compare two files that were asked from the same suite, with the same --limit"
# What tells whether a release got worse. The others are what it costs, which may be wanted.
OUTCOMES: Final = ("completed", "success", "right", "gave_up", "repeated_calls", "tool_errors")


@dataclass(frozen=True)
class WholeMeasure:
    """A figure of whole trajectories. Fewer is better of everything that is not wished for."""

    name: str

    @property
    def title(self) -> str:
        """What tables call it."""
        role, dot, _ = self.name.partition(".")
        return f"{role}: {title_of(self.name)}" if dot else title_of(self.name)

    @property
    def better(self) -> Literal["higher", "lower"]:
        """Which way is better."""
        return "higher" if self.name in WANTED else "lower"

    @property
    def is_share(self) -> bool:
        """Whether it is a part of all trajectories."""
        return self.name in SHARES


def compare_whole(first: WholeRun, second: WholeRun, *, resamples: int = RESAMPLES, seed: int = SEED) -> Comparison:
    """Compare trajectories of the same questions, in any order. Raises `CasesDiffer`, `EmptySuite`."""
    questions = _questions(first, second)
    one, other = _rows(first, questions), _rows(second, questions)
    missing = _missing(one, questions), _missing(other, questions)
    values = columns(one), columns(other)
    names = [name for name in figure_names() if any(value is not None for each in values for value in each[name])]
    differences = paired(
        list(map(WholeMeasure, names)),
        questions,
        [values[0][name] for name in names],
        [values[1][name] for name in names],
        hidden=[any(missing) and name not in WANTED for name in names],
        resamples=resamples,
        seed=seed,
    )
    return Comparison(differences, None, len(questions), *missing, resamples, seed)


def _questions(first: WholeRun, second: WholeRun) -> list[str]:
    """The questions of both files, those included that neither has a trajectory for."""
    for what in ("suite", "trajectories", "compared"):
        one, other = getattr(first.about, what), getattr(second.about, what)
        if one != other:
            raise CasesDiffer(f"the files differ in `{what}`: {one!r} and {other!r}", remedy=REMEDY)
    firsts = {record.recorded: record for record in first.asked}
    seconds = {record.recorded: record for record in second.asked}
    if not firsts or not seconds:
        raise EmptySuite("one of the files has no trajectory", remedy="ask first")
    known = list(dict.fromkeys([*firsts, *seconds]))
    count = first.about.trajectories
    if len(known) > count:
        others = [name for name in known if (name in firsts) != (name in seconds)]
        raise CasesDiffer(f"the files are of other samples of the suite: {some(others)}", remedy=REMEDY)
    for name in firsts.keys() & seconds.keys():
        if (differs := _differs(firsts[name], seconds[name])) is not None:
            raise CasesDiffer(f"the files have another {differs} for the trajectory {name!r}", remedy=REMEDY)
    return [*known, *(f"{NAMELESS} ({number})" for number in range(1, count - len(known) + 1))]


def _differs(one: AskedRecord, other: AskedRecord) -> str | None:
    """What is not the same about a question. Its tools may be named in another order."""
    if one.trajectory.instruction != other.trajectory.instruction:
        return "instruction"
    if sorted(one.trajectory.tools) != sorted(other.trajectory.tools):
        return "offer of tools"
    return "expected answer" if one.expected != other.expected else None


def _rows(run: WholeRun, questions: Sequence[str]) -> list[Measured | None]:
    recorded = [record.recorded for record in run.asked]
    measured = dict(zip(recorded, run.measured(), strict=True))
    return [measured.get(name) for name in questions]


def _missing(rows: Sequence[Measured | None], questions: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name, row in zip(questions, rows, strict=True) if row is None)
