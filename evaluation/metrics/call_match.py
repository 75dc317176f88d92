"""Exact call match: where the reference calls a tool, whether the same call was made, arguments and all.

The plain definition beside Act. EM and Arg. F1. Arguments are equal as JSON values: the order of names does not matter,
1 and 1.0 are the same number, and `true` is no number.
"""

from __future__ import annotations

from typing import Any

from alpha_umi.roles.turns import Tool
from evaluation.files.published import Pair


def call_match(pair: Pair) -> float | None:
    """1 or 0; None where the reference's decision is not for a call."""
    reference = pair.case.reference
    if reference.decision != "caller":
        return None
    call = pair.prediction.call if pair.prediction is not None else None
    if call is None or reference.call is None:
        return 0.0
    same_tool = Tool(call.name).shown_name == Tool(reference.call.name).shown_name
    return float(same_tool and _same(call.arguments, reference.call.arguments))


def _same(one: Any, other: Any) -> bool:
    match one, other:
        case dict(), dict():
            return one.keys() == other.keys() and all(_same(value, other[name]) for name, value in one.items())
        case list(), list():
            return len(one) == len(other) and all(map(_same, one, other))
        case _:
            return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
