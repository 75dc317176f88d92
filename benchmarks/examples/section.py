"""The section of the page of results: what was answered, and how what was not went wrong."""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from alpha_umi.contract.trajectories import StepModel, Trajectory
from benchmarks.examples.asking import example_tool_names
from benchmarks.examples.questions import Judged
from benchmarks.results.section import machine, models_sentence
from benchmarks.results.tables import NO_FIGURE, table
from evaluation.results import trained_on_sentences
from evaluation.statistics.bootstrap import wilson_interval
from evaluation.whole_run import WholeRunRecord

HEADER = ("instruction", "facts", "ended", "steps", "tokens", "seconds", "answer")
ANSWER_CHARACTERS = 100
THOUGHT_CHARACTERS = 200
CALL_CHARACTERS = 160


def section(title: str, command: str, about: WholeRunRecord, all_judged: Sequence[Judged]) -> str:
    """The whole section."""
    wrong = [each for each in all_judged if not each.right]
    parts = [
        f"## {title}",
        f"Made by `{command}` on {machine()}: the {len(all_judged)} questions of "
        "[`instructions.jsonl`](../examples/instructions.jsonl), put to a whole system, each with all "
        f"{len(example_tool_names())} example tools on offer and at most {about.max_steps} steps. An answer is right "
        "when it holds all facts of its question. Tokens are those of the prompts and those that were written.",
        models_sentence(about.models) or "The models are not known: the role services could not be asked.",
        *(f"**Warning: {sentence}.**" for sentence in trained_on_sentences(about.models)),
        _summary(all_judged),
        table(HEADER, [*map(_row, all_judged)], texts=(0, 1, 2, 6)),
    ]
    if wrong:
        parts += ["### Without the expected facts", *(_failure(each) for each in wrong)]
    return "\n\n".join(parts)


def _summary(all_judged: Sequence[Judged]) -> str:
    right, n = sum(each.right for each in all_judged), len(all_judged)
    spread = wilson_interval(right, n)
    ends = Counter(_ended(each) for each in all_judged)
    return (
        f"**{right} of {n}** were answered with the expected facts (95 % interval {100 * spread.low:.0f} to "
        f"{100 * spread.high:.0f} %). They ended as: {', '.join(f'{end} {count}' for end, count in ends.items())}."
    )


def _row(each: Judged) -> list[str]:
    instruction, verdict = text(each.question.instruction), "right" if each.right else "**wrong**"
    if each.asked is None:
        return [instruction, verdict, _ended(each), *[NO_FIGURE] * 4]
    trajectory = each.asked.trajectory
    tokens = f"{trajectory.usage.prompt_tokens:,} + {trajectory.usage.completion_tokens:,}"
    answer = NO_FIGURE if trajectory.answer is None else text(trajectory.answer, ANSWER_CHARACTERS)
    return [instruction, verdict, _ended(each), f"{len(trajectory.steps)}", tokens, _seconds(trajectory), answer]


def _ended(each: Judged) -> str:
    return "not asked" if each.asked is None else each.asked.trajectory.status.replace("_", " ")


def _seconds(trajectory: Trajectory) -> str:
    if trajectory.finished_at is None:
        return NO_FIGURE
    return f"{(trajectory.finished_at - trajectory.created_at).total_seconds():,.1f}"


def _failure(each: Judged) -> str:
    facts = ", ".join(code(str(fact)) for fact in each.missing)
    lines = [f"**{text(each.question.instruction)}** It lacks {facts}; it ended as: {_ended(each)}.", ""]
    if each.asked is not None:
        trajectory = each.asked.trajectory
        lines += [f"{step.index + 1}. {told}" for step in trajectory.steps for told in [_step(step)]]
        if trajectory.error is not None:
            lines += [f"- the error: {text(trajectory.error.detail, THOUGHT_CHARACTERS)}"]
        if trajectory.answer is not None:
            lines += [f"- the answer: {text(trajectory.answer, 2 * THOUGHT_CHARACTERS)}"]
    return "\n".join(lines).strip()


def _step(step: StepModel) -> str:
    return " → ".join(_told(step))


def _told(step: StepModel) -> Iterator[str]:
    """Thought, decision or call, and observation."""
    yield text(step.thought, THOUGHT_CHARACTERS) or "(no thought)"
    if step.action is None:
        yield f"*{step.next}*"
    else:
        arguments = json.dumps(step.action.arguments, ensure_ascii=False)
        yield code(f"{step.action.name}({arguments})", CALL_CHARACTERS)
    if step.observation is not None:
        said = code(step.observation.content, CALL_CHARACTERS)
        yield f"an error: {said}" if step.observation.is_error else said


def text(content: str, characters: int | None = None) -> str:
    """A text as Markdown that shows it as it is, in one line; cut after so many characters."""
    shown = html.escape(_cut(content, characters), quote=False)
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", shown)


def code(content: str, characters: int | None = None) -> str:
    """The same as code."""
    shown = _cut(content, characters).replace("`", "'").replace("<!--", "<! --")
    return f"`{shown}`" if shown else "(nothing)"


def _cut(content: str, characters: int | None) -> str:
    line = " ".join(content.split())
    return line if characters is None or len(line) <= characters else f"{line[:characters].rstrip()} …"
