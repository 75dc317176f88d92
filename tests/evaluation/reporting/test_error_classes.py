"""Each step has exactly one error class."""

from __future__ import annotations

import pytest
from support.measured_steps import GAVE_UP, answered, call_of, called, case_of, output_of, wrote

from evaluation.files.outputs import Prediction
from evaluation.files.published import pair
from evaluation.files.step_run import ErrorRecord, PredictionRecord
from evaluation.reporting.step_examples import CLASSES, error_class

CASE = case_of()
FAILED = ErrorRecord(role="caller", problem="internal", status=500, detail="it broke")


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        (called("weather", '{"city": "Oslo"}'), "right"),
        (called("weather", '{"city": "Rome"}'), "wrong argument"),
        (called("weather", '{"town": "Oslo"}'), "argument not allowed"),
        (called("clock", "{}"), "wrong tool"),
        (called("oracle", "{}"), "invented tool"),
        (answered("It is cold."), "wrong decision"),
        (GAVE_UP, "wrong decision"),
        (wrote("I do not know."), "unreadable"),
        (wrote("I ask. Next: caller.", caller="nothing"), "unreadable"),
    ],
)
def test_each_class_is_distinguished(prediction: Prediction, expected: str) -> None:
    record = PredictionRecord.of(CASE.id, map(output_of, prediction.texts))
    assert error_class(pair(CASE, prediction), record) == expected
    assert expected in CLASSES


def test_what_is_not_there_and_what_failed_are_no_texts() -> None:
    assert error_class(pair(CASE, None), None) == "missing"
    planned = wrote("I ask. Next: caller.")
    record = PredictionRecord.of(CASE.id, map(output_of, planned.texts), FAILED)
    assert error_class(pair(CASE, planned), record) == "error of the service"


def test_answers_are_not_judged_and_equal_numbers_are_equal() -> None:
    case = case_of(decision="conclusion", answer="yes")
    record = PredictionRecord.of(case.id, map(output_of, answered("no").texts))
    assert error_class(pair(case, answered("no")), record) == "right"
    numbers = case_of(call=call_of("weather", {"city": "Oslo", "days": 1}))
    prediction = called("weather", '{"days": 1.0, "city": "Oslo"}')
    record = PredictionRecord.of(numbers.id, map(output_of, prediction.texts))
    assert error_class(pair(numbers, prediction), record) == "right"
