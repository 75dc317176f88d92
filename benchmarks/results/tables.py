"""Scores as Markdown."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from benchmarks.results.runs import MODES, Mode
from evaluation.files.predictions import CostReport
from evaluation.metrics import COLUMNS
from evaluation.results import ComparisonReport, FigureReport, ScoreReport, TrajectoryReport

NO_FIGURE = "–"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, texts: Collection[int] = (0,)) -> str:
    """A table; these columns, the first by default, are text, the others are figures."""
    rule = ["---" if column in texts else "---:" for column in range(len(header))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows))


def figures_table(scores: Mapping[Mode, ScoreReport], difference: ComparisonReport) -> str:
    """Every metric of one suite in both modes, and how free writing differs from writing inside grammars."""
    of_modes = [scores[mode].figures for mode in MODES]
    rows = [
        [figures[0].title, *(cell for figure in figures for cell in figure_cells(figure)), item.verdict]
        for name, item in difference.differences.items()
        for figures in [[figures[name] for figures in of_modes]]
    ]
    return table(["metric", *(head for mode in MODES for head in (mode, "95 %", "n")), "free is"], rows)


def decisions_table(scores: Mapping[Mode, ScoreReport]) -> str:
    """What was decided in both modes, whatever was right."""
    rows = [[mode, *_decided(scores[mode])] for mode in MODES]
    right = scores[MODES[0]].decisions
    rows.append(["the reference", *(f"{sum(right.get(name, {}).values()):,}" for name in COLUMNS)])
    return table(["decisions", *COLUMNS], rows)


def costs_table(scores: Mapping[Mode, ScoreReport]) -> str:
    """What each role wrote in both modes."""
    rows = [
        [f"{mode}, {role}", *(f"{count:,}" for count in _counts(cost))]
        for mode in MODES
        for role, cost in scores[mode].costs.items()
    ]
    return table(["role", "texts", "prompt tokens", "written tokens", "again", "failed"], rows)


def whole_table(reports: Mapping[Mode, TrajectoryReport]) -> str:
    """Whole trajectories in both modes: averages for one of them."""
    of_modes = [reports[mode].figures for mode in MODES]
    names = dict.fromkeys(name for figures in of_modes for name, figure in figures.items() if figure.n)
    rows = [
        [_whole_title(name, figures), *(cell for of_mode in of_modes for cell in _whole(of_mode.get(name)))]
        for name in names
        for figures in [next(of_mode[name] for of_mode in of_modes if name in of_mode)]
    ]
    return table(["a trajectory", *(head for mode in MODES for head in (mode, "95 %", "n"))], rows)


def ends_line(reports: Mapping[Mode, TrajectoryReport]) -> str:
    """How the trajectories ended."""
    ends = (", ".join(f"{end} {count}" for end, count in reports[mode].ends.items()) for mode in MODES)
    return "; ".join(f"{mode}: {end}" for mode, end in zip(MODES, ends, strict=True))


def figure_cells(figure: FigureReport) -> tuple[str, str, str]:
    """Value, ends of the interval, and n, in percent."""
    ends = (
        NO_FIGURE if figure.low is None or figure.high is None else f"{100 * figure.low:.1f} to {100 * figure.high:.1f}"
    )
    return (NO_FIGURE if figure.value is None else f"{100 * figure.value:.1f}", ends, f"{figure.n:,}")


def difference_cell(
    difference: float | None, ends: tuple[float, float] | None, word: str, *, scale: float = 100
) -> str:
    """A difference in percent (`scale` 1: as it is), the ends of its interval, and what is said of it."""
    if difference is None:
        return NO_FIGURE
    spread = "" if ends is None else f" ({scale * ends[0]:+,.1f} to {scale * ends[1]:+,.1f})"
    return f"{scale * difference:+,.1f}{spread} {word}"


def _counts(cost: CostReport) -> tuple[int, ...]:
    return cost.texts, cost.prompt_tokens, cost.completion_tokens, cost.again, cost.failed


def _whole_title(name: str, figure: FigureReport) -> str:
    role, dot, _ = name.partition(".")
    return f"{role}: {figure.title}" if dot else figure.title


def _whole(figure: FigureReport | None) -> tuple[str, str, str]:
    if figure is None or figure.value is None:
        return NO_FIGURE, NO_FIGURE, "0"
    ends = (figure.low, figure.high)
    spread = NO_FIGURE if None in ends else " to ".join(_round(end) for end in ends if end is not None)
    return _round(figure.value), spread, f"{figure.n:,}"


def _round(value: float) -> str:
    return f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"


def _decided(report: ScoreReport) -> list[str]:
    return [f"{sum(row[column] for row in report.decisions.values()):,}" for column in COLUMNS]
