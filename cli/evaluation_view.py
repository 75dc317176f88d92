"""The reports of `alpha-umi evaluate` as blocks for a terminal (`evaluation.page.terminal`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import typer
from pydantic import BaseModel
from rich.console import Console

from alpha_umi.atomic import write_file
from alpha_umi.quantities import pluralize
from alpha_umi.roles.turns import Role
from evaluation.drift.report import DriftReport, WindowReport, format_figure, format_interval, format_time, messages
from evaluation.judge.report import JudgeReport
from evaluation.metrics import COLUMNS, MISSING_IS_IGNORED
from evaluation.metrics.trajectory import trajectory_metric
from evaluation.official.bfcl import BfclReport
from evaluation.official.seal_tools import SealToolsReport
from evaluation.page.blocks import Block, Cell, Paragraph, Row, Table, Tone
from evaluation.page.terminal import print_blocks
from evaluation.results import (
    ComparedReport,
    ComparisonReport,
    FigureReport,
    GateReport,
    ScoreReport,
    TrajectoryReport,
    excluded_sentence,
    trained_on_sentences,
)
from evaluation.statistics import Correction
from evaluation.statistics.paired import MIN_TRAJECTORIES, Verdict

NO_FIGURE: Final = "–"
MAX_IDS: Final = 5
MAX_WINDOWS: Final = 14
_TONES: Final[Mapping[Verdict, Tone]] = {"better": "good", "worse": "bad", "inconclusive": "note"}
_UNREADABLE_VERDICTS: Final = {
    "nonsense": "without a meaning, counted as neither",
    "too-long": "longer than the judge's context, not judged",
}


class _Spread(Protocol):
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


def print_report(
    console: Console, blocks: Iterable[Block], report: BaseModel, file: Path | None, as_json: bool
) -> None:
    """Write a report to a file, where one is named, and print it as JSON or as blocks. Raises `OSError`."""
    text = report.model_dump_json(indent=2)
    if file is not None:
        write_file(file, text + "\n")
    if as_json:
        typer.echo(text)
    else:
        print_blocks(console, blocks)


def score_blocks(report: ScoreReport) -> Iterator[Block]:
    """The metrics, the confusion of decisions, what is missing, and the costs."""
    about = f"{report.run.suite}: " if report.run else ""
    yield Paragraph(f"{about}{_size(report.steps, report.trajectories)}")
    if report.run:
        yield from run_notes(report.run.excluded, report.run.models)
    yield from missing_blocks(report.missing)
    yield figures_table(report.figures)
    rows = [[row, *(f"{counts[column]:,}" for column in COLUMNS)] for row, counts in report.decisions.items()]
    yield Table("right decision (rows), predicted decision (columns)", ["", *COLUMNS], rows)
    if report.costs:
        yield _space()
        header = ["role", "texts", "tokens in", "out", "shortened", "again", "failed", "median ms", "p95 ms"]
        costs = [
            [role, *(f"{count:,.0f}" for count in each.model_dump().values())] for role, each in report.costs.items()
        ]
        yield Table("", header, costs)


def missing_blocks(missing: Sequence[str], where: str = "") -> Iterator[Block]:
    """The cases without a prediction, and the metrics that ignore them."""
    if missing:
        yield _warning(f"without a prediction{where}, counted as wrong: {_ids(missing)}")
        yield _warning(f"  ignored by {', '.join(MISSING_IS_IGNORED)}{', so inconclusive' if where else ''}")


def run_notes(left_out: Mapping[str, int], models: Mapping[Role, Mapping[str, Any]]) -> Iterator[Block]:
    """Caveats of a run: excluded cases, and models that were trained on the suite."""
    excluded = excluded_sentence(left_out)
    if excluded is not None:
        yield _warning(excluded)
    yield from warnings(trained_on_sentences(models))


def warnings(sentences: Iterable[str], where: str = "") -> Iterator[Block]:
    """Caveats to read with the figures; `where` names one of two runs."""
    yield from (_warning(f"warning: {where}{sentence}") for sentence in sentences)


def comparison_blocks(report: ComparisonReport) -> Iterator[Block]:
    """Both files, their metrics, and the differences."""
    of_steps = report.steps is not None
    yield Paragraph(
        _size(report.steps or 0, report.trajectories) if of_steps else pluralize(report.trajectories, "trajectory")
    )
    for which, compared in (("first", report.first), ("second", report.second)):
        yield from _compared(which, compared)
    for which, missing in (("first", report.first_missing), ("second", report.second_missing)):
        yield from (missing_blocks if of_steps else _not_run)(missing, f" in the {which}")
    rows: list[Row] = [
        [
            name,
            number(item.first),
            number(item.second),
            number(item.difference, signed=True),
            ends(item, signed=True),
            Cell(item.verdict, tone=_TONES[item.verdict]),
        ]
        for name, item in report.differences.items()
    ]
    yield Table("", ["name", "first", "second", "difference", "95 %", "second is"], rows)
    few = [name for name, item in report.differences.items() if item.trajectories < MIN_TRAJECTORIES]
    if few:
        which = "all" if len(few) == len(report.differences) else ", ".join(few)
        yield _warning(f"inconclusive, as fewer than {MIN_TRAJECTORIES} trajectories count: {which}")


def gate_blocks(compared: ComparisonReport, report: GateReport) -> Iterator[Block]:
    """Whether the gate passed, what is worse, and what the sample is too small to detect."""
    tests = pluralize(len(report.figures), "figure")
    how = " after Holm's correction" if report.correction is Correction.HOLM and len(report.figures) > 1 else ""
    if report.passed:
        yield Paragraph(f"gate passed: none of {tests} is worse beyond the interval{how}", tone="good")
    else:
        yield Paragraph(f"gate failed: {len(report.worse)} of {tests} worse beyond the interval{how}", tone="bad")
    for name in report.worse:
        item, interval = compared.differences[name], ends(report.figures[name], signed=True)
        values = f"{number(item.first)} to {number(item.second)}"
        fall = number(abs(item.difference or 0))
        yield Paragraph(f"  {name} is worse by {fall}: {values}, interval of the difference {interval}", tone="bad")
    rows: list[Row] = [
        [
            name,
            Cell(figure.verdict, tone=_TONES[figure.verdict]),
            ends(figure, signed=True),
            f"{100 * figure.confidence:.1f} %",
            number(figure.minimum_detectable_effect),
        ]
        for name, figure in report.figures.items()
    ]
    yield Table("", ["name", "gate", "interval", "confidence", "detectable fall"], rows, (0, 1))
    if report.underpowered:
        which = "any figure" if len(report.underpowered) == len(report.figures) else ", ".join(report.underpowered)
        yield _warning(
            f"too few trajectories to show a fall of {100 * report.mde_target:g} points in {which}: raise --limit"
        )


def trajectory_blocks(report: TrajectoryReport) -> Iterator[Block]:
    """The outcomes of trajectories, and the metrics."""
    about, trajectories = report.run, pluralize(report.trajectories, "trajectory")
    yield Paragraph(f"{about.suite}: {trajectories}, strategy {about.strategy}")
    yield from run_notes(about.excluded, about.models)
    if report.not_run:
        yield _warning(f"not run yet, counted as neither completed nor right: {report.not_run:,}")
    yield Paragraph(f"ended: {_counts(report.ends)}")
    totals: list[Row] = []
    costs: list[Row] = []
    for name, figure in report.figures.items():
        if not figure.n:
            continue
        digits, role = trajectory_metric(name).digits, name.rpartition(".")[0]
        values = [number(figure.value, digits=digits), ends(figure, digits=digits), f"{figure.n:,}"]
        if role:
            costs.append([role, figure.title.removeprefix(f"{role}: "), *values])
        else:
            totals.append([figure.title, name, *values])
    yield Table("", ["trajectories", "name", "figure", "95 %", "n"], totals, (0, 1))
    yield _space()
    yield Table("", ["role", "each trajectory", "figure", "95 %", "n"], costs, (0, 1))


def verdict_blocks(report: JudgeReport) -> Iterator[Block]:
    """The rates, what could not be judged, the labels, and the agreement of repeats."""
    run = report.run
    yield Paragraph(
        f"{run.suite}: {pluralize(run.trajectories, 'trajectory')}, {run.procedure}, judged by {run.model}, "
        f"{pluralize(run.repeat, 'time')} each"
    )
    if rules := report.verdicts["rule"]:
        yield Paragraph(f"by a rule, without the judge: {rules:,}")
    for basis, count in report.verdicts.items():
        if basis in _UNREADABLE_VERDICTS and count:
            yield _warning(f"{_UNREADABLE_VERDICTS[basis]}: {count:,}")
    if report.missing:
        yield _warning(f"not judged yet: {report.missing:,}")
    yield figures_table(report.figures, "verdicts")
    yield from (Paragraph(f"{label}: {_counts(counts)}") for label, counts in report.labels.items())
    if report.agreement:
        rows = [
            [label, number(each.unanimous), number(each.alpha), f"{each.trajectories:,}"]
            for label, each in report.agreement.items()
        ]
        yield Table("", ["repeats agree in", "unanimous", "Krippendorff's alpha", "n"], rows)
    yield Paragraph(f"the judge read {report.prompt_tokens:,} tokens and wrote {report.completion_tokens:,}")


def bfcl_blocks(report: BfclReport) -> Iterator[Block]:
    """The verdicts of BFCL's checker by category, and the reasons of errors."""
    rows = [
        [name, number(category.value), ends(category), f"{category.n:,}"]
        for name, category in {**report.categories, "all": report.total}.items()
    ]
    yield Table("", ["category", "right", "95 %", "n"], rows)
    for name, category in report.categories.items():
        if category.errors:
            yield Paragraph(f"{name}: {_counts(category.errors)}", tone="note")
    yield Paragraph(f"judged by {report.package}", tone="note")


