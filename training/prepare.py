"""Prepare a mixture: from data to a folder of role examples. It is written atomically, and follows from the seed."""

from __future__ import annotations

import platform
import statistics
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal

from alpha_umi.roles.template import load_template
from alpha_umi.roles.turns import Role
from alpha_umi.serving.manifest import sha256
from alpha_umi.serving.tokens import PromptTokenizer
from recordings.cases import StepCase, steps_without_reference
from recordings.contamination import instruction_digest
from recordings.trajectory import RecordedTrajectory
from training.errors import CannotWrite, NothingLeft, TokenizerMissing
from training.examples import (
    ROLES,
    SPLITS,
    DatasetRecord,
    Example,
    SourceRecord,
    Split,
    TokenRecord,
    end_of_turn,
    examples_digest,
    load_tokenizer,
    write_examples,
    write_record,
)
from training.mixture import Mixture
from training.role_examples import TOO_LONG, Fitting, Measured, learnable, role_steps
from training.select import Selected, select
from training.writing import write_folder

TOKENIZER_FILE: Final = "tokenizer.json"
ELSEWHERE: Final = "make room, or name a folder elsewhere"
PACKAGES: Final = ("alpha-umi", "tokenizers", "transformers")
# Called with the number of processed trajectories and their total.
Progress = Callable[[int, int], None]


