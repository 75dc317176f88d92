"""Examples of steps behind the numbers of a report, chosen by metric, decision, role and error class."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from alpha_umi.plain_text import beginning
from alpha_umi.roles.turns import Role, Tool, Turn
from evaluation.files.published import Pair
from evaluation.files.step_run import OutputRecord, PredictionRecord
from evaluation.metrics import METRICS, Metric
from evaluation.metrics.calls import argument_validity, call_match, invented_tools
from evaluation.metrics.confusion import predicted_column
from evaluation.page.blocks import Block, Cell, Fold, Listing, Paragraph, Section, Table, Verbatim, verbatim
from evaluation.reporting.examples import EXAMPLES_PER_CELL, Chosen, Group, choose
from evaluation.reporting.inputs import StepsRun
from evaluation.reporting.prompts import NoPrompt, exact_prompt

# The column with the total of a row of the confusion matrix.
IN_ALL: Final = "in all"


@dataclass(frozen=True)
class StepExamples:
    """A run, the error class of each of its steps, and the chosen examples."""

    run: StepsRun
    classes: tuple[ErrorClass, ...]
    groups: tuple[Group, ...]
    chosen: Chosen


def step_examples(run: StepsRun, each: int = EXAMPLES_PER_CELL) -> StepExamples:
    """Choose `each` examples for every figure of the run. Raises `NotTheFormat` for an invalid tool schema."""
    classes = tuple(error_class(pair, run.predictions.get(pair.case.id)) for pair in run.pairs)
    groups = (*_class_groups(run, classes), *_decision_groups(run), *_metric_groups(run), *_role_groups(run))
    return StepExamples(run, classes, groups, choose(groups, each))


def step_examples_section(behind: StepExamples) -> Section:
    """The lists to which figures link, and the steps to which the lists link."""
    run = behind.run
    shown = len(behind.chosen.places)
    message = f"{shown:,} of {len(run.pairs):,} steps are shown; {run.named.path.name} has the others."
    steps = [step_fold(run, place, behind.classes[place]) for place in behind.chosen.places]
    return Section(
        f"Steps of {run.named.title}",
        [
            Paragraph(message),
            *_lists(behind),
            Section(f"The steps of {run.named.key}, folded", steps),
        ],
        run.named.anchor("steps"),
        detail=True,
    )


def metric_anchor(run: StepsRun, name: str) -> str:
    """The anchor of a metric's list of steps."""
    return run.named.anchor("metric", name)


def decision_anchor(run: StepsRun, right: str, predicted: str) -> str:
    """The anchor of the steps of a cell of the confusion matrix."""
    return run.named.anchor("decision", right, predicted)


def class_anchor(run: StepsRun, name: str) -> str:
    """The anchor of the steps of an error class."""
    return run.named.anchor("class", name)


def role_anchor(run: StepsRun, role: str) -> str:
    """The anchor of the steps of a role."""
    return run.named.anchor("role", role)


def _lists(behind: StepExamples) -> Iterator[Block]:
    for group in behind.groups:
        places = behind.chosen.by_group[group.anchor]
        if not places:
            continue
        links = [_link(behind, place) for place in places]
        title = f"{group.title}: {len(places):,} of {len(group.places):,}"
        yield Section(title, [Listing(links)], group.anchor)


def _link(behind: StepExamples, place: int) -> Cell:
    return Cell(step_link(behind.run, place, behind.classes[place]), step_anchor(behind.run, place))


def _class_groups(run: StepsRun, classes: Sequence[ErrorClass]) -> Iterator[Group]:
    for name in CLASSES:
        places = [place for place, step_class in enumerate(classes) if step_class == name]
        yield Group(class_anchor(run, name), f"{run.named.key}, {name}", places)


def _decision_groups(run: StepsRun) -> Iterator[Group]:
    cells = [(pair.case.reference.decision, predicted_column(pair)) for pair in run.pairs]
    for right, counts in run.report.decisions.items():
        for predicted in counts:
            places = [place for place, cell in enumerate(cells) if cell == (right, predicted)]
            title = f"{run.named.key}, {right} is right, {predicted} was predicted"
            yield Group(decision_anchor(run, right, predicted), title, places)
        places = [place for place, cell in enumerate(cells) if cell[0] == right]
        yield Group(decision_anchor(run, right, IN_ALL), f"{run.named.key}, {right} is right", places)


def _role_groups(run: StepsRun) -> Iterator[Group]:
    """The steps of each role, failures first, then by decreasing time."""
    for role in run.report.costs:
        message = [_spent(run.predictions.get(pair.case.id), role) for pair in run.pairs]
        spent = {place: value for place, value in enumerate(message) if value is not None}
        places = sorted(spent, key=lambda place: spent[place], reverse=True)
        yield Group(role_anchor(run, role), f"{run.named.key}, the {role}, failures and the slowest first", places)


def _metric_groups(run: StepsRun) -> Iterator[Group]:
    for metric in METRICS:
        title = f"{run.named.key}, {metric.title}, the worst first"
        yield Group(metric_anchor(run, metric.name), title, _worst_first(run, metric))


def _worst_first(run: StepsRun, metric: Metric[Pair]) -> list[int]:
    values = {place: value for place, pair in enumerate(run.pairs) if (value := metric.of(pair)) is not None}
    return sorted(values, key=lambda place: values[place], reverse=metric.better == "lower")


