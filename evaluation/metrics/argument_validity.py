"""Argument validity: of the decisions for a call, whether arguments followed that the named tool's schema allows.

A plain definition that the published evaluation has nothing for: it needs no reference. An unreadable call, a missing
one and one of a tool that was not offered have no such arguments.
"""

from __future__ import annotations

import jsonschema_rs

from alpha_umi.contract.tool_schema import full_validator
from alpha_umi.roles.turns import Tool
from evaluation.errors import NotTheFormat
from evaluation.files.published import Pair


def argument_validity(pair: Pair) -> float | None:
    """1 or 0; None where the decision was not for a call. Raises `NotTheFormat` for a schema that is none."""
    if pair.prediction is None or pair.prediction.decision != "caller":
        return None
    call = pair.prediction.call
    tool = pair.offered.get(Tool(call.name).shown_name) if call is not None else None
    if call is None or tool is None:
        return 0.0
    try:
        return float(full_validator(tool.parameters).is_valid(dict(call.arguments)))
    except jsonschema_rs.ValidationError as error:
        raise NotTheFormat(
            f"case {pair.case.id!r}: the schema of the tool {tool.name!r} is no JSON Schema: {error.message[:200]}",
            remedy="give its parameters a valid JSON Schema (draft 2020-12)",
        ) from error
