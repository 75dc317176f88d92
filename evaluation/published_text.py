"""The published form of a step: one text, which the published evaluation takes apart in a way of its own.

    assistant: RATIONALE Next: caller.</s>caller: Action: NAME
    Action Input: JSON</s>

The reading here is that of `GLPFT/inference_utils/toolbench/evaluate-multi_agent.py` (X-PLUG/Multi-LLM-Agent), so that
its figures come out the same. It is lenient where `outputs` is strict:

- decisions are looked for in the whole text, `give up` before `conclusion`; whatever has neither is a call;
- names and arguments follow the last `Action:` and `Action Input:` between the first and the second `</s>`;
- an answer follows the last `conclusion: `; without one it is the whole text.

Where that program ends with an exception there is no figure to agree with. A call without any `</s>` is read as one
that names nothing, and a `conclusion:` without a space after it as none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from alpha_umi.roles.backbone import call_start
from alpha_umi.roles.caller import Call
from alpha_umi.roles.planner import write_plan
from alpha_umi.roles.turns import Role, Tool
from evaluation.outputs import Prediction, RoleText, planner_turn
from recordings.cases import Reference

END = "</s>"
NOTHING = "none"
NO_ARGUMENTS = "{}"
# The second spelling is that of the published inference script.
PLANNER_LABELS = ("assistant: ", "asssitant: ")
CALLER_LABEL = "caller: "
ANSWER_LABEL = "conclusion: "
_RESULT_LABELS: dict[Role, str] = {"caller": CALLER_LABEL, "summarizer": ANSWER_LABEL}
_NAME = "Action:"
_ARGUMENTS = "Action Input:"


@dataclass(frozen=True)
class PublishedStep:
    """A step as the published evaluation reads it. `name` and `arguments` belong to a call, `answer` to `finish`."""

    plan: Literal["give up", "finish", "call"]
    name: str | None = None
    arguments: str | None = None
    answer: str | None = None


def read_published(text: str) -> PublishedStep:
    """Read a text as the published evaluation does."""
    if "Next: give up" in text:
        return PublishedStep("give up")
    if "Next: conclusion" in text:
        return PublishedStep("finish", answer=_after_last(text, ANSWER_LABEL, text).replace(END, ""))
    call = text.split(END)[1] if END in text else ""
    named = _after_last(call, _NAME, NOTHING).partition(_ARGUMENTS)[0]
    return PublishedStep("call", named.strip(), _after_last(call, _ARGUMENTS, NO_ARGUMENTS).strip())


def reference_text(reference: Reference) -> str:
    """A reference in the published form."""
    plan = write_plan(reference.rationale, reference.decision)
    if reference.decision == "give up":
        return plan
    called = _shown(reference.call) if reference.call else ""
    calls = reference.decision == "caller"
    result = f"{CALLER_LABEL}{called}" if calls else f"{ANSWER_LABEL}{reference.answer or ''}"
    return f"{PLANNER_LABELS[0]}{plan}{END}{result}{END}"


def prediction_text(prediction: Prediction) -> str:
    """A prediction in the published form, with the raw texts of the roles."""
    turn = planner_turn(prediction)
    if prediction.decision == "give up":
        return turn
    return "".join((PLANNER_LABELS[0], turn, END, *_results(prediction)))


def split_turns(text: str) -> tuple[RoleText, ...]:
    """The texts of the roles in a published text, by its ends of turns and labels."""
    first, *others = text.split(END)
    label = next((label for label in PLANNER_LABELS if first.startswith(label)), "")
    results = (_labelled(other) for other in others)
    return (RoleText("planner", first.removeprefix(label)), *filter(None, results))


def _after_last(text: str, word: str, otherwise: str) -> str:
    _, found, after = text.rpartition(word)
    return after if found else otherwise


def _shown(call: Call) -> str:
    """The call with its name as the role models see it."""
    return Call(Tool(call.name).prompt_name, call.arguments, call.arguments_text).text


def _results(prediction: Prediction) -> Iterator[str]:
    backbone = prediction.text_of("backbone")
    if backbone is not None and prediction.decision == "caller":
        yield f"{CALLER_LABEL}{backbone[call_start(backbone) :]}{END}"
    elif backbone is not None and prediction.decision == "conclusion":
        yield f"{ANSWER_LABEL}{prediction.answer}{END}"
    for text in prediction.texts:
        if text.role in _RESULT_LABELS:
            yield f"{_RESULT_LABELS[text.role]}{text.text}{END}"


def _labelled(text: str) -> RoleText | None:
    for role, label in _RESULT_LABELS.items():
        if text.startswith(label):
            return RoleText(role, text.removeprefix(label))
    return None
