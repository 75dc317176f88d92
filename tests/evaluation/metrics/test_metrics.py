"""Each metric on steps with a known value, and on steps to which it does not apply."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.measured_steps import GAVE_UP, answered, call_of, called, case_of, right, three_cases, wrote

from alpha_umi.roles.turns import Tool
from evaluation.files.outputs import Prediction
from evaluation.files.published import Pair, pair
from evaluation.metrics import METRICS, decision_confusion
from evaluation.metrics.published import argument_f1, easy_argument_f1, hard_argument_f1
from recordings.cases import StepCase
from recordings.errors import NotTheFormat

CALL, ANSWER, STUCK = three_cases()
OSLO = called("weather", '{"city": "Oslo"}')
UNDECIDED = wrote("I wonder.")
SILENT = wrote("I ask. Next: caller.")

# Case, prediction, and what each metric says that is not None.
STEPS: dict[str, tuple[StepCase, Prediction | None, dict[str, float]]] = {
    "right call": (
        CALL,
        OSLO,
        dict.fromkeys(("plan_em", "action_em", "f1", "hard_f1", "decision_accuracy", "call_match"), 1)
        | {"argument_validity": 1, "hallu_rate": 0, "invented_tools": 0},
    ),
    "other value": (
        CALL,
        called("weather", '{"city": "Rome"}'),
        {"plan_em": 1, "action_em": 1, "f1": 0.5, "hard_f1": 0.5, "decision_accuracy": 1, "call_match": 0}
        | {"argument_validity": 1, "hallu_rate": 0, "invented_tools": 0},
    ),
    "one parameter too many, one that the schema lacks": (
        CALL,
        called("weather", '{"city": "Oslo", "hour": 1}'),
        {"plan_em": 1, "action_em": 1, "f1": 2 / 3, "hard_f1": 2 / 3, "decision_accuracy": 1, "call_match": 0}
        | {"argument_validity": 0, "hallu_rate": 0, "invented_tools": 0},
    ),
    "no arguments": (
        CALL,
        called("weather", "{}"),
        {"plan_em": 1, "action_em": 1, "f1": 0, "hard_f1": 0, "decision_accuracy": 1, "call_match": 0}
        | {"argument_validity": 0, "hallu_rate": 0, "invented_tools": 0},
    ),
    "broken arguments": (
        CALL,
        called("weather", "{broken"),
        {"plan_em": 1, "action_em": 1, "f1": 0, "hard_f1": 0, "decision_accuracy": 1, "call_match": 0}
        | {"argument_validity": 0, "hallu_rate": 0},
    ),
    "a number without end where a text belongs": (
        CALL,
        called("weather", '{"city": 1' + "0" * 400 + "}"),
        {"plan_em": 1, "action_em": 1, "f1": 0.5, "hard_f1": 0.5, "decision_accuracy": 1, "call_match": 0}
        | {"argument_validity": 0, "hallu_rate": 0, "invented_tools": 0},
    ),
    "other tool": (
        CALL,
        called("clock", "{}"),
        {"plan_em": 1, "action_em": 0, "f1": 0, "easy_f1": 0, "hard_f1": 0, "decision_accuracy": 1, "call_match": 0}
        | {"argument_validity": 1, "hallu_rate": 0, "invented_tools": 0},
    ),
    "invented tool": (
        CALL,
        called("magic", "{}"),
        {"plan_em": 1, "action_em": 0, "f1": 0, "easy_f1": 0, "hard_f1": 0, "decision_accuracy": 1, "call_match": 0}
        | {"argument_validity": 0, "hallu_rate": 1, "invented_tools": 1},
    ),
    "decided for a call, wrote none": (
        CALL,
        SILENT,
        {"plan_em": 1, "action_em": 0, "f1": 0, "easy_f1": 0, "hard_f1": 0, "decision_accuracy": 1, "call_match": 0}
        | {"argument_validity": 0, "hallu_rate": 0},
    ),
    "no decision where a call is right: the published plan is right, too": (
        CALL,
        UNDECIDED,
        {"plan_em": 1, "action_em": 0, "f1": 0, "easy_f1": 0, "hard_f1": 0, "decision_accuracy": 0, "call_match": 0}
        | {"hallu_rate": 0},
    ),
    "gave up": (
        CALL,
        GAVE_UP,
        {"plan_em": 0, "action_em": 0, "f1": 0, "easy_f1": 0, "hard_f1": 0, "decision_accuracy": 0, "call_match": 0}
        | {"hallu_rate": 0},
    ),
    "no prediction for a call": (
        CALL,
        None,
        {"plan_em": 0, "action_em": 0, "f1": 0, "easy_f1": 0, "hard_f1": 0, "decision_accuracy": 0, "call_match": 0}
        | {"hallu_rate": 0},
    ),
    "right answer": (
        ANSWER,
        answered("It is cold in Oslo."),
        {"plan_em": 1, "decision_accuracy": 1, "hallu_rate": 0, "rouge": pytest.approx(1)},
    ),
    "answer with half of the words": (
        ANSWER,
        answered("Is cold in Rome yes really"),
        {"plan_em": 1, "decision_accuracy": 1, "hallu_rate": 0, "rouge": pytest.approx(2 * 2 / (6 + 5))},
    ),
    "call instead of an answer": (
        ANSWER,
        OSLO,
        {
            "plan_em": 0,
            "decision_accuracy": 0,
            "hallu_rate": 0,
            "rouge": 0,
            "argument_validity": 1,
            "invented_tools": 0,
        },
    ),
    "no prediction for an answer": (
        ANSWER,
        None,
        {"plan_em": 0, "decision_accuracy": 0, "hallu_rate": 0, "rouge": 0},
    ),
    "right to give up": (STUCK, GAVE_UP, {"plan_em": 1, "decision_accuracy": 1, "hallu_rate": 0}),
    "no prediction for a give up": (STUCK, None, {"plan_em": 0, "decision_accuracy": 0, "hallu_rate": 0}),
}


@pytest.mark.parametrize("name", STEPS)
def test_what_the_metrics_say_of_a_step(name: str) -> None:
    case, prediction, wanted = STEPS[name]
    one = pair(case, prediction)
    message = {metric.name: metric.of(one) for metric in METRICS}
    assert {metric: value for metric, value in message.items() if value is not None} == wanted


def test_a_missing_answer_is_not_the_word_none() -> None:
    """Elsewhere "none" stands for an answer that was not given, as in the published program."""
    case = case_of(decision="conclusion", answer="none")
    rouge = next(metric for metric in METRICS if metric.name == "rouge")
    assert (rouge.of(pair(case, GAVE_UP)), rouge.of(pair(case, None))) == (pytest.approx(1), 0)


@pytest.mark.parametrize(
    ("wanted", "written", "same"),
    [
        ({"a": 1, "b": 2}, '{"b": 2, "a": 1}', True),
        ({"a": 1}, '{"a": 1.0}', True),
        ({"a": 1}, '{"a": true}', False),
        ({"a": 0}, '{"a": false}', False),
        ({"a": [{"b": 1}]}, '{"a": [{"b": 1}]}', True),
        ({"a": [1]}, '{"a": [1, 2]}', False),
        ({"a": [1]}, '{"a": [true]}', False),
        ({"a": None}, '{"a": "None"}', False),
        ({}, '{"a": 1}', False),
    ],
)
def test_calls_match_as_json(wanted: dict[str, Any], written: str, same: bool) -> None:
    match = next(metric for metric in METRICS if metric.name == "call_match")
    assert match.of(pair(case_of(call=call_of("clock", wanted)), called("clock", written))) == same


def test_a_long_name_is_what_the_models_see_of_it() -> None:
    name = "x" * 30 + "y" * 64
    case = StepCase("1", "1", 1, (Tool(name),), (), case_of(call=call_of(name, {})).reference)
    message = {metric.name: metric.of(pair(case, called("y" * 64, "{}"))) for metric in METRICS}
    for metric in ("action_em", "f1", "easy_f1", "call_match", "argument_validity"):
        assert message[metric] == 1, metric
    assert (message["hallu_rate"], message["invented_tools"]) == (0, 0)


def test_a_schema_that_is_none_is_named() -> None:
    case = StepCase("1", "1", 1, (Tool("weather", "", {"type": "city"}),), (), CALL.reference)
    validity = next(metric for metric in METRICS if metric.name == "argument_validity")
    with pytest.raises(NotTheFormat, match="'1': the schema of the tool 'weather'"):
        validity.of(pair(case, OSLO))


def published_call(name: str, arguments: str) -> str:
    return f"go. Next: caller.</s>caller: Action: {name}\nAction Input: {arguments}</s>"


def published_f1(wanted: Any, written: str) -> float:
    """The published grading of arguments, right tool, straight from its definition."""
    try:
        got = json.loads(written)
        if wanted == {}:
            return 1.0 if got == {} else 0.0
        full = sum(1 for name, value in wanted.items() if name in got and got[name] == value)
        half = sum(1 for name, value in wanted.items() if name in got and got[name] != value)
        recall, precision = (0.5 * half + full) / len(wanted), (0.5 * half + full) / (len(got) + 1e-30)
        return 2 * recall * precision / (recall + precision)
    except (ValueError, ZeroDivisionError, TypeError, AttributeError):
        return 0.0


VALUES = st.one_of(
    st.integers(-2, 2), st.booleans(), st.none(), st.sampled_from(["", "1"]), st.lists(st.integers(0, 1))
)
ARGUMENTS = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)


@given(wanted=ARGUMENTS, written=st.one_of(ARGUMENTS.map(json.dumps), VALUES.map(json.dumps), st.just("{broken")))
def test_arguments_are_graded_as_published(wanted: dict[str, Any], written: str) -> None:
    one = Pair(CALL, OSLO, published_call("f", json.dumps(wanted)), published_call("f", written))
    graded = argument_f1(one)
    assert graded == pytest.approx(published_f1(wanted, written), abs=1e-12)
    assert (easy_argument_f1(one), hard_argument_f1(one)) == ((None, graded) if wanted else (graded, None))


@pytest.mark.parametrize(("arguments", "graded"), [("{broken", None), ("[1]", 0.0), ("[" * 100_000, None)])
def test_references_that_are_no_object_are_left_out_or_wrong(arguments: str, graded: float | None) -> None:
    reference = published_call("f", arguments)
    assert argument_f1(Pair(CALL, OSLO, reference, published_call("f", "{}"))) == graded
    assert argument_f1(Pair(CALL, OSLO, reference, published_call("g", "{}"))) == 0


def test_confusion_counts_every_step_once() -> None:
    pairs = [pair(CALL, given) for given in (OSLO, OSLO, GAVE_UP, UNDECIDED, None)] + [pair(STUCK, OSLO)]
    counts = decision_confusion(pairs)
    assert counts["caller"] == {"caller": 2, "conclusion": 0, "give up": 1, "unreadable": 1, "missing": 1}
    assert counts["give up"]["caller"] == 1
    assert sum(sum(row.values()) for row in counts.values()) == len(pairs)
    assert sum(sum(row.values()) for row in decision_confusion([]).values()) == 0


def test_a_right_prediction_is_right_everywhere() -> None:
    for case in [*three_cases(), case_of(call=call_of("clock", {}))]:
        for metric in METRICS:
            value = metric.of(pair(case, right(case)))
            assert value is None or value == pytest.approx(float(metric.better == "higher")), metric.name
