"""The metrics. Each is a small pure function of a pair (None if the metric does not apply), and is averaged.

An average over no pairs has no value. `PUBLISHED` has the paper's metrics, under the names that the published program
prints; `PLAIN` has ours. `decision_confusion` counts instead of averaging.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

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
    "MISSING_IS_IGNORED",
    "PLAIN",
    "PUBLISHED",
    "Confusion",
    "Metric",
    "decision_confusion",
]


T = TypeVar("T")


@dataclass(frozen=True)
class Metric(Generic[T]):
    """A metric of a `T` (a `Pair` or a measured trajectory): name, title, function, and the better direction.

    `of` returns None where the metric does not apply. `missing` predictions count as wrong, or are ignored; a
    metric that ignores them gives no verdict if one of two compared files is incomplete. `is_share`: from 0 to 1.
    `digits` are decimal places in tables. `gated`: `evaluate compare --fail-below` checks it unless metrics are
    named. `optional`: omitted from a report if it has no values.
    """

    name: str
    title: str
    of: Callable[[T], float | None]
    better: Literal["higher", "lower"] = "higher"
    missing: Literal["wrong", "ignored"] = "wrong"
    is_share: bool = True
    digits: int = 4
    gated: bool = True
    optional: bool = False


PUBLISHED: tuple[Metric[Pair], ...] = (
    Metric("plan_em", "Plan ACC", plan_accuracy),
    Metric("action_em", "Act. EM", action_match),
    Metric("hallu_rate", "Hallu.", hallucination, "lower", "ignored"),
    Metric("f1", "Arg. F1", argument_f1),
    Metric("easy_f1", "Arg. F1, easy", easy_argument_f1),
    Metric("hard_f1", "Arg. F1, hard", hard_argument_f1),
    Metric("rouge", "R-L", rouge_l),
)
PLAIN: tuple[Metric[Pair], ...] = (
    Metric("decision_accuracy", "decision accuracy", decision_accuracy),
    Metric("call_match", "exact call match", call_match),
    Metric("argument_validity", "argument validity", argument_validity, missing="ignored"),
    Metric("invented_tools", "invented tools", invented_tools, "lower", "ignored"),
)
METRICS = PUBLISHED + PLAIN
# Metrics that ignore a missing prediction.
MISSING_IS_IGNORED = tuple(metric.name for metric in METRICS if metric.missing == "ignored")
