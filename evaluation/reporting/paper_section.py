"""The paper's Tables 1 and 2, marked as other models, with runs of ours beneath where they are of the same suite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evaluation.page.blocks import Block, Cell, Paragraph, Section, Table
from evaluation.reporting.given import StepsRun
from evaluation.reporting.paper import STATIC_METRICS, PaperTable, paper
from evaluation.reporting.steps_behind import metric_anchor
from evaluation.reporting.written import NO_FIGURE, percent

OTHERS = "the paper's models"


def paper_section(runs: Sequence[StepsRun]) -> Section:
    """Both tables. Runs of other suites stand in a table of their own."""
    published = paper()
    blocks: list[Block] = [
        Paragraph(
            f"Figures of other models, in percent, for orientation: {published.source}. They were made with backbones "
            "of 7 and 13 billion parameters or closed models, so nothing here is a comparison of like with like."
        ),
        *(_table(f"Table 1: {table.title}", table, runs) for table in published.table_1),
        *_elsewhere(runs),
        _table(f"Table 2: {published.table_2.title}", published.table_2, ()),
        Paragraph(published.note),
    ]
    return Section("The paper's tables, and ours", blocks, "paper")


def _table(caption: str, table: PaperTable, runs: Sequence[StepsRun]) -> Table:
    rows: list[list[Cell | str]] = [
        [row.model, f"{OTHERS}, {row.group}", *(_printed(figure, table.places) for figure in row.figures)]
        for row in table.rows
    ]
    rows += [_ours(run) for run in runs if run.run.about.suite.partition(":")[0] in table.suites]
    return Table(caption, ["model", "whose", *table.columns], rows, (0, 1))


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
