"""What judges say of runs over whole trajectories."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evaluation.page.blocks import Block, Cell, Paragraph, Row, Section, Table
from evaluation.reporting.given import TrajectoriesRun
from evaluation.reporting.judged import Judged
from evaluation.reporting.whole_behind import verdict_anchor
from evaluation.reporting.written import figure_text, number


def verdicts_section(runs: Sequence[TrajectoriesRun]) -> Section:
    """The figures of every judgement, what was said how often, and how far repeats agree."""
    judged = [(run, place, each) for run in runs for place, each in enumerate(run.verdicts, start=1)]
    if not judged:
        told = "No verdicts were given: `alpha-umi evaluate judge` writes them, and --verdicts FILE shows them."
        return Section("What a judge says", [Paragraph(told)], "verdicts")
    rows = [row for each in judged for row in _rows(*each)]
    said = [row for each in judged for row in _said(*each)]
    blocks: list[Block] = [
        Paragraph(
            "A language model's verdicts on whole trajectories, with what it wrote to each. Verdicts that mean nothing "
            "are in no figure. The judge is another one than the paper's wherever its name differs."
        ),
        Table("Verdicts: figures, each with its 95 % interval and n", _FIGURES, rows, (0, 1, 2)),
        Table("Verdicts: what was said how often", _LABELS, said, (0, 1, 2, 3)),
    ]
    if agreement := [row for each in judged for row in _agreement(*each)]:
        blocks.append(Table("Verdicts: how far repeated ones agree", _AGREEMENT, agreement, (0, 1, 2)))
    return Section("What a judge says", blocks, "verdicts")


_FIGURES = ("run", "judged by", "figure", "value", "mean nothing", "not there yet")
_LABELS = ("run", "judged by", "label", "said", "times")
_AGREEMENT = ("run", "judged by", "label", "trajectories", "unanimous", "alpha")


def _rows(run: TrajectoriesRun, place: int, judged: Judged) -> Iterator[Row]:
    nothing = judged.report.verdicts["nonsense"] + judged.report.verdicts["too-long"]
    anchor = verdict_anchor(run, place) if judged.found.verdicts else None
    for figure in judged.report.figures.values():
        value = Cell(figure_text(figure), anchor if figure.value is not None else None)
        yield [run.named.title, judged.title, figure.title, value, f"{nothing:,}", f"{judged.report.missing:,}"]


def _said(run: TrajectoriesRun, place: int, judged: Judged) -> Iterator[Row]:
    for label, counts in judged.report.labels.items():
        for value, count in counts.items():
            times = Cell(f"{count:,}", verdict_anchor(run, place, label, value))
            yield [run.named.title, judged.title, label, value, times]


def _agreement(run: TrajectoriesRun, place: int, judged: Judged) -> Iterator[Row]:
    for label, found in judged.report.agreement.items():
        shares = [number(found.unanimous), number(found.alpha)]
        yield [run.named.title, judged.title, label, f"{found.trajectories:,}", *shares]
