"""The metrics: each is one small pure function of a pair, None where the pair does not count, and their average.

An average over no pair has no figure. `PUBLISHED` holds the paper's, under the names that the published program prints
them under; `PLAIN` what is measured beside them. `decision_confusion` counts instead of averaging.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from evaluation.files.published import Pair
from evaluation.metrics.calls import argument_validity, call_match, decision_accuracy, invented_tools
from evaluation.metrics.confusion import COLUMNS, Confusion, decision_confusion
from evaluation.metrics.published import (
    action_match,
    argument_f1,
    easy_argument_f1,
    hallucination,
    hard_argument_f1,
    plan_accuracy,
)
from evaluation.metrics.rouge_l import rouge_l

__all__ = [
    "COLUMNS",
    "METRICS",
    "MISSING_IS_NOTHING",
    "PLAIN",
    "PUBLISHED",
    "Confusion",
    "Metric",
    "decision_confusion",
]


@dataclass(frozen=True)
class Metric:
    """A metric: the name of its figure, its title, what it says of one pair (0 to 1), and which way is better.

    A prediction that is `missing` counts as wrong, or it is no error of this metric: then who writes nothing looks
    better, and nothing can be said about two files of which one lacks predictions.
    """

    name: str
    title: str
    of: Callable[[Pair], float | None]
    better: Literal["higher", "lower"] = "higher"
    missing: Literal["wrong", "nothing"] = "wrong"
    is_share: bool = True


PUBLISHED = (
    Metric("plan_em", "Plan ACC", plan_accuracy),
    Metric("action_em", "Act. EM", action_match),
    Metric("hallu_rate", "Hallu.", hallucination, "lower", "nothing"),
    Metric("f1", "Arg. F1", argument_f1),
    Metric("easy_f1", "Arg. F1, easy", easy_argument_f1),
    Metric("hard_f1", "Arg. F1, hard", hard_argument_f1),
    Metric("rouge", "R-L", rouge_l),
)
PLAIN = (
    Metric("decision_accuracy", "decision accuracy", decision_accuracy),
    Metric("call_match", "exact call match", call_match),
    Metric("argument_validity", "argument validity", argument_validity, missing="nothing"),
    Metric("invented_tools", "invented tools", invented_tools, "lower", "nothing"),
)
METRICS = PUBLISHED + PLAIN
# Those that a missing prediction is no error of.
MISSING_IS_NOTHING = tuple(metric.name for metric in METRICS if metric.missing == "nothing")
