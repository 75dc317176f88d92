"""The published prediction format: one JSON list with an entry per step, and the published reading of its texts.

    {"tools": [{"Name", "function", "input"}], "instruction", "history": [{"from", "value"}],
     "reference", "predictions"}

Metrics need only `tools`, `reference` and `predictions`. An entry without `predictions` is a missing prediction. Files
written here also have `id`, `trajectory` and `step`, which are optional on input: the default id is the position in the
list, and the steps of one instruction are one trajectory. A tool's `input` maps a parameter to "type, description",
which is read as a JSON Schema without required names.

A text of the format is

    assistant: RATIONALE Next: caller.</s>caller: Action: NAME
    Action Input: JSON</s>

It is read as `GLPFT/inference_utils/toolbench/evaluate-multi_agent.py` (X-PLUG/Multi-LLM-Agent) does, so that the
metrics agree with that program. The reading is lenient where `evaluation.files.outputs` is strict:

- decisions are searched in the complete text, `give up` before `conclusion`; a text with neither is a call;
- name and arguments follow the last `Action:` and `Action Input:` between the first and the second `</s>`;
- an answer follows the last `conclusion: `; without one it is the complete text.

Where that program raises there is nothing to agree with: a call without any `</s>` names nothing, and a `conclusion:`
without a space after it is none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from alpha_umi.atomic import write_file
from alpha_umi.roles.backbone import call_start
from alpha_umi.roles.caller import Call
from alpha_umi.roles.planner import Decision, write_plan
from alpha_umi.roles.turns import Role, Tool, tool_line
from evaluation.errors import NoReference
from evaluation.files.outputs import Prediction, RoleText, planner_turn, read_prediction
from recordings.cases import Reference, StepCase
from recordings.contamination import instruction_digest
from recordings.errors import FORMAT_REMEDY, NotTheFormat, some
from recordings.formats.toolbench import SPEAKERS, PublishedTool, PublishedTurn, history_of, tool_of
from recordings.reading import not_the_format, parse_json, read_text, refuse_duplicates

CUT_REMEDY = "write the complete file again"
_DECISIONS: dict[str, Decision] = {"give up": "give up", "finish": "conclusion", "call": "caller"}


class _Wire(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class PublishedEntry(_Wire):
    """One step with its reference and its prediction."""

    id: str | None = None
    trajectory: str | None = None
    step: Annotated[int, Field(ge=1)] | None = None
    tools: list[PublishedTool]
    instruction: str = ""
    history: list[PublishedTurn] = Field(default_factory=list)
    reference: str | None = None
    predictions: str | None = None


def read_published_file(path: Path) -> list[Pair]:
    """The steps of a file with their predictions. Raises `EvaluationError` for a file that is not in the format."""
    entries = _entries(path)
    ids = [entry.id or str(place) for place, entry in enumerate(entries, start=1)]
    refuse_duplicates(ids, f"{path}: entries")
    orphans = [name for name, entry in zip(ids, entries, strict=True) if entry.reference is None]
    if orphans:
        raise NoReference(
            f"{path}: without a `reference`: entry {some(orphans)}", remedy="add the reference, or remove the entry"
        )
    return [_pair(name, entry) for name, entry in zip(ids, entries, strict=True)]


def write_published_file(path: Path, pairs: Iterable[Pair]) -> None:
    """Write cases and predictions in the published format."""
    entries = [_entry(pair) for pair in pairs]
    write_file(path, json.dumps(entries, indent=1) + "\n")


def reference_of(text: str) -> Reference:
    """A published reference. If its text cannot be parsed strictly, its decision is that of the published reading."""
    read = read_prediction(split_turns(text))
    decision = read.decision or _DECISIONS[read_published(text).plan]
    return Reference(decision, read.rationale, read.call, read.answer)


def _entries(path: Path) -> list[PublishedEntry]:
    value = parse_json(read_text(path), str(path), cut_remedy=CUT_REMEDY)
    if not isinstance(value, list):
        raise NotTheFormat(f"{path} is not a list of entries", remedy=f"{FORMAT_REMEDY}; records need no --format")
    return [_read_entry(entry, f"{path}, entry {place}") for place, entry in enumerate(value, start=1)]


def _read_entry(entry: Any, place: str) -> PublishedEntry:
    try:
        return PublishedEntry.model_validate(entry)
    except ValidationError as error:
        raise not_the_format(place, error) from error


def _pair(name: str, entry: PublishedEntry) -> Pair:
    reference = entry.reference or ""
    case = StepCase(
        id=name,
        trajectory=entry.trajectory or (instruction_digest(entry.instruction) if entry.instruction else name),
        step=entry.step or 1 + sum(turn.speaker == "assistant" for turn in entry.history),
        tools=tuple(map(tool_of, entry.tools)),
        history=history_of(entry.history),
        reference=reference_of(reference),
    )
    wrote = entry.predictions
    prediction = None if wrote is None else read_prediction(split_turns(wrote))
    return Pair(case, prediction, reference, wrote)


def _entry(pair: Pair) -> dict[str, Any]:
    case = pair.case
    entry = {
        "id": case.id,
        "trajectory": case.trajectory,
        "step": case.step,
        "tools": [json.loads(tool_line(tool)) for tool in case.tools],
        "instruction": case.instruction,
        "history": [{"from": SPEAKERS[turn.role], "value": turn.content} for turn in case.history],
        "reference": pair.reference_text,
    }
    return entry if pair.prediction_text is None else entry | {"predictions": pair.prediction_text}


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
    """The roles' texts in a published text, split at its ends of turns and labels."""
    first, *others = text.split(END)
    label = next((label for label in PLANNER_LABELS if first.startswith(label)), "")
    results = (_labelled(other) for other in others)
    return (RoleText("planner", first.removeprefix(label)), *filter(None, results))


def _after_last(text: str, word: str, otherwise: str) -> str:
    _, separator, after = text.rpartition(word)
    return after if separator else otherwise


def _shown(call: Call) -> str:
    """The call with the tool name that the role models see."""
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


@dataclass(frozen=True)
class Pair:
    """A case and its prediction, and the texts of both in the published form.

    `prediction` and `prediction_text` are both None for a missing prediction (`Metric.missing` defines how it counts).
    """

    case: StepCase
    prediction: Prediction | None
    reference_text: str
    prediction_text: str | None

    @cached_property
    def published_reference(self) -> PublishedStep:
        """The reference in the published reading."""
        return read_published(self.reference_text)

    @cached_property
    def published_prediction(self) -> PublishedStep | None:
        """The prediction in the published reading."""
        return None if self.prediction_text is None else read_published(self.prediction_text)

    @cached_property
    def offered(self) -> dict[str, Tool]:
        """The offered tools by the names that the role models see."""
        return {tool.prompt_name: tool for tool in self.case.tools}


def pair(case: StepCase, prediction: Prediction | None) -> Pair:
    """Put a case and its prediction together."""
    wrote = None if prediction is None else prediction_text(prediction)
    return Pair(case, prediction, reference_text(case.reference), wrote)
