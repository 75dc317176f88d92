"""The prompts of a trajectory, rebuilt from its events with the state machine, and their blocks on a page.

The machine yields each role call with its history; the tools are in the file, and the role's model names the template.
A prompt that was shortened to fit cannot be rebuilt without the model's tokenizer. On a page prompts are folded, and a
long one is shown without the characters that an earlier prompt of the role begins with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from alpha_umi.contract.roles import as_history, as_turns
from alpha_umi.roles.backbone import ANSWER
from alpha_umi.roles.chat import render_prompt
from alpha_umi.roles.turns import Role, Tool, Turn
from alpha_umi.trajectory import (
    AskBackbone,
    AskPlanner,
    Event,
    PlannerDecided,
    RoleEffect,
    RoleFailed,
    RoleOutput,
    State,
    StepTaken,
    ToolObserved,
    effect_of,
    planner_history,
    role_of,
)
from evaluation.files.trajectory_run import TrajectoryRecord, TrajectoryRun
from evaluation.page.blocks import Block, Fold, Paragraph, verbatim
from evaluation.reporting.prompts import SHORTENED, Model, NoPrompt, named_template, require_same_template


class NoPrompts(ValueError):
    """None of a trajectory's prompts can be rebuilt; the text gives the reason."""


@dataclass(frozen=True)
class RolePrompt:
    """The prompt of a role at a step (None: for the closing answer).

    `text` is the exact prompt, or None where it cannot be rebuilt for the reason `why`. `remarks` are notes for the
    reader.
    """

    role: Role
    step: int | None
    text: str | None
    why: str = ""
    remarks: tuple[str, ...] = ()


def trajectory_prompts(run: TrajectoryRun, record: TrajectoryRecord) -> list[RolePrompt]:
    """Every prompt of a trajectory in order. Raises `NoPrompts`."""
    tools = run.offered(record)
    if tools is None:
        raise NoPrompts("the file does not have the tools as they were offered, because an earlier version wrote it")
    if not run.about.models:
        raise NoPrompts("the file does not name the models, and so not their templates: no role service was reachable")
    return [_prompt(*call, tools, run.about.models) for call in _role_calls(record)]


def _role_calls(record: TrajectoryRecord) -> Iterator[tuple[RoleEffect, State, Event]]:
    """Every role call with an outcome: its effect, the state in which it was made, and the outcome's event."""
    for transition in record.transitions:
        effect, event = effect_of(transition.before), transition.event
        if isinstance(effect, RoleEffect) and isinstance(event, RoleOutput | ToolObserved | RoleFailed):
            yield effect, transition.before, event


def _prompt(
    effect: RoleEffect,
    state: State,
    event: Event,
    tools: Sequence[Tool],
    models: Mapping[Role, Model],
) -> RolePrompt:
    role, closes = role_of(effect), state.is_closing
    step = None if closes else effect.step
    try:
        if _shortened(event):
            raise NoPrompt(SHORTENED)
        if role != "summarizer" and any(step.observation and step.observation.truncated for step in state.steps):
            raise NoPrompt(_READS_MORE)
        text = _rendered(role, models.get(role, {}), state, _history(effect, state), tools)
    except NoPrompt as error:
        return RolePrompt(role, step, None, str(error))
    if isinstance(effect, AskBackbone) and effect.conclude:
        # The prefix of the answer is given to the model.
        text += ANSWER
    return RolePrompt(role, step, text, remarks=tuple(_remarks(event)))


_READS_MORE: Final = "a result had been shortened, so the tool read_more was offered as well"


def _history(effect: RoleEffect, state: State) -> tuple[Turn, ...]:
    return as_history(as_turns(planner_history(state) if isinstance(effect, AskPlanner) else state.history))


def _rendered(role: Role, model: Model, state: State, history: Sequence[Turn], tools: Sequence[Tool]) -> str:
    """Raises `NoPrompt`. Without a recorded digest of the prompt, the template must have the model's digest."""
    label, template = model.get("planner_label", "assistant"), named_template(model)
    require_same_template(model, template)
    return render_prompt(
        role,
        template,
        history=history,
        tools=tools,
        planner_label=label,
        answer_schema=state.options.answer_schema if role == "summarizer" else None,
    ).text


