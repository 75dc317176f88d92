"""Decision accuracy: whether the planner's decision, strictly read, is the reference's.

The plain definition beside `plan_accuracy`: a text without a decision is wrong everywhere.
"""

from __future__ import annotations

from evaluation.files.published import Pair


def decision_accuracy(pair: Pair) -> float | None:
    """1 or 0 for every step; 0 where nothing was predicted or nothing could be read."""
    return float(pair.prediction is not None and pair.prediction.decision == pair.case.reference.decision)
