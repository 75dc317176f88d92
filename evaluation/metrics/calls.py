"""Plain metrics of decisions and calls, read with the parsers that serve. The published metrics lack these definitions.

Decision accuracy: whether the planner's decision equals the reference's; a text without a decision is wrong.

Exact call match: where the reference calls a tool, whether the same call was made, arguments included. Arguments are
equal as JSON values: the order of names is irrelevant, 1 equals 1.0, and `true` is no number.

Argument validity: of the decisions for a call, whether the arguments satisfy the named tool's schema. It needs no
reference. An unreadable call, a missing one and one of a tool that was not offered have no valid arguments.

Invented tools: of the calls that were made, whether the named tool was not offered. A share of calls, not of steps.
"""

from __future__ import annotations

from typing import Any

import jsonschema_rs

from alpha_umi.contract.tool_schema import full_validator
from alpha_umi.roles.turns import Tool
from evaluation.files.published import Pair
from recordings.errors import NotTheFormat


def decision_accuracy(pair: Pair) -> float | None:
    """1 or 0 for every step; 0 for a missing or unparseable prediction."""
    return float(pair.prediction is not None and pair.prediction.decision == pair.case.reference.decision)


def call_match(pair: Pair) -> float | None:
    """1 or 0; None if the reference's decision is not a call."""
    reference = pair.case.reference
    if reference.decision != "caller":
        return None
    call = pair.prediction.call if pair.prediction is not None else None
    if call is None or reference.call is None:
        return 0.0
    same_tool = Tool(call.name).prompt_name == Tool(reference.call.name).prompt_name
    return float(same_tool and _same(call.arguments, reference.call.arguments))


def _same(one: Any, other: Any) -> bool:
    match one, other:
        case dict(), dict():
            return one.keys() == other.keys() and all(_same(value, other[name]) for name, value in one.items())
        case list(), list():
            return len(one) == len(other) and all(map(_same, one, other))
        case _:
            return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def argument_validity(pair: Pair) -> float | None:
    """1 or 0; None if the predicted decision is not a call. Raises `NotTheFormat` for an invalid tool schema."""
    if pair.prediction is None or pair.prediction.decision != "caller":
        return None
    call = pair.prediction.call
    tool = pair.offered.get(Tool(call.name).prompt_name) if call is not None else None
    if call is None or tool is None:
        return 0.0
    try:
        return float(full_validator(tool.parameters).is_valid(dict(call.arguments)))
    except jsonschema_rs.ValidationError as error:
        raise NotTheFormat(
            f"case {pair.case.id!r}: the schema of the tool {tool.name!r} is not a JSON Schema: {error.message[:200]}",
            remedy="give its parameters a valid JSON Schema (draft 2020-12)",
        ) from error


def invented_tools(pair: Pair) -> float | None:
    """1 or 0; None without a parseable call."""
    if pair.prediction is None or pair.prediction.call is None:
        return None
    return float(Tool(pair.prediction.call.name).prompt_name not in pair.offered)
