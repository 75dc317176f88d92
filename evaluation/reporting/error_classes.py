"""What went wrong at a step: each one is in exactly one class, the first that it belongs to."""

from __future__ import annotations

from typing import Final, Literal

from alpha_umi.roles.turns import Tool
from evaluation.files.published import Pair
from evaluation.files.step_run import PredictionRecord
from evaluation.metrics.argument_validity import argument_validity
from evaluation.metrics.call_match import call_match
from evaluation.metrics.invented_tools import invented_tools

ErrorClass = Literal[
    "missing",
    "error of the service",
    "unreadable",
    "wrong decision",
    "invented tool",
    "wrong tool",
    "argument not allowed",
    "wrong argument",
    "right",
]
# In the order in which they are looked for, and what each is.
CLASSES: Final[dict[ErrorClass, str]] = {
    "missing": "nothing was predicted; the run may have been ended",
    "error of the service": "a role service answered with an error in the place of a text",
    "unreadable": "a text was written that has no decision, or no call that can be read",
    "wrong decision": "another decision than the reference's",
    "invented tool": "a call of a tool that was not offered",
    "wrong tool": "a call of another tool than the reference's",
    "argument not allowed": "the right tool, with arguments that its schema refuses",
    "wrong argument": "the right tool, with other arguments than the reference's",
    "right": "the reference's decision, and its very call where it is for one; answers are not judged here",
}


def error_class(pair: Pair, record: PredictionRecord | None) -> ErrorClass:
    """The class of a step. Raises `NotTheFormat` for a tool whose schema is none."""
    predicted, reference = pair.prediction, pair.case.reference
    if record is None:
        return "missing"
    if record.error is not None:
        return "error of the service"
    if predicted is None or predicted.decision is None or (predicted.decision == "caller" and predicted.call is None):
        return "unreadable"
    if predicted.decision != reference.decision:
        return "wrong decision"
    return "right" if reference.call is None else _of_call(pair)


def _of_call(pair: Pair) -> ErrorClass:
    """Both decided for a call, and the predicted one can be read."""
    predicted, wanted = pair.prediction, pair.case.reference.call
    if invented_tools(pair):
        return "invented tool"
    if predicted and predicted.call and wanted and Tool(predicted.call.name).shown_name != Tool(wanted.name).shown_name:
        return "wrong tool"
    if call_match(pair):
        return "right"
    return "wrong argument" if argument_validity(pair) else "argument not allowed"