def _shortened(event: Event) -> bool:
    return isinstance(event, RoleOutput) and event.truncated


def _remarks(event: Event) -> Iterator[str]:
    attempts = (event.attempts or 0) if isinstance(event, RoleOutput | ToolObserved) else 0
    if isinstance(event, RoleFailed):
        yield "no answer came"
    elif attempts > 1:
        yield f"the role wrote {attempts} times, and this was its first prompt"
    unreadable = isinstance(event, PlannerDecided | StepTaken) and event.unreadable
    if unreadable or isinstance(event, RoleFailed | ToolObserved):
        yield "whether the history was shortened is recorded for parsed outputs only"


# A prompt up to this length is always shown in full.
MAX_CHARACTERS_IN_FULL: Final = 2_000
_MADE_AGAIN: Final = "rebuilt from the trajectory's events"


@dataclass(frozen=True)
class PromptFolds:
    """The prompts by their steps, and notes on all of them."""

    notes: tuple[Block, ...] = ()
    shown: Sequence[tuple[int | None, Block]] = ()

    def of_step(self, index: int) -> list[Block]:
        """The prompts of a step."""
        return [block for step, block in self.shown if step == index]

    def after(self, steps: int) -> list[Block]:
        """The prompts after the last of `steps` steps: of the closing answer, and of a role that failed."""
        return [block for step, block in self.shown if step is None or step >= steps]


def prompt_folds(run: TrajectoryRun, record: TrajectoryRecord) -> PromptFolds:
    """The prompts of a trajectory. A reason why none of them can be rebuilt is given once."""
    try:
        prompts = trajectory_prompts(run, record)
    except NoPrompts as error:
        return PromptFolds(_no_prompts(str(error)))
    reasons = {prompt.why for prompt in prompts}
    if len(reasons) == 1 and not any(prompt.text for prompt in prompts):
        return PromptFolds(_no_prompts(reasons.pop()))
    bases = _Bases()
    return PromptFolds(shown=[(prompt.step, _block(prompt, bases)) for prompt in prompts])


def _no_prompts(why: str) -> tuple[Block, ...]:
    return (Paragraph(f"The prompts of this trajectory cannot be rebuilt: {why}."),)


def _block(prompt: RolePrompt, bases: _Bases) -> Block:
    name = f"The {prompt.role}'s exact prompt"
    if prompt.text is None:
        return Paragraph(f"{name} cannot be rebuilt: {prompt.why}.")
    begins, common = bases.of(prompt, prompt.text)
    shown = verbatim("; ".join((_MADE_AGAIN, *prompt.remarks, *begins)), prompt.text[common:])
    return Fold(f"{name}, {len(prompt.text):,} characters", [shown])


@dataclass
class _Bases:
    """The newest prompt of each role that is shown in full."""

    bases: dict[Role, tuple[str, str]] = field(default_factory=dict)

    def of(self, prompt: RolePrompt, text: str) -> tuple[tuple[str, ...], int]:
        """A note on the characters that a text shares with an earlier one, and their number.

        A short text, or one that shares less than half, is shown in full: no note, and 0.
        """
        base, place = self.bases.get(prompt.role, ("", ""))
        common = _common(base, text)
        if len(text) <= MAX_CHARACTERS_IN_FULL or 2 * common < len(text):
            self.bases[prompt.role] = text, _place(prompt)
            return (), 0
        return (
            f"without its first {common:,} characters, which are those of the {prompt.role}'s prompt {place}",
        ), common


def _common(one: str, other: str) -> int:
    """The length of the common prefix, up to the beginning of a word."""
    pairs = enumerate(zip(one, other, strict=False))
    same = next((place for place, (first, second) in pairs if first != second), min(len(one), len(other)))
    return max(one.rfind(space, 0, same) for space in " \n") + 1


def _place(prompt: RolePrompt) -> str:
    return "for the closing answer" if prompt.step is None else f"of step {prompt.step + 1}"