def _spent(record: PredictionRecord | None, role: Role) -> float | None:
    """Milliseconds of a role: infinite after a failure, None if the role was not called."""
    if record is None:
        return None
    if record.error is not None and record.error.role == role:
        return math.inf
    return next((output.total_ms for output in record.outputs if output.role == role), None)


SUMMARY_CHARACTERS = 90
NOTHING = "–"


def step_fold(run: StepsRun, place: int, error_class: ErrorClass) -> Fold:
    """The step at an index of the run, folded."""
    pair = run.pairs[place]
    record = run.predictions.get(pair.case.id)
    question = beginning(pair.case.instruction, SUMMARY_CHARACTERS)
    blocks = [_compared(pair), *_roles(run, pair, record), _conversation(pair), _tools(pair)]
    title = f"{run.named.key} · {pair.case.id} · {error_class}: {question}"
    return Fold(title, blocks, step_anchor(run, place))


def step_anchor(run: StepsRun, place: int) -> str:
    """The anchor of a step."""
    return run.named.anchor("step", place + 1)


def step_link(run: StepsRun, place: int, error_class: ErrorClass) -> str:
    """The text of a link to a step."""
    return f"{run.pairs[place].case.id} ({error_class})"


def _compared(pair: Pair) -> Table:
    """The reference beside the parsed prediction."""
    right, wrote = pair.case.reference, pair.prediction
    rows = [
        ["decision", right.decision, (wrote.decision if wrote else None) or "unreadable"],
        ["tool", right.call.name if right.call else NOTHING, wrote.call.name if wrote and wrote.call else NOTHING],
        ["arguments", *(_cut(call.arguments_text if call else None) for call in (right.call, wrote and wrote.call))],
        ["answer", _cut(right.answer), _cut(wrote.answer if wrote else None)],
        ["rationale", _cut(right.rationale), _cut(wrote.rationale if wrote else None)],
    ]
    if wrote is not None and wrote.unreadable:
        rows.append(["not readable", NOTHING, _cut(wrote.unreadable)])
    return Table(f"Step {pair.case.step} of {pair.case.trajectory}", ["", "reference", "predicted"], rows, (0, 1, 2))


def _roles(run: StepsRun, pair: Pair, record: PredictionRecord | None) -> Iterator[Block]:
    if record is None:
        yield Paragraph("Nothing was predicted for this step.", warning=True)
        return
    for output in record.outputs:
        yield verbatim(f"The {output.role} wrote ({_cost(output)})", output.text)
        yield _prompt(run, pair, output)
    if record.error is not None:
        status = f", status {record.error.status}" if record.error.status else ""
        message = (
            f"The {record.error.role} answered with an error ({record.error.problem}{status}): {record.error.detail}"
        )
        yield Paragraph(beginning(message, 2_000), warning=True)


def _prompt(run: StepsRun, pair: Pair, output: OutputRecord) -> Block:
    try:
        prompt = exact_prompt(pair, output, run.run.about.models)
    except NoPrompt as error:
        return Paragraph(f"The {output.role}'s prompt cannot be rebuilt: {error}.")
    label = f"prompt of {len(prompt):,} characters, with the digest in the file"
    return Fold(f"The {output.role}'s exact prompt", [verbatim(label, prompt)])


def _conversation(pair: Pair) -> Fold:
    turns = [_turn(turn) for turn in pair.case.history]
    return Fold(f"The history ({len(turns)} turn{'s' * (len(turns) != 1)})", turns)


def _turn(turn: Turn) -> Verbatim:
    return verbatim(turn.role, turn.content)


def _tools(pair: Pair) -> Fold:
    tools = pair.case.tools
    return Fold(f"The offered tools ({len(tools)})", [verbatim("one tool a line", "\n".join(map(_tool, tools)))])


def _tool(tool: Tool) -> str:
    return json.dumps(
        {"name": tool.name, "description": tool.description, "parameters": tool.parameters}, ensure_ascii=False
    )


def _cost(output: OutputRecord) -> str:
    again = f", attempt {output.attempts}" if output.attempts > 1 else ""
    return f"{output.prompt_tokens:,} + {output.completion_tokens:,} tokens, {output.total_ms:,.0f} ms{again}"


def _cut(text: str | None) -> str:
    return NOTHING if text is None else beginning(text, 600) or "(empty)"


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
# In the order in which they are checked, with their descriptions.
CLASSES: Final[dict[ErrorClass, str]] = {
    "missing": "no prediction; the run may have been interrupted",
    "error of the service": "a role service answered with an error instead of a text",
    "unreadable": "a text without a decision, or without a parseable call",
    "wrong decision": "a decision other than the reference's",
    "invented tool": "a call of a tool that was not offered",
    "wrong tool": "a call of a tool other than the reference's",
    "argument not allowed": "the right tool, with arguments that its schema rejects",
    "wrong argument": "the right tool, with other arguments than the reference's",
    "right": "the reference's decision and, for a call, the same call; answers are not judged here",
}


def error_class(pair: Pair, record: PredictionRecord | None) -> ErrorClass:
    """The error class of a step. Raises `NotTheFormat` for an invalid tool schema."""
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
    """The class of a step where both decisions are a call and the predicted call can be parsed."""
    predicted, wanted = pair.prediction, pair.case.reference.call
    if invented_tools(pair):
        return "invented tool"
    if (
        predicted
        and predicted.call
        and wanted
        and Tool(predicted.call.name).prompt_name != Tool(wanted.name).prompt_name
    ):
        return "wrong tool"
    if call_match(pair):
        return "right"
    return "wrong argument" if argument_validity(pair) else "argument not allowed"
