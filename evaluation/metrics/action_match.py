"""Act. EM: where the reference calls a tool, whether the published reading names the same one.

Source: `action_em` of evaluate-multi_agent.py (X-PLUG/Multi-LLM-Agent). Only steps whose reference is a call count.
Arguments do not matter here: `call_match` wants the whole call.
"""

from __future__ import annotations

from evaluation.files.published import Pair


def action_match(pair: Pair) -> float | None:
    """1 or 0; None where the reference calls no tool."""
    reference, predicted = pair.published_reference, pair.published_prediction
    if reference.plan != "call":
        return None
    return float(predicted is not None and predicted.name == reference.name)
