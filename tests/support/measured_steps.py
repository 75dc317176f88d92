"""Cases and predictions for tests of the evaluation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from alpha_umi.roles.caller import Call
from alpha_umi.roles.planner import Decision
from alpha_umi.roles.turns import Tool, Turn
from evaluation.files.outputs import Prediction, RoleText, read_prediction
from evaluation.files.published import Pair, pair
from evaluation.files.step_run import CaseRecord, OutputRecord, PredictionRecord, Run, RunRecord
from recordings.cases import Reference, StepCase

WEATHER = Tool(
    "weather",
    "The weather of a city",
    {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
        "additionalProperties": False,
    },
)
CLOCK = Tool("clock", "The time")
DIGEST = "0" * 64


def call_of(name: str, arguments: Mapping[str, Any]) -> Call:
    """A call with its arguments as compact JSON."""
    return Call(name, arguments, json.dumps(arguments))


def case_of(
    name: str = "a/1",
    *,
    decision: Decision = "caller",
    call: Call | None = None,
    answer: str | None = None,
    trajectory: str | None = None,
) -> StepCase:
    """A case with two tools; by default a call of `weather` in Oslo is right."""
    if decision == "caller" and call is None:
        call = call_of("weather", {"city": "Oslo"})
    if decision == "conclusion" and answer is None:
        answer = "It is cold in Oslo."
    history = (Turn("user", f"What is the weather of {trajectory or name}?"),)
    reference = Reference(decision, "Let me see.", call, answer)
    return StepCase(name, trajectory or name.partition("/")[0], 1, (WEATHER, CLOCK), history, reference)


def wrote(planner: str, **others: str) -> Prediction:
    """A prediction: the planner's text, and that of `caller` or `summarizer`."""
    texts = [RoleText("planner", planner)]
    texts += [RoleText(role, others[role]) for role in ("caller", "summarizer") if role in others]
    return read_prediction(texts)


def called(name: str, arguments: str) -> Prediction:
    """A prediction that decides for a call and writes it."""
    return wrote("I ask. Next: caller.", caller=f"Action: {name}\nAction Input: {arguments}")


def answered(answer: str) -> Prediction:
    """A prediction that concludes with an answer."""
    return wrote("Enough. Next: conclusion.", summarizer=answer)


GAVE_UP = wrote("I cannot. Next: give up.")


def right(case: StepCase) -> Prediction:
    """The prediction that the reference wants."""
    reference = case.reference
    if reference.call is not None:
        return called(reference.call.name, reference.call.arguments_text)
    return GAVE_UP if reference.answer is None else answered(reference.answer)


def three_cases() -> list[StepCase]:
    """A call, an answer and a give up, of three trajectories."""
    return [case_of("a/1"), case_of("b/1", decision="conclusion"), case_of("c/1", decision="give up")]


def pairs_of(predictions: Mapping[str, Prediction | None]) -> list[Pair]:
    """The three cases with the right predictions, or those that are given by id."""
    return [pair(case, predictions.get(case.id, right(case))) for case in three_cases()]


def output_of(text: RoleText) -> OutputRecord:
    """A text with the figures of a role call."""
    return OutputRecord(
        role=text.role,
        prompt_sha256=DIGEST,
        text=text.text,
        prompt_tokens=100,
        completion_tokens=10,
        ttft_ms=5,
        total_ms=20.5,
    )


def run_of(pairs: list[Pair]) -> Run:
    """The whole file of a run."""
    about = RunRecord(
        suite="three",
        cases=len(pairs),
        constrained=True,
        template="toolbench",
        models={"planner": {"name": "planner-of-tests", "role": "planner"}},
    )
    predictions = (
        PredictionRecord.of(item.case.id, map(output_of, item.prediction.texts)) for item in pairs if item.prediction
    )
    return Run(about, tuple(CaseRecord.of(item.case) for item in pairs), tuple(predictions))
