"""Invented tools: of the calls that were made, whether the named tool was not offered.

The plain definition beside `hallucination`: a share of calls, not of steps.
"""

from __future__ import annotations

from alpha_umi.roles.turns import Tool
from evaluation.files.published import Pair


def invented_tools(pair: Pair) -> float | None:
    """1 or 0; None where no call was made that can be read."""
    if pair.prediction is None or pair.prediction.call is None:
        return None
    return float(Tool(pair.prediction.call.name).shown_name not in pair.offered)
