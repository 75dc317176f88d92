"""Verdicts of judges on trajectory runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final

from evaluation.judge.verdicts import Basis
from evaluation.page.blocks import Block, Cell, Paragraph, Row, Section, Table
from evaluation.reporting.format import figure_text, number
from evaluation.reporting.inputs import RunVerdicts, TrajectoriesRun
from evaluation.reporting.trajectory_examples import verdict_anchor


def verdicts_section(runs: Sequence[TrajectoriesRun]) -> Section:
    """The bases of the verdicts, the figures of each judgement, label counts, and the agreement of repeats."""
    judged = [(run, place, each) for run in runs for place, each in enumerate(run.verdicts, start=1)]
    if not judged:
        text = "No verdicts were given: `alpha-umi evaluate judge` writes them, and --verdicts FILE shows them."
        return Section("Verdicts of a judge", [Paragraph(text)], "verdicts")
    blocks: list[Block] = [
        Paragraph(
            "Verdicts of a language model on trajectories, with its texts. Unparseable verdicts, and those whose "
            "question is too long for the judge, are in no figure. A judge with another name than the paper's is "
            "another judge."
        ),
        Table("Verdicts: counts by basis", _COUNTS, [_counts(*each) for each in judged], (0, 1)),
        *_table("Verdicts: figures, each with its 95 % interval and n", _FIGURES, _figures, judged, (0, 1, 2)),
        *_table("Verdicts: counts of each label", _LABELS, _label_counts, judged, (0, 1, 2, 3)),
        *_table("Verdicts: agreement of repeats", _AGREEMENT, _agreement, judged, (0, 1, 2)),
    ]
    return Section("Verdicts of a judge", blocks, "verdicts")


_BASES: Final[Mapping[Basis, str]] = {
    "judge": "by the judge",
    "rule": "by a rule",
    "nonsense": "unparseable",
    "too-long": "too long",
}
_COUNTS = ("run", "judged by", *_BASES.values(), "missing")
_FIGURES = ("run", "judged by", "figure", "value")
_LABELS = ("run", "judged by", "label", "value", "times")
_AGREEMENT = ("run", "judged by", "label", "trajectories", "unanimous", "alpha")


def _table(
    caption: str,
    header: Sequence[str],
    rows_of: Callable[[TrajectoriesRun, int, RunVerdicts], Iterator[Row]],
    judged: Sequence[tuple[TrajectoriesRun, int, RunVerdicts]],
    texts: Collection[int],
) -> Iterator[Table]:
    """A table with the rows of all judgements, if there are any."""
    if rows := [row for each in judged for row in rows_of(*each)]:
        yield Table(caption, header, rows, texts)


def _counts(run: TrajectoriesRun, place: int, judged: RunVerdicts) -> Row:
    """The counts of a judgement, also if all of its verdicts are unparseable."""
    counts = [
        Cell(f"{count:,}", verdict_anchor(run, place, "basis", basis) if count else None)
        for basis, count in ((basis, judged.report.verdicts[basis]) for basis in _BASES)
    ]
    return [run.named.title, judged.title, *counts, f"{judged.report.missing:,}"]


def _figures(run: TrajectoriesRun, place: int, judged: RunVerdicts) -> Iterator[Row]:
    for figure in judged.report.figures.values():
        value = Cell(figure_text(figure), verdict_anchor(run, place) if figure.value is not None else None)
        yield [run.named.title, judged.title, figure.title, value]


def _label_counts(run: TrajectoriesRun, place: int, judged: RunVerdicts) -> Iterator[Row]:
    for label, counts in judged.report.labels.items():
        for value, count in counts.items():
            times = Cell(f"{count:,}", verdict_anchor(run, place, label, value))
            yield [run.named.title, judged.title, label, value, times]


def _agreement(run: TrajectoriesRun, place: int, judged: RunVerdicts) -> Iterator[Row]:
    for label, agreement in judged.report.agreement.items():
        shares = [number(agreement.unanimous), number(agreement.alpha)]
        yield [run.named.title, judged.title, label, f"{agreement.trajectories:,}", *shares]
