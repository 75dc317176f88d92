"""Plan ACC: whether the published reading of the decision is that of the reference.

Source: `plan_em` of evaluate-multi_agent.py (X-PLUG/Multi-LLM-Agent). Every step counts. Odd: a text without any
decision is read as a call, and so is right wherever a call is; `decision_accuracy` is the plain definition.
"""

from __future__ import annotations

from evaluation.files.published import Pair


def plan_accuracy(pair: Pair) -> float | None:
    """1 or 0 for every step; 0 where nothing was predicted."""
    predicted = pair.published_prediction
    return float(predicted is not None and predicted.plan == pair.published_reference.plan)
