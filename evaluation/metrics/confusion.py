"""Confusion matrix of decisions: counts by the reference's decision and the predicted one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from alpha_umi.roles.planner import DECISIONS
from evaluation.files.published import Pair

UNREADABLE = "unreadable"
MISSING = "missing"
COLUMNS = (*DECISIONS, UNREADABLE, MISSING)

Confusion = Mapping[str, Mapping[str, int]]


def decision_confusion(pairs: Sequence[Pair]) -> Confusion:
    """Counts by the reference's decision (rows) and the predicted one (`COLUMNS`), with zeros; their sum is n."""
    counts = Counter((pair.case.reference.decision, predicted_column(pair)) for pair in pairs)
    return {row: {column: counts[row, column] for column in COLUMNS} for row in DECISIONS}


def predicted_column(pair: Pair) -> str:
    """The column of a pair: the predicted decision, unreadable, or missing."""
    if pair.prediction is None:
        return MISSING
    return pair.prediction.decision or UNREADABLE