def seal_tools_blocks(report: SealToolsReport) -> Iterator[Block]:
    """Seal-Tools' own metrics."""
    yield Paragraph(_size(report.steps, report.requests))
    yield figures_table(report.figures)


def drift_blocks(report: DriftReport) -> Iterator[Block]:
    """The windows, the alarms, and every metric of the newest window with an alarm, else of the newest full one.

    Metrics of older windows are on the page and in the JSON.
    """
    windows = report.windows[-MAX_WINDOWS:]
    yield Table("", ["window, UTC", "ended", "n", "alarms"], [_window(each) for each in windows], (0, 1))
    if older := len(report.windows) - len(windows):
        yield Paragraph(f"and {pluralize(older, 'window')} before them", tone="note")
    if report.excluded:
        yield _warning(f"left out: {', '.join(f'{reason} ({count:,})' for reason, count in report.excluded.items())}")
    alarms = [
        [
            format_time(window.began),
            alarm.role,
            alarm.figure,
            format_figure(alarm.reference, name := f"{alarm.role}.{alarm.figure}"),
            format_figure(alarm.value, name),
            format_interval(alarm, name),
        ]
        for window in windows
        for alarm in window.alarms
    ]
    if alarms:
        yield _space()
        yield Table("", ["worse in", "role", "figure", "reference", "then", "difference"], alarms, (0, 1, 2))
    yield _space()
    yield _window_figures(report)
    tones: dict[str, Tone] = {"alarm": "bad", "ok": "good", "inconclusive": "warning", "note": "note"}
    yield from (Paragraph(each.text, tone=tones[each.kind]) for each in messages(report))


