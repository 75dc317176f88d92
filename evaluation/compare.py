"""Compare two files: predictions of the same cases, or trajectories of the same questions.

Every difference has a 95 % interval of a paired bootstrap (`statistics.paired`): both files are scored on the same
resampled trajectories. The verdict is inconclusive where too few trajectories count, and where a metric ignores what is
missing in an incomplete file. A question without a trajectory counts as neither completed nor right. A gate adds a
multiple-testing correction (`statistics.gate`) and requires complete files with equal settings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from alpha_umi.quantities import pluralize
from evaluation.errors import CasesDiffer, GateRefused
from evaluation.files import Format
from evaluation.files.predictions import read_predictions
from evaluation.files.published import Pair
from evaluation.files.step_run import RunRecord
from evaluation.files.trajectory_run import TrajectoryRecord, TrajectoryRun, TrajectoryRunRecord, read_trajectory_run
from evaluation.metrics import METRICS, Metric
from evaluation.metrics.trajectory import TRAJECTORY_METRICS, Measured, columns
from evaluation.scoring import metric_values
from evaluation.statistics import Correction
from evaluation.statistics.bootstrap import RESAMPLES, SEED
from evaluation.statistics.gate import Gate, apply_gate
from evaluation.statistics.paired import Difference, paired
from recordings.errors import EmptySuite, some

REMEDY = "compare two files that were generated from the same suite"
# The header record of a file; the published format has none.
About = RunRecord | TrajectoryRunRecord | None
# Prefix of placeholder names for trajectories that neither file contains.
NAMELESS: Final = "one that neither file has"
# Settings of the requests, which are not properties of the models.
_SETTINGS: Final = (
    "suite", "constrained", "attempts", "strategy", "max_steps", "max_tokens", "max_repeats", "tool_server",
)  # fmt: skip
# Limits of the orchestrator, from each trajectory's first event; a search's depth and width are in no request.
_LIMITS: Final = ("max_steps", "max_tokens", "max_repeats", "max_depth", "max_width")
SETTINGS_REMEDY = "run the second again with the settings of the first"


@dataclass(frozen=True)
class Comparison:
    """All metrics of two files over the same cases, and the cases without a prediction in each.

    `steps` is None for a comparison of trajectories.
    """

    differences: tuple[Difference, ...]
    steps: int | None
    trajectories: int
    first_missing: tuple[str, ...]
    second_missing: tuple[str, ...]
    resamples: int
    seed: int


def compare(
    first: Sequence[Pair], second: Sequence[Pair], *, resamples: int = RESAMPLES, seed: int = SEED
) -> Comparison:
    """Compare predictions of the same cases, in any order. Raises `CasesDiffer` or `EmptySuite`."""
    matched = _matched(first, second)
    trajectories = [pair.case.trajectory for pair in first]
    return Comparison(
        differences=_differences(first, matched, trajectories, resamples, seed),
        steps=len(first),
        trajectories=len(set(trajectories)),
        first_missing=_missing_predictions(first),
        second_missing=_missing_predictions(matched),
        resamples=resamples,
        seed=seed,
    )


def _differences(
    first: Sequence[Pair], second: Sequence[Pair], trajectories: Sequence[str], resamples: int, seed: int
) -> tuple[Difference, ...]:
    incomplete = bool(_missing_predictions(first) or _missing_predictions(second))
    return paired(
        METRICS,
        trajectories,
        metric_values(first),
        metric_values(second),
        incomparable=[incomplete and metric.missing == "ignored" for metric in METRICS],
        resamples=resamples,
        seed=seed,
    )


def _matched(first: Sequence[Pair], second: Sequence[Pair]) -> list[Pair]:
    """The pairs of the second file in the order of the first."""
    by_id = {pair.case.id: pair for pair in second}
    only_first = [pair.case.id for pair in first if pair.case.id not in by_id]
    only_second = sorted(by_id.keys() - {pair.case.id for pair in first})
    if only_first or only_second:
        one, name = ("first", only_first) if only_first else ("second", only_second)
        raise CasesDiffer(f"only the {one} file has the case {some(name)}", remedy=REMEDY)
    matched = [by_id[pair.case.id] for pair in first]
    for what, differ in _PARTS.items():
        others = [one.case.id for one, other in zip(first, matched, strict=True) if differ(one, other)]
        if others:
            raise CasesDiffer(f"the files have other {what} for the case {some(others)}", remedy=REMEDY)
    return matched


def _other_history(one: Pair, other: Pair) -> bool:
    """The case without its history: no metric needs it, and published files may lack it."""
    histories = one.case.history, other.case.history
    return all(histories) and histories[0] != histories[1]


# The fields that must be equal, and the test for a difference.
_PARTS: Final[dict[str, Callable[[Pair, Pair], bool]]] = {
    "references": lambda one, other: one.published_reference != other.published_reference,
    "tools": lambda one, other: one.case.tools != other.case.tools,
    "histories": _other_history,
}


def _missing_predictions(pairs: Sequence[Pair]) -> tuple[str, ...]:
    return tuple(pair.case.id for pair in pairs if pair.prediction is None)


QUESTIONS_REMEDY = "compare two runs of the same suite, with the same --limit"


def compare_trajectories(
    first: TrajectoryRun, second: TrajectoryRun, *, resamples: int = RESAMPLES, seed: int = SEED
) -> Comparison:
    """Compare trajectories of the same questions, in any order. Raises `CasesDiffer`, `EmptySuite`."""
    questions = _questions(first, second)
    one, other = _rows(first, questions), _rows(second, questions)
    missing = _missing_questions(one, questions), _missing_questions(other, questions)
    values = columns(one), columns(other)
    metrics = [
        metric
        for metric in TRAJECTORY_METRICS
        if any(value is not None for each in values for value in each[metric.name])
    ]
    differences = paired(
        metrics,
        questions,
        [values[0][metric.name] for metric in metrics],
        [values[1][metric.name] for metric in metrics],
        incomparable=[any(missing) and metric.missing == "ignored" for metric in metrics],
        resamples=resamples,
        seed=seed,
    )
    return Comparison(differences, None, len(questions), *missing, resamples, seed)


def _questions(first: TrajectoryRun, second: TrajectoryRun) -> list[str]:
    """The questions of both files, including those without a trajectory in either."""
    for what in ("suite", "trajectories", "compared"):
        one, other = getattr(first.about, what), getattr(second.about, what)
        if one != other:
            raise CasesDiffer(f"the files differ in `{what}`: {one!r} and {other!r}", remedy=QUESTIONS_REMEDY)
    firsts = {record.recorded: record for record in first.records}
    seconds = {record.recorded: record for record in second.records}
    if not firsts or not seconds:
        raise EmptySuite("one of the files has no trajectory", remedy="ask first")
    known = list(dict.fromkeys([*firsts, *seconds]))
    count = first.about.trajectories
    if len(known) > count:
        others = [name for name in known if (name in firsts) != (name in seconds)]
        raise CasesDiffer(f"the files are of other samples of the suite: {some(others)}", remedy=QUESTIONS_REMEDY)
    for name in firsts.keys() & seconds.keys():
        if (differs := _differs(firsts[name], seconds[name])) is not None:
            raise CasesDiffer(f"the files have another {differs} for the trajectory {name!r}", remedy=QUESTIONS_REMEDY)
    return [*known, *(f"{NAMELESS} ({number})" for number in range(1, count - len(known) + 1))]


def _differs(one: TrajectoryRecord, other: TrajectoryRecord) -> str | None:
    """The first difference of a question. The order of its tools does not matter."""
    if one.trajectory.instruction != other.trajectory.instruction:
        return "instruction"
    if sorted(one.trajectory.tools) != sorted(other.trajectory.tools):
        return "offer of tools"
    return "expected answer" if one.expected != other.expected else None


def _rows(run: TrajectoryRun, questions: Sequence[str]) -> list[Measured | None]:
    recorded = [record.recorded for record in run.records]
    measured = dict(zip(recorded, run.measured(), strict=True))
    return [measured.get(name) for name in questions]


def _missing_questions(rows: Sequence[Measured | None], questions: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name, row in zip(questions, rows, strict=True) if row is None)


@dataclass(frozen=True)
class GateOptions:
    """The metrics that a gate checks, or all that the format has for one, and the correction for multiple tests."""

    metrics: tuple[str, ...] = ()
    correction: Correction = Correction.HOLM


@dataclass(frozen=True)
class ComparedFiles:
    """A comparison of two files, the header records of both (None for the published format), and the gate, if any."""

    comparison: Comparison
    first: About
    second: About
    gate: Gate | None = None


def compare_files(
    first: Path,
    second: Path,
    form: Format,
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    gate: GateOptions | None = None,
) -> ComparedFiles:
    """Compare two files of one format, and apply a gate if one is given.

    Raises `EvaluationError`. With a gate the runs must have equal settings and be complete, else `GateRefused`.
    """
    compare_form = _compare_trajectory_files if form is Format.TRAJECTORIES else _compare_step_files
    return compare_form(first, second, form, resamples, seed, gate)


def _compare_step_files(
    first: Path, second: Path, form: Format, resamples: int, seed: int, gate: GateOptions | None
) -> ComparedFiles:
    one, other = read_predictions(first, form), read_predictions(second, form)
    if gate is not None:
        require_same_settings(one.about, other.about)
    comparison = compare(one.pairs, other.pairs, resamples=resamples, seed=seed)
    if gate is not None:
        require_complete(one.unanswered, other.unanswered)
    return ComparedFiles(comparison, one.about, other.about, _apply(gate, comparison, METRICS))


def _compare_trajectory_files(
    first: Path, second: Path, form: Format, resamples: int, seed: int, gate: GateOptions | None
) -> ComparedFiles:
    one, other = read_trajectory_run(first), read_trajectory_run(second)
    if gate is not None:
        require_same_settings(one.about, other.about)
        require_same_limits(one, other)
    comparison = compare_trajectories(one, other, resamples=resamples, seed=seed)
    if gate is not None:
        require_complete(comparison.first_missing, comparison.second_missing, "trajectory")
    return ComparedFiles(comparison, one.about, other.about, _apply(gate, comparison, TRAJECTORY_METRICS))


def _apply(gate: GateOptions | None, comparison: Comparison, metrics: Sequence[Metric[Any]]) -> Gate | None:
    if gate is None:
        return None
    compared = {item.metric.name for item in comparison.differences}
    default = [metric.name for metric in metrics if metric.gated and metric.name in compared]
    return gate_comparison(comparison, gate.metrics or default, gate.correction)


def gate_comparison(comparison: Comparison, metrics: Sequence[str], correction: Correction = Correction.HOLM) -> Gate:
    """Apply the gate to the named metrics of a comparison.

    Raises `GateRefused` if predictions are missing, and for an unknown name.
    """
    by_name = {item.metric.name: item for item in comparison.differences}
    unknown = [name for name in metrics if name not in by_name]
    if unknown:
        raise GateRefused(f"no figure is called {some(unknown)}", remedy=f"take some of: {', '.join(by_name)}")
    return apply_gate([by_name[name] for name in dict.fromkeys(metrics)], correction)


def require_complete(first: Sequence[str], second: Sequence[str], noun: str = "prediction") -> None:
    """Raises `GateRefused` if a file lacks predictions (or what `noun` names), with the missing names."""
    for which, missing in (("first", first), ("second", second)):
        if missing:
            raise GateRefused(
                f"the {which} file lacks {pluralize(len(missing), noun)}: {_listed(missing)}",
                remedy="run the command that made it again to resume",
            )


def _listed(missing: Sequence[str]) -> str:
    """Some of the names, and the number of placeholders, which are in neither file."""
    named = [name for name in missing if not name.startswith(NAMELESS)]
    nameless = f"{len(missing) - len(named):,} that neither file has" if len(named) < len(missing) else ""
    return " and ".join(filter(None, (some(named), nameless)))


def require_same_settings(first: About, second: About) -> None:
    """Raises `GateRefused` for two runs with different settings."""
    for name in _SETTINGS:
        one, other = getattr(first, name, None), getattr(second, name, None)
        if one != other and not _unknown(name, one, other):
            raise GateRefused(
                f"the files were made with other settings: `{name}` is {_shown(one)} and {_shown(other)}",
                remedy=SETTINGS_REMEDY,
            )


def require_same_limits(first: TrajectoryRun, second: TrajectoryRun) -> None:
    """Raises `GateRefused` for two runs whose trajectories had different limits."""
    for name in _LIMITS:
        one, other = first.limit_values(name), second.limit_values(name)
        if one and other and one != other:
            raise GateRefused(
                f"the orchestrator had other limits: `{name}` is {' and '.join(one)} in the first file, "
                f"and {' and '.join(other)} in the second",
                remedy="restore the limits of the orchestrator, and run the second again",
            )


def _shown(value: object) -> str:
    return repr(value.model_dump() if isinstance(value, BaseModel) else value)


def _unknown(name: str, *values: object) -> bool:
    """Whether an orchestrator did not report it; all other settings are from the command line."""
    return name == "constrained" and None in values
