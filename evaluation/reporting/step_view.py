"""One step as its reader opens it: what was right, what each role was shown and wrote, the tools."""

from __future__ import annotations

import json
from collections.abc import Iterator

from alpha_umi.plain_text import beginning
from alpha_umi.roles.turns import Tool, Turn
from evaluation.files.published import Pair
from evaluation.files.step_run import OutputRecord, PredictionRecord
from evaluation.page.blocks import Block, Fold, Paragraph, Table, Verbatim
from evaluation.page.shortened import verbatim
from evaluation.reporting.error_classes import ErrorClass
from evaluation.reporting.given import StepsRun
from evaluation.reporting.prompts import NoPrompt, exact_prompt

SUMMARY_CHARACTERS = 90
NOTHING = "–"


def step_fold(run: StepsRun, place: int, found: ErrorClass) -> Fold:
    """The step at this place of the run, to be opened."""
    pair = run.pairs[place]
    record = run.predictions.get(pair.case.id)
    question = beginning(pair.case.instruction, SUMMARY_CHARACTERS)
    blocks = [_compared(pair), *_roles(run, pair, record), _conversation(pair), _tools(pair)]
    told = f"{run.named.key} · {pair.case.id} · {found}: {question}"
    return Fold(told, blocks, step_anchor(run, place))


def step_anchor(run: StepsRun, place: int) -> str:
    """Where the step is found."""
    return run.named.anchor("step", place + 1)


def step_link(run: StepsRun, place: int, found: ErrorClass) -> str:
    """How a list names the step."""
    return f"{run.pairs[place].case.id} ({found})"


def _compared(pair: Pair) -> Table:
    """The reference beside what was read of the prediction."""
    right, wrote = pair.case.reference, pair.prediction
    rows = [
        ["decision", right.decision, (wrote.decision if wrote else None) or "none that can be read"],
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
        told = f"The {record.error.role} answered with an error ({record.error.problem}{status}): {record.error.detail}"
        yield Paragraph(beginning(told, 2_000), warning=True)


def _prompt(run: StepsRun, pair: Pair, output: OutputRecord) -> Block:
    try:
        prompt = exact_prompt(pair, output, run.run.about.models)
    except NoPrompt as error:
        return Paragraph(f"The {output.role}'s prompt cannot be made again: {error}.")
    label = f"prompt of {len(prompt):,} characters, whose digest is the one in the file"
    return Fold(f"The {output.role}'s exact prompt", [verbatim(label, prompt)])


def _conversation(pair: Pair) -> Fold:
    turns = [_turn(turn) for turn in pair.case.history]
    return Fold(f"The conversation before ({len(turns)} turn{'s' * (len(turns) != 1)})", turns)


def _turn(turn: Turn) -> Verbatim:
    return verbatim(turn.role, turn.content)


def _tools(pair: Pair) -> Fold:
    tools = pair.case.tools
    return Fold(f"The tools on offer ({len(tools)})", [verbatim("one tool a line", "\n".join(map(_tool, tools)))])


def _tool(tool: Tool) -> str:
    return json.dumps(
        {"name": tool.name, "description": tool.description, "parameters": tool.parameters}, ensure_ascii=False
    )


def _cost(output: OutputRecord) -> str:
    again = f", attempt {output.attempts}" if output.attempts > 1 else ""
    return f"{output.prompt_tokens:,} + {output.completion_tokens:,} tokens, {output.total_ms:,.0f} ms{again}"


def _cut(text: str | None) -> str:
    return NOTHING if text is None else beginning(text, 600) or "(empty)"
