"""The section of the page of results about ablations: does splitting help, where, and what each part brings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from benchmarks.ablations.groups import SHOWN, Group, grouped, held
from benchmarks.ablations.measured import MeasuredRow, steps_of, whole_of
from benchmarks.ablations.rows import Row, Wanted, step_rows, whole_rows
from benchmarks.results.tables import NO_FIGURE, difference_cell, table
from benchmarks.variants.runs import SINGLE
from evaluation.metrics import METRICS
from evaluation.metrics.trajectory import trajectory_metric
from evaluation.statistics.paired import Difference, Verdict

WHOLE_SHOWN: Final = ("completed", "success", "repeated_calls", "steps", "prompt_tokens", "completion_tokens")
_OUTCOMES: Final = ("completed", "success")
_WORDS: Final[Mapping[Verdict, str]] = {"better": "**better**", "worse": "**worse**", "inconclusive": "open"}
_TITLES: Final = {metric.name: metric.title for metric in METRICS}
_FIRST: Final = ("backbone", "suite", "what differs")


def section(title: str, command: str, wanted: Wanted) -> str:
    """All of it; what has no run is named with the command that makes one. Raises `EvaluationError`."""
    steps = {row: steps_of(row) for row in step_rows(wanted)}
    wholes = {row: whole_of(row) for row in whole_rows(wanted)}
    parts = [
        f"## {title}\n\nMade by `{command}`. {_HOW}",
        *_answer([found for found in (*steps.values(), *wholes.values()) if found and found.row.splits]),
        *_table("### Steps", _steps_header(), [_steps_row(found) for found in steps.values() if found]),
        *(part for found in steps.values() if found and found.row.splits for part in _where(found)),
        *_table("### Whole trajectories", _whole_header(), [_whole_row(found) for found in wholes.values() if found]),
        *_missing([row for row, found in (steps | wholes).items() if found is None]),
        *([_ONE_BACKBONE] if len(wanted.backbones) == 1 else []),
    ]
    return "\n\n".join(parts)


def _answer(found: Sequence[MeasuredRow]) -> Iterator[str]:
    """Whether splitting helps, as far as these runs can tell."""
    if found:
        verdicts = [
            item.verdict
            for each in found
            for item in each.comparison.differences
            if item.difference is not None and item.metric.name in (*SHOWN, *_OUTCOMES)
        ]
        counts = ", ".join(f"{word} in {verdicts.count(verdict)}" for verdict, word in _WORDS.items())
        yield (
            f"**Does splitting help?** In {len(found)} comparisons with `{SINGLE}` splitting is {counts} of "
            f"{len(verdicts)} figures: the four of steps, and of whole trajectories how many completed and succeeded."
        )


def _table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if rows:
        yield title
        yield table(header, rows, texts=(0, 1, 2))


def _steps_header() -> list[str]:
    return [*_FIRST, "n", *(f"{_TITLES[name]} (95 %)" for name in SHOWN)]


def _steps_row(found: MeasuredRow) -> list[str]:
    return [*_named(found), *_cells(found, SHOWN)]


def _whole_header() -> list[str]:
    return [*_FIRST, "n", *(f"{trajectory_metric(name).title} (95 %)" for name in WHOLE_SHOWN)]


def _whole_row(found: MeasuredRow) -> list[str]:
    return [*_named(found), *_cells(found, WHOLE_SHOWN)]


def _named(found: MeasuredRow) -> list[str]:
    comparison = found.comparison
    trajectories = f"{comparison.trajectories:,}"
    n = trajectories if comparison.steps is None else f"{comparison.steps:,} of {trajectories}"
    return [found.row.backbone, found.row.suite, found.row.title, n]


def _cells(found: MeasuredRow, names: Sequence[str]) -> list[str]:
    by_name = {item.metric.name: item for item in found.comparison.differences}
    return [_cell(by_name[name], by_name[name].verdict) if name in by_name else NO_FIGURE for name in names]


def _cell(item: Difference, verdict: Verdict) -> str:
    ends = None if item.interval is None else (item.interval.low, item.interval.high)
    share = item.metric.is_share
    return difference_cell(item.difference, ends, _WORDS[verdict], scale=100 if share else 1)


def _where(found: MeasuredRow) -> Iterator[str]:
    """The same difference in groups of steps; what is said of it is corrected for so many looks."""
    groups = grouped(found.first, found.second)
    verdicts = {id(figure.item): figure.verdict for figure in held(groups).figures}
    rows = [
        [*_group_named(group), *(_cell(item, verdicts[id(item)]) for item in group.differences)] for group in groups
    ]
    yield f"**{found.row.backbone}, `{found.row.suite}`: {found.row.title}, by groups of steps**"
    yield table(["steps", "n", *(f"{_TITLES[name]} (95 %)" for name in SHOWN)], rows)


def _group_named(group: Group) -> list[str]:
    return [group.title, f"{group.steps:,} of {group.trajectories:,}"]


def _missing(rows: Sequence[Row]) -> Iterator[str]:
    """What has no run yet, by the commands that make it."""
    by_commands: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        by_commands.setdefault(row.commands, []).append(row)
    if by_commands:
        yield "### Not measured"
        yield "\n".join(_missing_line(commands, of) for commands, of in by_commands.items())


def _missing_line(commands: Sequence[str], rows: Sequence[Row]) -> str:
    titles = "; ".join(dict.fromkeys(row.title for row in rows))
    suites = ", ".join(dict.fromkeys(f"`{row.suite}`" for row in rows))
    given = ", then ".join(f"`{command}`" for command in commands)
    return f"- {rows[0].backbone}, {suites}: {titles}: {given}"


_HOW = (
    "Every figure is a paired difference on the same steps, or the same questions, in percentage points (steps, calls "
    "and tokens as they are), with its 95 % interval; *n* is the number of steps, of so many trajectories. *Better* "
    "and *worse* are said where that interval leaves 0 out; in groups of steps, which are many looks at one sample, "
    "after Holm's correction over the table; and nowhere below 20 trajectories. Variants differ in the tokens that "
    "they were trained with, so one that is better than `single-llm` may owe some of it to more training."
)
_ONE_BACKBONE = (
    "By the size of the backbone: no second one has runs. With them, another `--folder CONFIG=FOLDER` adds its rows."
)