def _window(window: WindowReport) -> list[str]:
    alarms = "reference" if window.is_reference else f"{len(window.alarms)}" if window.evaluated else NO_FIGURE
    return [format_time(window.began), _counts(window.statuses), f"{window.trajectories:,}", alarms]


def _window_figures(report: DriftReport) -> Table:
    evaluated = report.current_windows or report.windows[-1:]
    window = next((each for each in reversed(evaluated) if each.alarms), evaluated[0])
    rows = []
    for name, figure in window.figures.items():
        role, _, key = name.partition(".")
        before = report.reference.figures.get(name)
        reference = NO_FIGURE if before is None else format_figure(before.value, name)
        value, interval = format_figure(figure.value, name), format_interval(figure, name)
        rows.append([role, key, reference, value, interval, f"{figure.n:,}"])
    header = ["role", "figure", "reference", format_time(window.began), "95 %", "n"]
    return Table("", header, rows, (0, 1))


def figures_table(figures: Mapping[str, FigureReport], title: str = "metric") -> Table:
    """Metrics by name, each with its interval and n."""
    rows = [
        [figure.title, name, number(figure.value), ends(figure), f"{figure.n:,}"] for name, figure in figures.items()
    ]
    return Table("", [title, "name", "figure", "95 %", "n"], rows, (0, 1))


def number(value: float | None, *, signed: bool = False, digits: int = 4) -> str:
    """A value with this many decimal places."""
    return NO_FIGURE if value is None else f"{value:{'+' if signed else ''},.{digits}f}"


def ends(figure: _Spread, *, signed: bool = False, digits: int = 4) -> str:
    """The ends of an interval."""
    if figure.low is None or figure.high is None:
        return NO_FIGURE
    return f"{number(figure.low, signed=signed, digits=digits)} to {number(figure.high, signed=signed, digits=digits)}"


def _compared(which: str, compared: ComparedReport | None) -> Iterator[Block]:
    if compared is not None:
        models = ", ".join(f"{role} {name}" for role, name in compared.models.items()) or NO_FIGURE
        grammars = {True: "constrained", False: "unconstrained", None: "grammars unknown"}[compared.constrained]
        how = grammars if compared.strategy is None else f"strategy {compared.strategy}, {grammars}"
        yield Paragraph(f"{which}: {compared.suite}, {how}; {models}")


def _not_run(missing: Sequence[str], where: str) -> Iterator[Block]:
    if missing:
        yield _warning(f"not run{where}, counted as neither completed nor right: {_ids(missing)}")
        yield _warning("  all other figures are inconclusive")


def _size(steps: int, trajectories: int) -> str:
    return f"{pluralize(steps, 'step')} of {pluralize(trajectories, 'trajectory')}"


def _ids(ids: Sequence[str]) -> str:
    return f"{len(ids):,} ({', '.join(ids[:MAX_IDS])}{', ...' if len(ids) > MAX_IDS else ''})"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _warning(text: str) -> Paragraph:
    return Paragraph(text, warning=True)


def _space() -> Paragraph:
    return Paragraph("")
