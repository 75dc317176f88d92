"""The role examples of trajectories, collected by split and role, with counts of what was left out."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final, Literal

from alpha_umi.roles.turns import RoleName
from evaluation.cases import StepCase
from evaluation.suites.cases import steps_without_reference
from evaluation.suites.recorded import RecordedTrajectory
from training.examples import ROLES, SPLITS, Example, Split, TokenRecord
from training.role_examples import TOO_LONG, Fitting, Measured, learnable, role_steps

THE_SAME: Final = "the same prompt and target as before"
Dropped = dict[Literal["trajectories", "steps", RoleName], dict[str, int]]


class Collection:
    """Examples as they are made."""

    def __init__(self, fitting: Fitting) -> None:
        self._fitting = fitting
        self._made: dict[tuple[Split, RoleName], list[Measured]] = {
            (split, role): [] for split in SPLITS for role in ROLES
        }
        self._seen: set[tuple[Split, RoleName, str, str]] = set()
        self._steps: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._examples: defaultdict[tuple[str, RoleName], Counter[str]] = defaultdict(Counter)

    def add(self, source: str, split: Split, trajectory: RecordedTrajectory) -> None:
        """Make the examples of a trajectory."""
        self._steps[source] += steps_without_reference([trajectory])
        for case in learnable(trajectory, self._steps[source]):
            self._add_step(source, split, trajectory, case)

    def _add_step(self, source: str, split: Split, trajectory: RecordedTrajectory, case: StepCase) -> None:
        for step in role_steps(trajectory, case):
            made = self._fitting.example(source, trajectory, case, step)
            if made is None:
                self._examples[source, step.role][TOO_LONG] += 1
                continue
            key = (split, step.role, made.example.prompt.text, step.target)
            if key in self._seen:
                self._examples[source, step.role][THE_SAME] += 1
            else:
                self._seen.add(key)
                self._made[split, step.role].append(made)

    def examples(self, split: Split, role: RoleName) -> Iterator[Example]:
        """The examples of a role, in order."""
        return (made.example for made in self._made[split, role])

    def counts(self, source: str) -> dict[Split, dict[RoleName, int]]:
        """How many examples a source has."""
        return {
            split: {role: sum(each.source == source for each in self.examples(split, role)) for role in ROLES}
            for split in SPLITS
        }

    def dropped(self, source: str) -> Dropped:
        """How many steps and examples of a source were left out, by the reason."""
        steps: Dropped = {"steps": dict(self._steps[source])} if self._steps[source] else {}
        return steps | {role: dict(self._examples[source, role]) for role in ROLES if self._examples[source, role]}

    def tokens(self) -> dict[Split, dict[RoleName, TokenRecord]]:
        """How long the examples are, of the roles that have some."""
        return {
            split: {role: _tokens(self._made[split, role]) for role in ROLES if self._made[split, role]}
            for split in SPLITS
        }


def _tokens(made: list[Measured]) -> TokenRecord:
    prompts = sorted(each.whole_prompt for each in made)
    return TokenRecord(
        total=sum(each.prompt + each.target for each in made),
        targets=sum(each.target for each in made),
        prompt_median=round(statistics.median(prompts)),
        prompt_p90=prompts[(len(prompts) * 9 - 1) // 10],
        shortened=sum(each.shortened for each in made),
    )
