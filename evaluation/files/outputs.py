"""The texts of the role models at a step, parsed strictly with the parsers of serving.

Unparseable text is neither repaired nor guessed: the prediction lacks the part, and `unreadable` has the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alpha_umi.roles.backbone import call_start, parse_step
from alpha_umi.roles.caller import Call, parse_call
from alpha_umi.roles.errors import UnreadableOutput
from alpha_umi.roles.planner import Decision, parse_plan, write_plan
from alpha_umi.roles.summarizer import parse_answer
from alpha_umi.roles.turns import Role


@dataclass(frozen=True)
class RoleText:
    """The raw text that one role model generated at a step."""

    role: Role
    text: str


@dataclass(frozen=True)
class Prediction:
    """The parsed texts of a step. `decision` is None if the planner's text has none.

    `call` belongs to the decision `caller`, `answer` to `conclusion`; each is None if it is missing or cannot be
    parsed.
    """

    texts: tuple[RoleText, ...]
    decision: Decision | None = None
    rationale: str = ""
    call: Call | None = None
    answer: str | None = None
    unreadable: str | None = None

    def text_of(self, role: Role) -> str | None:
        """The raw text of a role; None if the role was not called."""
        return next((text.text for text in self.texts if text.role == role), None)


def read_prediction(texts: Sequence[RoleText]) -> Prediction:
    """Parse a step: the texts of the planner and of the role that it chose, or the single model's one text."""
    wrote = Prediction(tuple(texts))
    backbone = wrote.text_of("backbone")
    try:
        return _read_roles(wrote) if backbone is None else _read_backbone(wrote, backbone)
    except UnreadableOutput as error:
        return Prediction(wrote.texts, unreadable=str(error))


def planner_turn(prediction: Prediction) -> str:
    """The planner's turn: its raw text, or the single model's decision in the planner's form."""
    text = prediction.text_of("planner")
    if text is not None:
        return text
    if prediction.decision is None:
        return prediction.text_of("backbone") or ""
    return write_plan(prediction.rationale, prediction.decision)


def _read_roles(wrote: Prediction) -> Prediction:
    plan = parse_plan(wrote.text_of("planner") or "")
    decided = Prediction(wrote.texts, plan.next, plan.thought)
    try:
        return _with_result(decided)
    except UnreadableOutput as error:
        return Prediction(wrote.texts, plan.next, plan.thought, unreadable=str(error))


def _with_result(decided: Prediction) -> Prediction:
    match decided.decision:
        case "caller":
            call = parse_call(_wanted(decided, "caller"))
            return Prediction(decided.texts, decided.decision, decided.rationale, call=call)
        case "conclusion":
            answer = parse_answer(_wanted(decided, "summarizer"))
            return Prediction(decided.texts, decided.decision, decided.rationale, answer=answer)
        case _:
            return decided


def _wanted(decided: Prediction, role: Role) -> str:
    text = decided.text_of(role)
    if text is None:
        raise UnreadableOutput(f"the planner decided for {decided.decision}, but the {role} wrote nothing", "")
    return text


def _read_backbone(wrote: Prediction, text: str) -> Prediction:
    try:
        step = parse_step(text)
    except UnreadableOutput as error:
        start = call_start(text)
        if start is None:
            raise
        return Prediction(wrote.texts, "caller", text[:start].strip(), unreadable=str(error))
    return Prediction(wrote.texts, step.next, step.thought, step.call, step.answer)
