"""The examples of a trajectory: what each role is shown at each step, and what it should write.

As the published preprocessing makes them (`GLPFT/process_data/toolbench` of X-PLUG/Multi-LLM-Agent): the planner learns
every decision, the caller every call, the summarizer every answer but a missing one ("none"), and the backbone all of
them, rationale and call or answer in one text. What differs, each for its reason:

- a call of a tool that is not on offer is left out as a step whatever its name, since what is learned from it is to
  invent tools; it stays in the history;
- a call that cannot be read is left out, too;
- giving up has the backbone's own prompt, where the published script repeats the prompt of the step before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from alpha_umi.roles.errors import ContextExceeded
from alpha_umi.roles.fitting import Fitted, fit
from alpha_umi.roles.template import Template, backbone_history, render
from alpha_umi.roles.turns import RoleName, Tool, Turn
from alpha_umi.serving.tokens import PromptTokenizer
from evaluation.cases import StepCase
from evaluation.instructions import instruction_digest
from evaluation.suites.cases import step_cases
from evaluation.suites.recorded import NOT_OFFERED, RecordedTrajectory
from training.counting import PromptCounter
from training.examples import Example, ExamplePrompt

TOO_LONG: Final = "tools, newest turn and target do not fit the context"
MISSING_ANSWER: Final = Turn("conclusion", "none")


@dataclass(frozen=True)
class RoleStep:
    """What one role is shown at a step, before it is fitted, and what it should write."""

    role: RoleName
    history: tuple[Turn, ...]
    target: str


@dataclass(frozen=True)
class Measured:
    """An example; the tokens of its whole prompt, before it was shortened; those of what is learned from."""

    example: Example
    whole_prompt: int
    prompt: int
    target: int
    shortened: bool


def learnable(trajectory: RecordedTrajectory, dropped: Counter[str]) -> Iterator[StepCase]:
    """The steps that can be learned from; the others are counted."""
    for case in step_cases(trajectory):
        call = case.reference.call
        offered = call is None or any(call.name in (tool.name, tool.shown_name) for tool in case.tools)
        if offered:
            yield case
        else:
            dropped[NOT_OFFERED] += 1


def role_steps(trajectory: RecordedTrajectory, case: StepCase) -> Iterator[RoleStep]:
    """What each role learns from a step."""
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
    """Makes examples that fit a context, with the code and the tokenizer of serving."""

    def __init__(self, template: Template, tokenizer: PromptTokenizer, context: int) -> None:
        self._template = template
        self._tokenizer = tokenizer
        self._context = context
        self._count = PromptCounter(tokenizer)

    def example(self, source: str, trajectory: RecordedTrajectory, case: StepCase, step: RoleStep) -> Measured | None:
        """The example of a step; None where it cannot be made to fit."""
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
        whole = self._whole(step, case.tools) if fitted.truncated else fitted.tokens
        return Measured(example, whole, fitted.tokens, target, fitted.truncated)

    def _fit(self, step: RoleStep, tools: tuple[Tool, ...], budget: int) -> Fitted:
        return fit(
            step.role,
            self._template,
            history=step.history,
            tools=tools,
            budget=budget,
            count=self._count,
        )

    def _whole(self, step: RoleStep, tools: tuple[Tool, ...]) -> int:
        thought = step.history[-1].content if step.role == "caller" else ""
        whole = render(step.role, self._template, history=step.history, tools=tools, thought=thought)
        return self._count(whole)
