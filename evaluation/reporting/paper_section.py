"""The paper's Tables 1 and 2, marked as other models, with runs of ours beneath where they are of the same suite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evaluation.page.blocks import Block, Cell, Paragraph, Row, Section, Table
from evaluation.reporting.given import StepsRun, TrajectoriesRun
from evaluation.reporting.judged import Judged
from evaluation.reporting.paper import STATIC_METRICS, PaperTable, paper
from evaluation.reporting.steps_behind import metric_anchor
from evaluation.reporting.whole_behind import verdict_anchor
from evaluation.reporting.written import NO_FIGURE, percent

OTHERS = "the paper's"
# The paper's names of the parts of ToolBench's questions, by ours.
PARTS = {
    "G1_instruction": "I1-Inst.", "G1_tool": "I1-Tool", "G1_category": "I1-Cat.",
    "G2_instruction": "I2-Inst.", "G2_category": "I2-Cat.", "G3_instruction": "I3-Inst.",
}  # fmt: skip


def paper_section(runs: Sequence[StepsRun], whole: Sequence[TrajectoriesRun]) -> Section:
    """Both tables. Runs of other suites stand in a table of their own."""
    published = paper()
    blocks: list[Block] = [
        Paragraph(
            f"Figures of other models, in percent, for orientation: {published.source}. They were made with backbones "
            "of 7 and 13 billion parameters or closed models, so nothing here is a comparison of like with like."
        ),
        *(_table(f"Table 1: {table.title}", table, _of_table(table, runs, whole)) for table in published.table_1),
        *_elsewhere(runs),
        _table(f"Table 2: {published.table_2.title}", published.table_2, _of_table(published.table_2, runs, whole)),
        Paragraph(published.note),
    ]
    return Section("The paper's tables, and ours", blocks, "paper")


def _table(caption: str, table: PaperTable, ours: Sequence[Row]) -> Table:
    rows: list[Row] = [
        [row.model, f"{OTHERS}, {row.group}", *(_printed(figure, table.places) for figure in row.figures)]
        for row in table.rows
    ]
    return Table(caption, ["model", "whose", *table.columns], [*rows, *ours], (0, 1))


def _of_table(table: PaperTable, runs: Sequence[StepsRun], whole: Sequence[TrajectoriesRun]) -> list[Row]:
    """Our rows: runs over steps of the same suite, and what judges said in the words of the table."""
    steps: list[Row] = [_ours(run) for run in runs if run.run.about.suite.partition(":")[0] in table.suites]
    judged = [_judged(table, run, place, each) for run in whole for place, each in enumerate(run.verdicts, start=1)]
    return [*steps, *(row for row in judged if row is not None)]


def _judged(table: PaperTable, run: TrajectoriesRun, place: int, judged: Judged) -> Row | None:
    """What a judge said of a run, under the columns that it is about; None where it is about none of them."""
    part = run.run.about.suite.partition(":")[2]
    known = table.judged.get(judged.found.about.procedure, {})
    columns = {column.replace("PART", PARTS.get(part, part)): name for column, name in known.items()}
    figures = {column: judged.report.figures.get(columns.get(column, "")) for column in table.columns}
    if not any(figures.values()):
        return None
    cells = [
        Cell(percent(figure.value), verdict_anchor(run, place)) if figure and figure.value is not None else NO_FIGURE
        for figure in figures.values()
    ]
    return [run.named.title, f"ours, judged by {judged.found.about.model}, {run.mode}", *cells]


def _elsewhere(runs: Sequence[StepsRun]) -> Iterator[Block]:
    """Runs of suites that the paper does not have."""
    known = {suite for table in paper().table_1 for suite in table.suites}
    others = [run for run in runs if run.run.about.suite.partition(":")[0] not in known]
    if others:
        rows = [[*_ours(run)[:1], run.run.about.suite, *_ours(run)[2:]] for run in others]
        header = ["model", "suite", *paper().table_1[0].columns]
        yield Table("Ours, the same metrics on other suites: other questions, so other figures", header, rows, (0, 1))


def _ours(run: StepsRun) -> list[Cell | str]:
    figures = [_figure(run, name) for name in STATIC_METRICS]
    return [run.named.title, f"ours, {run.mode}, n {run.report.steps:,}", *figures]


def _figure(run: StepsRun, name: str) -> Cell:
    value = run.report.figures[name].value
    return Cell(percent(value), metric_anchor(run, name) if value is not None else None)


def _printed(figure: float | None, places: int) -> str:
    return NO_FIGURE if figure is None else f"{figure:.{places}f}"
