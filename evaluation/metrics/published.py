"""The paper's metrics of decisions and calls, as evaluate-multi_agent.py (X-PLUG/Multi-LLM-Agent) computes them.

Plan ACC (`plan_em`): whether the published reading of the decision equals the reference's. Every step counts. A text
without a decision is read as a call, and so is right wherever a call is; `calls.decision_accuracy` is the plain metric.

Act. EM (`action_em`): where the reference calls a tool, whether the same tool is named. Arguments are ignored;
`calls.call_match` compares the complete call.

Hallu. (`hallu_rate`): whether a tool is named that was not offered. Every step counts, also those without a call, so
that a model that calls little looks better; `calls.invented_tools` is the plain metric.

Arg. F1 (`f1`, `easy_f1`, `hard_f1`): where the reference calls a tool, with the right tool, a parameter with the right
value counts 1 and one with another value 1/2, both in recall (of the reference's parameters) and in precision (of the
written ones). The easy part holds references without arguments, where only no arguments are right; the hard part the
others. Peculiarities that are reproduced:

- a wrong tool counts 0 in both parts, so the parts overlap and the total is no average of them;
- a reference whose arguments are not JSON is excluded if the tool is right, and counts 0 if it is wrong;
- values are compared as Python does: `true` equals 1, and NaN is not itself;
- the published program raises where a part holds no step; here that part has no value.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from evaluation.files.published import NOTHING, Pair, PublishedStep


def plan_accuracy(pair: Pair) -> float | None:
    """1 or 0 for every step; 0 for a missing prediction."""
    predicted = pair.published_prediction
    return float(predicted is not None and predicted.plan == pair.published_reference.plan)


def action_match(pair: Pair) -> float | None:
    """1 or 0; None where the reference calls no tool."""
    reference, predicted = pair.published_reference, pair.published_prediction
    if reference.plan != "call":
        return None
    return float(predicted is not None and predicted.name == reference.name)


def hallucination(pair: Pair) -> float | None:
    """1 or 0 for every step; 0 for a missing prediction, which invents no tool."""
    predicted = pair.published_prediction
    if predicted is None or predicted.name is None or predicted.name == NOTHING:
        return 0.0
    return float(predicted.name not in pair.offered)


HALF = 0.5


@dataclass(frozen=True)
class _Graded:
    """The F1 of a step, and the parts to which it belongs."""

    f1: float
    easy: bool
    hard: bool


def argument_f1(pair: Pair) -> float | None:
    """From 0 to 1; None where the reference calls no tool, or has unparseable arguments."""
    graded = _graded(pair)
    return None if graded is None else graded.f1


def easy_argument_f1(pair: Pair) -> float | None:
    """The same for references without arguments, and for wrong tools; None elsewhere."""
    graded = _graded(pair)
    return graded.f1 if graded is not None and graded.easy else None


def hard_argument_f1(pair: Pair) -> float | None:
    """The same for references with arguments, and for wrong tools; None elsewhere."""
    graded = _graded(pair)
    return graded.f1 if graded is not None and graded.hard else None


def _graded(pair: Pair) -> _Graded | None:
    reference, predicted = pair.published_reference, pair.published_prediction
    if reference.plan != "call":
        return None
    if predicted is None or predicted.name != reference.name:
        return _Graded(0.0, easy=True, hard=True)
    return _graded_arguments(reference, predicted)


def _graded_arguments(reference: PublishedStep, predicted: PublishedStep) -> _Graded | None:
    try:
        wanted = json.loads(reference.arguments or "")
    except (ValueError, RecursionError):
        return None
    easy = wanted == {}
    return _Graded(_f1(wanted, predicted.arguments or ""), easy=easy, hard=not easy)


def _f1(wanted: Any, text: str) -> float:
    try:
        written = json.loads(text)
    except (ValueError, RecursionError):
        return 0.0
    if wanted == {}:
        return float(written == {})
    if not isinstance(wanted, dict) or not isinstance(written, dict):
        return 0.0
    credit = sum(_credit(written[name], value) for name, value in wanted.items() if name in written)
    # Harmonic mean of credit / len(wanted) and credit / len(written).
    return 2 * credit / (len(wanted) + len(written))


def _credit(written: Any, wanted: Any) -> float:
    return 1.0 if written == wanted else HALF
