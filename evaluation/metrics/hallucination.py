"""Hallu.: whether the published reading names a tool that was not offered.

Source: `hallu_rate` of evaluate-multi_agent.py (X-PLUG/Multi-LLM-Agent). Odd: every step counts, also those at which
nothing was to be called or was called, so that a model that calls little looks better; `invented_tools` is the plain
definition.
"""

from __future__ import annotations

from evaluation.files.published import NOTHING, Pair


def hallucination(pair: Pair) -> float | None:
    """1 or 0 for every step; 0 where nothing was predicted, as nothing was invented."""
    predicted = pair.published_prediction
    if predicted is None or predicted.name is None or predicted.name == NOTHING:
        return 0.0
    return float(predicted.name not in pair.offered)
