"""Prepare a mixture: from data to a folder of role examples, whole or not there at all, the same for the same seed."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

from alpha_umi.roles.template import load_template
from alpha_umi.serving.manifest import sha256
from alpha_umi.serving.tokens import PromptTokenizer
from evaluation.instructions import instruction_digest
from training.collecting import Collection, Dropped
from training.errors import CannotWrite, NothingLeft, TokenizerMissing
from training.examples import (
    ROLES,
    SPLITS,
    DatasetRecord,
    SourceRecord,
    end_of_turn,
    examples_digest,
    load_tokenizer,
    write_examples,
    write_record,
)
from training.mixture import Mixture
from training.role_examples import Fitting
from training.selecting import Selected, select
from training.writing import write_folder

TOKENIZER_FILE: Final = "tokenizer.json"
ELSEWHERE: Final = "make room, or name a folder elsewhere"
PACKAGES: Final = ("alpha-umi", "tokenizers", "transformers")
# Told how many trajectories are done, of how many.
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
    """Write the role examples of a mixture into a new folder; what it says about itself is returned.

    Raises `TrainingError`, and `EvaluationError` for data that cannot be read; then nothing is left behind.
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
    """Before the work, which takes minutes."""
    if output.exists():
        raise CannotWrite(f"{output} is there already", remedy="name a folder that is not, or remove this one")
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
    told = "; ".join(f"{number} × {reason}" for reason, number in reasons.items()) or "the sources are empty"
    raise NothingLeft(
        f"nothing is left to train on of the mixture {mixture.name!r}: {told}",
        remedy="name other sources, or take away what leaves these out",
    )


def _source_record(selected: Selected, collection: Collection) -> SourceRecord:
    whole: Dropped = {"trajectories": selected.dropped} if selected.dropped else {}
    return SourceRecord(
        licence=selected.source.licence,
        read=selected.read,
        trajectories={split: len(selected.trajectories[split]) for split in SPLITS},
        examples=collection.counts(selected.source.name),
        dropped=whole | collection.dropped(selected.source.name),
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