def prepare(
    mixture: Mixture,
    data: Path,
    tokenizer_folder: Path,
    output: Path,
    *,
    skip_broken: bool = False,
    progress: Progress = lambda done, total: None,
) -> DatasetRecord:
    """Write the role examples of a mixture into a new folder, and return its record.

    Raises `TrainingError`, and `DataError` for data that cannot be read; no partial folder remains.
    """
    _require_writable(output)
    tokenizer = _tokenizer(tokenizer_folder)
    template = load_template(mixture.template)
    end_of_turn(template.end_of_turn, tokenizer)
    selected = select(mixture, data, skip_broken=skip_broken)
    collection = _collected(selected, Fitting(template, tokenizer, mixture.context), progress)
    _refuse_nothing(mixture, selected, collection)

    def record(digest: str) -> DatasetRecord:
        return DatasetRecord(
            mixture=mixture.name,
            seed=mixture.seed,
            template=template.name,
            template_digest=template.digest,
            tokenizer_digest=sha256(tokenizer_folder / TOKENIZER_FILE),
            context=mixture.context,
            digest=digest,
            sources={each.source.name: _source_record(each, collection) for each in selected},
            tokens=collection.tokens(),
            dev_tool_sets=tuple(sorted(name for each in selected for name in each.source.dev_tool_sets)),
            trained_on=_trained_on(selected),
            versions={"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        )

    return _write(output, collection, record)


def _require_writable(output: Path) -> None:
    """Check before the work, which takes minutes."""
    if output.exists():
        raise CannotWrite(f"{output} exists already", remedy="name a folder that does not exist, or remove this one")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output.parent):
            pass
    except OSError as error:
        raise CannotWrite(f"{output} cannot be written: {error.strerror}", remedy=ELSEWHERE) from error


def _tokenizer(folder: Path) -> PromptTokenizer:
    if not (folder / TOKENIZER_FILE).is_file():
        raise TokenizerMissing(
            f"{folder} has no {TOKENIZER_FILE}", remedy="name the folder of the backbone that is to be trained"
        )
    return load_tokenizer(folder)


def _collected(selected: Sequence[Selected], fitting: Fitting, progress: Progress) -> Collection:
    collection = Collection(fitting)
    work = [(each.source.name, split, one) for each in selected for split in SPLITS for one in each.trajectories[split]]
    for done, (name, split, trajectory) in enumerate(work, start=1):
        collection.add(name, split, trajectory)
        progress(done, len(work))
    return collection


def _refuse_nothing(mixture: Mixture, selected: Sequence[Selected], collection: Collection) -> None:
    if any(True for role in ROLES for _ in collection.examples("train", role)):
        return
    reasons: dict[str, int] = {}
    for each in selected:
        for counts in (each.dropped, *collection.dropped(each.source.name).values()):
            for reason, number in counts.items():
                reasons[reason] = reasons.get(reason, 0) + number
    summary = "; ".join(f"{number} × {reason}" for reason, number in reasons.items()) or "the sources are empty"
    raise NothingLeft(
        f"nothing is left to train on of the mixture {mixture.name!r}: {summary}",
        remedy="name other sources, or remove what excludes these",
    )


def _source_record(selected: Selected, collection: Collection) -> SourceRecord:
    dropped: Dropped = {"trajectories": selected.dropped} if selected.dropped else {}
    return SourceRecord(
        licence=selected.source.licence,
        read=selected.read,
        trajectories={split: len(selected.trajectories[split]) for split in SPLITS},
        examples=collection.counts(selected.source.name),
        dropped=dropped | collection.dropped(selected.source.name),
        broken=selected.broken,
    )


def _trained_on(selected: Sequence[Selected]) -> tuple[str, ...]:
    instructions = (one.instruction for each in selected for one in each.trajectories["train"])
    return tuple(sorted({instruction_digest(text) for text in instructions}))


def _write(output: Path, collection: Collection, record: Callable[[str], DatasetRecord]) -> DatasetRecord:
    written: list[DatasetRecord] = []

    def fill(folder: Path) -> None:
        for split in SPLITS:
            for role in ROLES:
                write_examples(folder, split, role, collection.examples(split, role))
        written.append(record(examples_digest(folder)))
        write_record(folder, written[0])

    write_folder(output, fill, remedy=ELSEWHERE)
    return written[0]


SAME_EXAMPLE: Final = "the same prompt and target as before"
Dropped = dict[Literal["trajectories", "steps", Role], dict[str, int]]


class Collection:
    """Collects role examples by split and role, with counts of excluded ones."""

    def __init__(self, fitting: Fitting) -> None:
        self._fitting = fitting
        self._made: dict[tuple[Split, Role], list[Measured]] = {(split, role): [] for split in SPLITS for role in ROLES}
        self._seen: set[tuple[Split, Role, str, str]] = set()
        self._steps: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._examples: defaultdict[tuple[str, Role], Counter[str]] = defaultdict(Counter)

    def add(self, source: str, split: Split, trajectory: RecordedTrajectory) -> None:
        """Add the examples of a trajectory."""
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
                self._examples[source, step.role][SAME_EXAMPLE] += 1
            else:
                self._seen.add(key)
                self._made[split, step.role].append(made)

    def examples(self, split: Split, role: Role) -> Iterator[Example]:
        """The examples of a role, in order."""
        return (made.example for made in self._made[split, role])

    def counts(self, source: str) -> dict[Split, dict[Role, int]]:
        """The number of examples of a source, by split and role."""
        return {
            split: {role: sum(each.source == source for each in self.examples(split, role)) for role in ROLES}
            for split in SPLITS
        }

    def dropped(self, source: str) -> Dropped:
        """The number of excluded steps and examples of a source, by reason."""
        steps: Dropped = {"steps": dict(self._steps[source])} if self._steps[source] else {}
        return steps | {role: dict(self._examples[source, role]) for role in ROLES if self._examples[source, role]}

    def tokens(self) -> dict[Split, dict[Role, TokenRecord]]:
        """The token counts of the examples, by split and role."""
        return {
            split: {role: _tokens(self._made[split, role]) for role in ROLES if self._made[split, role]}
            for split in SPLITS
        }


def _tokens(made: list[Measured]) -> TokenRecord:
    prompts = sorted(each.full_prompt for each in made)
    return TokenRecord(
        total=sum(each.prompt + each.target for each in made),
        targets=sum(each.target for each in made),
        prompt_median=round(statistics.median(prompts)),
        prompt_p90=prompts[(len(prompts) * 9 - 1) // 10],
        shortened=sum(each.shortened for each in made),
    )
