"""Role examples of a trajectory: the prompt and the target of each role at each step.

As in the published preprocessing (`GLPFT/process_data/toolbench` of X-PLUG/Multi-LLM-Agent): the planner learns every
decision, the caller every call, the summarizer every answer except a missing one ("none"), and the backbone all of
them, rationale and call or answer in one text. Differences:

- a call of a tool that is not offered has no example, because it would teach to invent tools; it stays in the history;
- a call that was made before and brings the same observation has none either: it would teach to repeat calls, which
  loop detection ends;
- a call that cannot be parsed has no example;
- giving up has a backbone prompt of its own, where the published script repeats the prompt of the previous step.

`PromptCounter` counts the tokens of many prompts with common parts. A tokenizer first splits a text at its special
tokens, which end turns in a template. So the tokens of a prompt are those of its pieces, and the counts of pieces such
as the tools are cached. This is verified on the first prompts; if it fails, as with tokenizers that prefix every piece,
full prompts are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from alpha_umi.roles.errors import ContextExceeded
from alpha_umi.roles.fitting import Fitted, fit
from alpha_umi.roles.template import Prompt, Template, backbone_history, render
from alpha_umi.roles.turns import Role, Tool, Turn
from alpha_umi.serving.tokens import PromptTokenizer, between_markers
from recordings.cases import StepCase, step_cases
from recordings.contamination import instruction_digest
from recordings.trajectory import NOT_OFFERED, CallKey, RecordedTrajectory, call_key
from training.examples import Example, ExamplePrompt

TOO_LONG: Final = "tools, newest turn and target do not fit the context"
REPEATED: Final = "a call that was made before, with the same observation"
MISSING_ANSWER: Final = Turn("conclusion", "none")


@dataclass(frozen=True)
class RoleStep:
    """The history and the target of one role at a step, before fitting to the context."""

    role: Role
    history: tuple[Turn, ...]
    target: str


@dataclass(frozen=True)
class Measured:
    """An example with its token counts: of the full prompt, of the fitted prompt, and of the target."""

    example: Example
    full_prompt: int
    prompt: int
    target: int
    shortened: bool


def learnable(trajectory: RecordedTrajectory, dropped: Counter[str]) -> Iterator[StepCase]:
    """The steps to learn from: without a call, or with one that is offered and no repetition. The others are counted in
    `dropped`."""
    made: set[tuple[CallKey, Turn]] = set()
    for case in step_cases(trajectory):
        reason = _unfit(trajectory, case, made)
        if reason is None:
            yield case
        else:
            dropped[reason] += 1


def _unfit(trajectory: RecordedTrajectory, case: StepCase, made: set[tuple[CallKey, Turn]]) -> str | None:
    """Why a step teaches something wrong. Adds its call and observation to those that were `made` before."""
    call = case.reference.call
    if call is None:
        return None
    if all(call.name not in (tool.name, tool.prompt_name) for tool in case.tools):
        return NOT_OFFERED
    key = call_key(call.name, call.arguments)
    results = [(key, turn) for turn in trajectory.turns[len(case.history) + 2 :][:1] if turn.role == "observation"]
    repeated = not made.isdisjoint(results)
    made.update(results)
    return REPEATED if repeated else None


def role_steps(trajectory: RecordedTrajectory, case: StepCase) -> Iterator[RoleStep]:
    """The role examples of a step, before fitting."""
    place = len(case.history)
    plan, following = trajectory.turns[place], trajectory.turns[place + 1 : place + 2]
    if case.reference.decision == "give up":
        following = ()
    if following != (MISSING_ANSWER,):
        yield RoleStep("backbone", case.history, backbone_history((plan, *following))[0].content)
    yield RoleStep("planner", case.history, plan.content)
    if case.reference.decision == "caller":
        yield RoleStep("caller", (*case.history, plan), following[0].content)
    elif case.reference.decision == "conclusion" and following != (MISSING_ANSWER,):
        yield RoleStep("summarizer", (*case.history, plan), following[0].content)


class Fitting:
    """Builds examples that fit a context, with the code and the tokenizer of serving."""

    def __init__(self, template: Template, tokenizer: PromptTokenizer, context: int) -> None:
        self._template = template
        self._tokenizer = tokenizer
        self._context = context
        self._count = PromptCounter(tokenizer)

    def example(self, source: str, trajectory: RecordedTrajectory, case: StepCase, step: RoleStep) -> Measured | None:
        """The example of a step; None if it does not fit the context."""
        target = self._tokenizer.count(step.target) + 1
        try:
            fitted = self._fit(step, case.tools, self._context - target)
        except ContextExceeded:
            return None
        prompt = fitted.prompt
        name = f"{source}/{trajectory.id}"
        example = Example(
            id=f"{name}/{case.step}/{step.role}",
            source=source,
            trajectory=name,
            step=case.step,
            role=step.role,
            instruction_sha256=instruction_digest(trajectory.instruction),
            prompt=ExamplePrompt(text=prompt.text, markers=prompt.markers, end_of_turn=prompt.end_of_turn),
            target=step.target,
        )
        full_prompt = self._full_prompt(step, case.tools) if fitted.truncated else fitted.tokens
        return Measured(example, full_prompt, fitted.tokens, target, fitted.truncated)

    def _fit(self, step: RoleStep, tools: tuple[Tool, ...], budget: int) -> Fitted[Prompt]:
        return fit(
            lambda turns: render(step.role, self._template, history=turns, tools=tools),
            step.history,
            budget=budget,
            count=self._count,
        )

    def _full_prompt(self, step: RoleStep, tools: tuple[Tool, ...]) -> int:
        return self._count(render(step.role, self._template, history=step.history, tools=tools))


# Counting by pieces is verified on this many prompts.
VERIFIED_COUNTS: Final = 16
# Pieces of prompts with cached counts.
CACHE_SIZE: Final = 4_096


class PromptCounter:
    """Counts tokens as serving does. `by_pieces` is whether counting by pieces has been correct so far."""

    def __init__(self, tokenizer: PromptTokenizer) -> None:
        self.by_pieces = True
        self._tokenizer = tokenizer
        self._piece = lru_cache(maxsize=CACHE_SIZE)(tokenizer.count)
        # Tokens that the tokenizer adds before every text.
        self._before = len(tokenizer.encode(""))
        self._to_try = VERIFIED_COUNTS

    def __call__(self, prompt: Prompt) -> int:
        """The tokens of a prompt."""
        if not self.by_pieces:
            return len(self._tokenizer.encode(prompt))
        pieces = self._before + len(prompt.markers) + sum(map(self._piece, between_markers(prompt)))
        if self._to_try == 0:
            return pieces
        self._to_try -= 1
        prompt_tokens = len(self._tokenizer.encode(prompt))
        self.by_pieces = prompt_tokens == pieces
        return prompt_tokens
