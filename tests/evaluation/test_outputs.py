"""Predictions are parsed strictly: an unparseable part is missing, with a reason."""

from __future__ import annotations

import pytest
from support.measured_steps import called, wrote

from evaluation.files.outputs import Prediction, RoleText, read_prediction


@pytest.mark.parametrize(
    ("prediction", "decision", "reason"),
    [
        (wrote("I wonder."), None, "no decision"),
        (wrote("a Next: maybe."), None, "names none of"),
        (wrote(""), None, "no decision"),
        (wrote("a Next: caller."), "caller", "the caller wrote nothing"),
        (wrote("a Next: conclusion."), "conclusion", "the summarizer wrote nothing"),
        (wrote("a Next: conclusion.", summarizer=" \n"), "conclusion", "the answer is empty"),
        (wrote("a Next: conclusion.", caller="Action: f\nAction Input: {}"), "conclusion", "wrote nothing"),
        (called("f", "{broken"), "caller", "not JSON"),
        (called("f", "[]"), "caller", "not a JSON object"),
        (read_prediction([RoleText("backbone", "hm")]), None, "neither"),
        (read_prediction([RoleText("backbone", "hm\nAction: f\nAction Input: {")]), "caller", "not JSON"),
        (read_prediction([]), None, "no decision"),
    ],
)
def test_what_cannot_be_read_is_missing(prediction: Prediction, decision: str | None, reason: str) -> None:
    assert (prediction.decision, prediction.call, prediction.answer) == (decision, None, None)
    assert prediction.unreadable is not None
    assert reason in prediction.unreadable


def test_what_can_be_read_is_there() -> None:
    call = called("f", '{"a": 1}')
    assert (call.decision, call.rationale, call.unreadable) == ("caller", "I ask.", None)
    assert call.call is not None
    assert call.call.arguments == {"a": 1}
    assert wrote("a Next: conclusion.", summarizer=" five ").answer == "five"
    assert wrote("a Next: give up.", caller="Action: f").unreadable is None


def test_a_single_models_text_is_a_complete_step() -> None:
    call = read_prediction([RoleText("backbone", 'I ask.\nAction: f\nAction Input: {"a": 1}')])
    assert call.call is not None
    assert (call.decision, call.rationale, call.call.name) == ("caller", "I ask.", "f")
    done = read_prediction([RoleText("backbone", "So.\nconclusion: five")])
    assert (done.decision, done.answer) == ("conclusion", "five")
    assert read_prediction([RoleText("backbone", "conclusion: give up.")]).decision == "give up"
