"""The prompts of a whole trajectory as a page shows them: folded, and what long ones have in common shown once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from alpha_umi.roles.turns import Role
from evaluation.files.trajectory_run import TrajectoryRecord, TrajectoryRun
from evaluation.page.blocks import Block, Fold, Paragraph, verbatim
from evaluation.reporting.trajectory_prompts import NoPrompts, RolePrompt, trajectory_prompts

# A prompt up to this length is always shown whole.
MAX_CHARACTERS_IN_FULL: Final = 2_000
_MADE_AGAIN: Final = "made again from the trajectory's events"


@dataclass(frozen=True)
class PromptFolds:
    """The prompts by the step that they were shown for, and notes on all of them."""

    notes: tuple[Block, ...] = ()
    shown: Sequence[tuple[int | None, Block]] = ()

    def of_step(self, index: int) -> list[Block]:
        """Those of a step."""
        return [block for step, block in self.shown if step == index]

    def after(self, steps: int) -> list[Block]:
        """Those behind the last of so many steps: of the closing answer, and of a role that failed."""
        return [block for step, block in self.shown if step is None or step >= steps]


def prompt_folds(run: TrajectoryRun, record: TrajectoryRecord) -> PromptFolds:
    """The prompts of a trajectory. What keeps all of them from being made again is said once."""
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
    return (Paragraph(f"The prompts of this trajectory cannot be made again: {why}."),)


def _block(prompt: RolePrompt, bases: _Bases) -> Block:
    name = f"The {prompt.role}'s exact prompt"
    if prompt.text is None:
        return Paragraph(f"{name} cannot be made again: {prompt.why}.")
    begins, common = bases.of(prompt, prompt.text)
    shown = verbatim("; ".join((_MADE_AGAIN, *prompt.remarks, *begins)), prompt.text[common:])
    return Fold(f"{name}, {len(prompt.text):,} characters", [shown])


@dataclass
class _Bases:
    """The newest prompt of each role that is shown whole."""

    bases: dict[Role, tuple[str, str]] = field(default_factory=dict)

    def of(self, prompt: RolePrompt, text: str) -> tuple[tuple[str, ...], int]:
        """How many characters of a text stand in an earlier one, and words for that.

        None do in a short text, or in one that is for the greater part its own: it is shown whole itself.
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
    """How many characters both begin with, up to the beginning of a word."""
    pairs = enumerate(zip(one, other, strict=False))
    same = next((place for place, (first, second) in pairs if first != second), min(len(one), len(other)))
    return max(one.rfind(space, 0, same) for space in " \n") + 1


def _place(prompt: RolePrompt) -> str:
    return "for the closing answer" if prompt.step is None else f"of step {prompt.step + 1}"
