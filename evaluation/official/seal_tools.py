"""Seal-Tools' official metrics of a run: readable outputs, right tools, right parameters.

Source: `calculate_score_ToolLearning` of LLM_Evaluation/src/calculate_pluginscore_detailed.py in fairyshine/Seal-Tools.
P is the share of right ones in the predictions, R in the references, F1 their harmonic mean:

- format ACC: the share of requests whose outputs are all readable;
- tool P, R, F1: a predicted call is right if the request expects a call of that tool;
- parameter P, R, F1: a predicted parameter is right if the expected call of that tool has it with the same value.

As published: a tool that is expected several times is compared with the first of its calls, and counts twice if it is
predicted twice, so R can exceed 1; values are equal if their Python texts are, so `5` equals `"5"`.

Unlike the published program: a request's calls are predicted one per step, each after the reference's earlier calls; a
request with an unreadable output retains its other calls, and is not dropped; and a share without right ones is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alpha_umi.contract.roles import WireModel
from alpha_umi.roles.caller import Call
from evaluation.files.published import Pair
from evaluation.results import FigureReport
from evaluation.statistics.bootstrap import RESAMPLES, SEED, Sums, intervals, resampled_means
from recordings.errors import EmptySuite


class SealToolsReport(WireModel):
    """`evaluate seal-tools`. Of a figure, `n` is what the share is of: requests, calls or parameters."""

    requests: int
    steps: int
    figures: dict[str, FigureReport]
    resamples: int
    seed: int


@dataclass(frozen=True)
class _Counts:
    """Counts of one request: whether all outputs are readable (0 or 1); right, predicted and expected calls and
    parameters.
    """

    readable: int
    tools: tuple[int, int, int]
    parameters: tuple[int, int, int]

    def ratios(self) -> list[tuple[int, int]]:
        """Numerator and denominator of every metric."""
        return [(self.readable, 1), *_p_r_f1(self.tools), *_p_r_f1(self.parameters)]


# In the order of `_Counts.ratios`.
_TITLES = {
    "format_acc": "format ACC",
    "tool_p": "tool P",
    "tool_r": "tool R",
    "tool_f1": "tool F1",
    "parameter_p": "parameter P",
    "parameter_r": "parameter R",
    "parameter_f1": "parameter F1",
}


def seal_tools_report(pairs: Sequence[Pair], *, resamples: int = RESAMPLES, seed: int = SEED) -> SealToolsReport:
    """The report of a run. Raises `EmptySuite` for a run without steps."""
    requests: dict[str, list[Pair]] = {}
    for pair in pairs:
        requests.setdefault(pair.case.trajectory, []).append(pair)
    if not requests:
        raise EmptySuite("there is no step to score", remedy="name a file with at least one case")
    ratios = np.array([_counts(steps).ratios() for steps in requests.values()], dtype=float)
    sums = Sums(ratios[:, :, 0], ratios[:, :, 1])
    values = [_share(*pair) for pair in ratios.sum(axis=0)]
    samples = resampled_means(sums, resamples=resamples, seed=seed)
    spreads = intervals(sums, samples, values, shares=[True] * len(values))
    of = [int(total) for total in ratios[:, :, 1].sum(axis=0)]
    figures = {
        name: FigureReport.of(title, value, n, spread)
        for (name, title), value, n, spread in zip(_TITLES.items(), values, of, spreads, strict=True)
    }
    return SealToolsReport(requests=len(requests), steps=len(pairs), figures=figures, resamples=resamples, seed=seed)


def _counts(steps: Sequence[Pair]) -> _Counts:
    wanted = [pair.case.reference.call for pair in steps if pair.case.reference.call is not None]
    made = [pair.prediction.call for pair in steps if pair.prediction is not None and pair.prediction.call is not None]
    matched = [(call, _wanted(call, wanted)) for call in made]
    return _Counts(
        readable=int(all(map(_readable, steps))),
        tools=(sum(call is not None for _, call in matched), len(made), len(wanted)),
        parameters=(
            sum(_right_parameters(call, reference) for call, reference in matched if reference is not None),
            sum(len(call.arguments) for call in made),
            sum(len(call.arguments) for call in wanted),
        ),
    )


def _readable(pair: Pair) -> bool:
    return pair.prediction is not None and pair.prediction.decision is not None and pair.prediction.unreadable is None


def _wanted(call: Call, wanted: Sequence[Call]) -> Call | None:
    """The first expected call of the same tool."""
    return next((each for each in wanted if each.name == call.name), None)


def _right_parameters(call: Call, wanted: Call) -> int:
    return sum(
        name in wanted.arguments and str(value) == str(wanted.arguments[name]) for name, value in call.arguments.items()
    )


def _p_r_f1(counts: tuple[int, int, int]) -> list[tuple[int, int]]:
    """Precision, recall and F1 as fractions; F1 is twice the right ones over the sum of both denominators."""
    right, written, wanted = counts
    return [(right, written), (right, wanted), (2 * right, written + wanted)]


def _share(right: float, of: float) -> float | None:
    return float(right / of) if of else None
