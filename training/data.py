"""The tokenized examples of a stage: of its roles and its part of the instructions, within the context."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from alpha_umi.roles.template import load_template
from alpha_umi.roles.turns import Role
from alpha_umi.serving.tokens import PromptTokenizer
from recordings.contamination import check_training
from recordings.errors import Contaminated
from recordings.suites.definition import digests_path, read_digests, suite_names, suite_path
from training.errors import NothingLeft, PreparedUnusable, RecipeUnusable, TrainsOnSuite
from training.examples import (
    DatasetRecord,
    Example,
    Split,
    Tokenized,
    end_of_turn,
    load_tokenizer,
    read_examples,
    read_record,
    tokenize,
)
from training.loop.trees import JOINS, common_prefix
from training.recipes.model import Config, Instructions, Stage


@dataclass(frozen=True)
class StageData:
    """Tokenized examples, and the digests of their instructions.

    `origins` are the tool set and the trajectory of each training example, as numbers.
    """

    train: tuple[Tokenized, ...]
    dev: tuple[Tokenized, ...]
    instructions: frozenset[str]
    origins: tuple[tuple[int, int], ...]

    @property
    def lengths(self) -> tuple[int, ...]:
        """Tokens of each training example."""
        return tuple(len(example.input_ids) for example in self.train)


@dataclass
class PreparedData:
    """A folder of prepared data, tokenized for one backbone. Each role's examples are tokenized once."""

    folder: Path
    record: DatasetRecord
    tokenizer: PromptTokenizer
    config: Config
    _known: dict[tuple[Split, Role], list[tuple[Example, Tokenized]]] = field(default_factory=dict)

    def stage(self, stage: Stage, *, seed: int) -> StageData:
        """The data of a stage. Raises `NothingLeft`, `PreparedUnusable`."""
        train = [
            pair
            for role in stage.data
            for pair in self._examples("train", role)
            if in_part(pair[0].instruction_sha256, stage.instructions)
        ]
        if not train:
            raise NothingLeft(
                f"stage {stage.name}: {self.folder} has no training example for {', '.join(stage.data)} "
                f"({stage.instructions} of the instructions)",
                remedy="prepare data with such examples; dataset.json counts them",
            )
        dev = [tokens for role in stage.data for _, tokens in self._examples("dev", role)]
        # A deterministic sample; no secure random numbers are needed.
        chosen = random.Random(seed).sample(dev, min(len(dev), self.config.dev_examples))  # noqa: S311
        instructions = frozenset(example.instruction_sha256 for example, _ in train)
        return StageData(tuple(tokens for _, tokens in train), tuple(chosen), instructions, origins(train))

    def _examples(self, split: Split, role: Role) -> list[tuple[Example, Tokenized]]:
        if (split, role) not in self._known:
            pairs = [
                (example, tokenize(example, self.tokenizer)) for example in read_examples(self.folder, split, role)
            ]
            for example, tokens in pairs:
                self._require_fitting(example, tokens)
            self._known[split, role] = pairs
        return self._known[split, role]

    def _require_fitting(self, example: Example, tokens: Tokenized) -> None:
        if len(tokens.input_ids) > self.config.context:
            raise PreparedUnusable(
                f"{self.folder}: example {example.id} has {len(tokens.input_ids):,} tokens, and the context of the "
                f"config {self.config.name} is {self.config.context:,}",
                remedy=f"prepare the data with a context of {self.config.context:,}, or raise the config's",
            )


def open_data(folder: Path, config: Config, backbone: Path) -> PreparedData:
    """Prepared data for a backbone, with its digest and contamination checked.

    Raises `PreparedUnusable`, `TrainsOnSuite`, `RecipeUnusable` for data in another template, `NoEndOfTurn`,
    `BackboneUnusable`.
    """
    record = read_record(folder)
    _refuse_suites(folder, record)
    template = load_template(config.template)
    if record.template != config.template:
        raise RecipeUnusable(
            f"config {config.name}: template is {config.template}, and {folder} was prepared in {record.template}",
            remedy=f"prepare the data with the template {config.template}, or change the config",
        )
    if record.template_digest != template.digest:
        raise PreparedUnusable(
            f"{folder}: the template {template.name} has changed since the data was prepared",
            remedy="prepare the data again with `alpha-umi train prepare`",
        )
    tokenizer = load_tokenizer(backbone)
    end_of_turn(template.end_of_turn, tokenizer)
    return PreparedData(folder, record, tokenizer, config)


def _refuse_suites(folder: Path, record: DatasetRecord) -> None:
    """Refuse instructions of suites. `prepare` excludes them, but data may have another origin."""
    recorded = {name: read_digests(digests_path(suite_path(name))) for name in suite_names()}
    try:
        check_training(record.trained_on, {name: digests for name, digests in recorded.items() if digests is not None})
    except Contaminated as error:
        remedy = "prepare the data with `alpha-umi train prepare`, which excludes them"
        raise TrainsOnSuite(f"{folder}: {error.message}", remedy=remedy) from error


def origins(pairs: Sequence[tuple[Example, Tokenized]]) -> tuple[tuple[int, int], ...]:
    """The tool set and the trajectory of each example, as numbers.

    Prepared data does not name tool sets. Prompts begin with the tools, so that examples with a long common prefix have
    the same ones.
    """
    ordered = sorted(range(len(pairs)), key=lambda number: pairs[number][1].input_ids)
    tool_sets: dict[int, int] = {}
    before: tuple[int, ...] = ()
    tool_set = -1
    for number in ordered:
        ids = pairs[number][1].input_ids
        if common_prefix(before, ids) < JOINS * len(ids):
            tool_set += 1
        tool_sets[number], before = tool_set, ids
    trajectories: dict[tuple[str, str], int] = {}
    return tuple(
        (tool_sets[number], trajectories.setdefault((example.source, example.trajectory), len(trajectories)))
        for number, (example, _) in enumerate(pairs)
    )


def in_part(digest: str, part: Instructions) -> bool:
    """Whether an instruction is in a part. Its digest decides, so that all stages and runs have the same parts."""
    first = int(digest[:8], 16) % 2 == 0
    return part == "all" or first == (part == "first-half")
