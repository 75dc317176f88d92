"""Tables 1 and 2 of the paper as data (`paper.yaml`), next to our results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from statistics import fmean
from typing import Final

import yaml
from pydantic import Field

from alpha_umi.contract.roles import WireModel
from evaluation.page.blocks import Block, Cell, Paragraph, Row, Section, Table
from evaluation.reporting.format import NO_FIGURE, percent
from evaluation.reporting.inputs import PART, PARTS, RunVerdicts, StepsRun, TrajectoriesRun
from evaluation.reporting.step_examples import metric_anchor
from evaluation.reporting.trajectory_examples import verdict_anchor


class PaperRow(WireModel):
    """A row: the model, its group (size or method), and one figure per column; null for a missing figure."""

    group: str
    model: str
    figures: list[float | None]


class PaperTable(WireModel):
    """A table: the columns of its figures, and the decimal places of their published form.

    `suites` are our suites with the same questions. `judged` maps a judge's procedure to the figures under each
    column; PART in a column's name stands for each part of ToolBench's questions and for their average.
    """

    title: str
    places: int
    columns: list[str]
    suites: list[str]
    judged: dict[str, dict[str, str]] = Field(default_factory=dict)
    rows: list[PaperRow]


class Paper(WireModel):
    """The source of the figures, and the tables."""

    source: str
    note: str
    table_1: list[PaperTable]
    table_2: PaperTable


# Our metrics for the columns of Table 1.
AVERAGE: Final = "average"
STATIC_METRICS: Final = ("plan_em", "action_em", "hallu_rate", "f1", "rouge")


@cache
def paper() -> Paper:
    """The published figures, in percent."""
    text = (resources.files("evaluation.reporting") / "paper.yaml").read_text(encoding="utf-8")
    return Paper.model_validate(yaml.safe_load(text))


OTHERS = "the paper's"


def paper_section(runs: Sequence[StepsRun], complete: Sequence[TrajectoriesRun]) -> Section:
    """Both tables. Runs of other suites have a table of their own."""
    published = paper()
    blocks: list[Block] = [
        Paragraph(
            f"Figures of other models, in percent, for orientation: {published.source}. They were made with backbones "
            "of 7 and 13 billion parameters or closed models, so these figures are not directly comparable with ours."
        ),
        *(_table(f"Table 1: {table.title}", table, _of_table(table, runs, complete)) for table in published.table_1),
        *_elsewhere(runs),
        _table(f"Table 2: {published.table_2.title}", published.table_2, _of_table(published.table_2, runs, complete)),
        Paragraph(published.note),
    ]
    return Section("The paper's tables, and ours", blocks, "paper")


def _table(caption: str, table: PaperTable, ours: Sequence[Row]) -> Table:
    rows: list[Row] = [
        [row.model, f"{OTHERS}, {row.group}", *(_printed(figure, table.places) for figure in row.figures)]
        for row in table.rows
    ]
    return Table(caption, ["model", "whose", *table.columns], [*rows, *ours], (0, 1))


def _of_table(table: PaperTable, runs: Sequence[StepsRun], complete: Sequence[TrajectoriesRun]) -> list[Row]:
    """Our rows: step runs of the same suites, and verdicts with the table's procedures."""
    steps: list[Row] = [_ours(run) for run in runs if run.run.about.suite.partition(":")[0] in table.suites]
    judged = [_judged(table, run, place, each) for run in complete for place, each in enumerate(run.verdicts, start=1)]
    return [*steps, *(row for row in judged if row is not None)]


def _judged(table: PaperTable, run: TrajectoriesRun, place: int, judged: RunVerdicts) -> Row | None:
    """A row of a judge's figures for a run; None if no column has one."""
    judged_cells: dict[str, Cell] = {}
    for column, name in table.judged.get(judged.file.about.procedure, {}).items():
        of = _of_parts if PART in column else _of_all
        judged_cells |= of(run, place, judged, column, name)
    if not judged_cells:
        return None
    n = max(figure.n for figure in judged.report.figures.values())
    cells = [judged_cells.get(column, NO_FIGURE) for column in table.columns]
    return [run.named.title, f"ours, judged by {judged.file.about.model}, {run.mode}, n {n:,}", *cells]


def _of_all(run: TrajectoriesRun, place: int, judged: RunVerdicts, column: str, name: str) -> dict[str, Cell]:
    """A figure over all judged trajectories."""
    figure = judged.report.figures.get(name)
    if figure is None or figure.value is None:
        return {}
    return {column: Cell(percent(figure.value), verdict_anchor(run, place))}


def _of_parts(run: TrajectoriesRun, place: int, judged: RunVerdicts, column: str, name: str) -> dict[str, Cell]:
    """A figure for each judged part of ToolBench's questions, and their mean if all six parts were judged."""
    by_part = {part: figures[name].value for part, figures in judged.figures_by_part.items() if name in figures}
    values = {part: value for part, value in by_part.items() if value is not None}
    cells = {
        column.replace(PART, PARTS[part]): Cell(percent(value), verdict_anchor(run, place, PART, part))
        for part, value in values.items()
    }
    if values.keys() == PARTS.keys():
        cells[column.replace(PART, AVERAGE)] = Cell(percent(fmean(values.values())), verdict_anchor(run, place))
    return cells


def _elsewhere(runs: Sequence[StepsRun]) -> Iterator[Block]:
    """Runs of suites that the paper does not have."""
    known = {suite for table in paper().table_1 for suite in table.suites}
    others = [run for run in runs if run.run.about.suite.partition(":")[0] not in known]
    if others:
        rows = [[*_ours(run)[:1], run.run.about.suite, *_ours(run)[2:]] for run in others]
        header = ["model", "suite", *paper().table_1[0].columns]
        yield Table("Ours: the same metrics on other suites, not comparable", header, rows, (0, 1))


def _ours(run: StepsRun) -> list[Cell | str]:
    figures = [_figure(run, name) for name in STATIC_METRICS]
    return [run.named.title, f"ours, {run.mode}, n {run.report.steps:,}", *figures]


def _figure(run: StepsRun, name: str) -> Cell:
    value = run.report.figures[name].value
    return Cell(percent(value), metric_anchor(run, name) if value is not None else None)


def _printed(figure: float | None, places: int) -> str:
    return NO_FIGURE if figure is None else f"{figure:.{places}f}"
