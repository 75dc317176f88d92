"""The published rates of verdicts with their intervals, what could not be judged, and the agreement of repeats.

`pass_rate` and `win_rate` use the majority of a trajectory's verdicts, as ToolBench's `eval_pass_rate.py` and
`eval_preference.py` do: as many passes as failures pass, as many wins as losses are a tie. `solvable_pass_rate` is the
mean of a trajectory's verdicts, as in StableToolBench: solved 1, unsure 1/2. A verdict that cannot be parsed is in no
rate, and counted.

Agreement is the share of trajectories with identical verdicts, and Krippendorff's alpha for nominal data (Krippendorff,
Content Analysis, 2004, chapter 11), which corrects for chance and handles missing verdicts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from alpha_umi.contract.roles import WireModel
from evaluation.judge.verdicts import READABLE, Basis, JudgeRunRecord, ProcedureName, VerdictRecord, Verdicts
from evaluation.results import FigureReport
from evaluation.statistics.bootstrap import RESAMPLES, SEED, intervals, mean, resampled_means, sums_by_trajectory

# Labels of all readable verdicts on a trajectory, to a figure of it.
OfTrajectory = Callable[[Sequence[Mapping[str, str]]], float]
BASES: Final[tuple[Basis, ...]] = ("judge", "rule", "nonsense", "too-long")
_SOLVED: Final[Mapping[str, float]] = {"Solved": 1.0, "Unsure": 0.5, "Unsolved": 0.0}


class AgreementReport(WireModel):
    """The agreement of repeated verdicts in a label over `n` trajectories; null where it is undefined."""

    trajectories: int
    unanimous: float | None
    alpha: float | None


class JudgeReport(WireModel):
    """`evaluate judge`. `verdicts` counts verdicts by their origin, `missing` those not made yet, `labels` their
    values.

    Tokens are the judge's.
    """

    run: JudgeRunRecord
    figures: dict[str, FigureReport]
    verdicts: dict[Basis, int]
    missing: int
    labels: dict[str, dict[str, int]]
    agreement: dict[str, AgreementReport]
    prompt_tokens: int
    completion_tokens: int
    resamples: int
    seed: int


def judge_report(file: Verdicts, *, resamples: int = RESAMPLES, seed: int = SEED) -> JudgeReport:
    """The report of a file."""
    about = file.about
    readable = [verdict for verdict in file.verdicts if verdict.basis in READABLE]
    questions = [question for verdict in file.verdicts for question in verdict.questions]
    bases = Counter(verdict.basis for verdict in file.verdicts)
    return JudgeReport(
        run=about,
        figures=_figures(about.procedure, readable, resamples=resamples, seed=seed),
        verdicts={basis: bases[basis] for basis in BASES},
        missing=about.trajectories * about.repeat - len(file.verdicts),
        labels=_counted(readable),
        agreement={label: _agreement(readable, label) for label in _JUDGED[about.procedure]}
        if about.repeat > 1
        else {},
        prompt_tokens=sum(question.prompt_tokens for question in questions),
        completion_tokens=sum(question.completion_tokens for question in questions),
        resamples=resamples,
        seed=seed,
    )


def _figures(
    procedure: ProcedureName, readable: Sequence[VerdictRecord], *, resamples: int, seed: int
) -> dict[str, FigureReport]:
    """Every metric over the trajectories with a readable verdict."""
    by_trajectory: dict[str, list[Mapping[str, str]]] = {}
    for verdict in readable:
        by_trajectory.setdefault(verdict.recorded, []).append(verdict.labels)
    if not by_trajectory:
        return {}
    figures = _FIGURES[procedure]
    columns = [[of(labels) for labels in by_trajectory.values()] for _, of in figures.values()]
    sums = sums_by_trajectory(list(by_trajectory), columns)
    means = [mean(column) for column in columns]
    samples = resampled_means(sums, resamples=resamples, seed=seed)
    spreads = intervals(sums, samples, means, shares=[True] * len(columns))
    return {
        name: FigureReport.of(title, value, len(by_trajectory), spread)
        for (name, (title, _)), value, spread in zip(figures.items(), means, spreads, strict=True)
    }


def _passed(labels: Sequence[Mapping[str, str]]) -> float:
    counts = Counter(each["drawn"] for each in labels)
    return float(counts["Passed"] >= counts["Failed"])


def _solved(labels: Sequence[Mapping[str, str]]) -> float:
    return sum(_SOLVED[each["answer_status"]] for each in labels) / len(labels)


def _preferred(lead: int) -> OfTrajectory:
    """Whether the candidate leads (1), trails (-1), or neither (0)."""

    def of(labels: Sequence[Mapping[str, str]]) -> float:
        counts = Counter(each["preferred"] for each in labels)
        ahead = counts["candidate"] - counts["reference"]
        return float((ahead > 0) - (ahead < 0) == lead)

    return of


def _yes(*parts: str) -> OfTrajectory:
    return lambda labels: sum(all(each[part] == "Yes" for part in parts) for each in labels) / len(labels)


_SOLVABLE: Final = ("solvable pass rate", _solved)
_FIGURES: Final[Mapping[ProcedureName, Mapping[str, tuple[str, OfTrajectory]]]] = {
    "toolbench-pass": {"pass_rate": ("pass rate", _passed), "solvable_pass_rate": _SOLVABLE},
    "stabletoolbench-pass": {"solvable_pass_rate": _SOLVABLE},
    "toolbench-win": {
        "win_rate": ("win rate", _preferred(1)),
        "lose_rate": ("lose rate", _preferred(-1)),
        "tie_rate": ("tie rate", _preferred(0)),
    },
    "toolalpaca": {
        "process": ("Proc.", _yes("process")),
        "response": ("Ans.", _yes("response")),
        "both": ("both", _yes("process", "response")),
    },
}
# Agreement is computed for labels that a judge sets, not a rule.
_JUDGED: Final[Mapping[ProcedureName, tuple[str, ...]]] = {
    "toolbench-pass": ("passes", "answer_status", "task_status"),
    "stabletoolbench-pass": ("answer_status",),
    "toolbench-win": ("preferred",),
    "toolalpaca": ("process", "response"),
}


def _counted(readable: Sequence[VerdictRecord]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {}
    for verdict in readable:
        for label, value in verdict.labels.items():
            counts.setdefault(label, Counter())[value] += 1
    return {label: dict(sorted(values.items())) for label, values in counts.items()}


def _agreement(readable: Sequence[VerdictRecord], label: str) -> AgreementReport:
    """Only verdicts of the judge: rules always agree."""
    units: dict[str, list[str]] = {}
    for verdict in readable:
        if verdict.basis == "judge" and label in verdict.labels:
            units.setdefault(verdict.recorded, []).append(verdict.labels[label])
    repeated = [values for values in units.values() if len(values) > 1]
    return AgreementReport(
        trajectories=len(repeated), unanimous=unanimous_share(repeated), alpha=krippendorff_alpha(repeated)
    )


Values = Sequence[str]


def unanimous_share(units: Sequence[Values]) -> float | None:
    """The share of units whose values, two at least, are all the same; None without such a unit."""
    judged = [values for values in units if len(values) > 1]
    return sum(len(set(values)) == 1 for values in judged) / len(judged) if judged else None


def krippendorff_alpha(units: Sequence[Values]) -> float | None:
    """1 where all agree, 0 where they do as by chance. None where fewer than two values meet, or all are the same."""
    judged = [Counter(values) for values in units if len(values) > 1]
    totals = sum(judged, Counter())
    pairable = totals.total()
    expected = pairable**2 - sum(count**2 for count in totals.values())
    if not expected:
        return None
    observed = sum(_disagreeing(counts) / (counts.total() - 1) for counts in judged)
    return 1 - (pairable - 1) * observed / expected


def _disagreeing(counts: Counter[str]) -> int:
    """Ordered pairs of unlike values."""
    return counts.total() ** 2 - sum(count**2 for count in counts.values())
