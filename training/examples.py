"""Role examples, and the folder of prepared data that contains them.

    FOLDER/dataset.json                                                    contents, and how they were made
    FOLDER/{train,dev}/{backbone,planner,caller,summarizer}.jsonl          one example a line

A prompt has the offsets at which the template ended a turn, so that `tokenize` produces the same tokens as serving. A
target is the role's text; the template's end of turn after it is added as a token.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from alpha_umi.contract.validation import explain
from alpha_umi.roles.template import Prompt
from alpha_umi.roles.turns import Role
from alpha_umi.serving.tokens import PromptTokenizer, TokenizerUnusable
from training.errors import BackboneUnusable, NoEndOfTurn, PreparedUnusable

Split = Literal["train", "dev"]
SPLITS: Final[tuple[Split, ...]] = get_args(Split)
# The order is part of the digest of prepared data.
ROLES: Final[tuple[Role, ...]] = ("backbone", "planner", "caller", "summarizer")
RECORD_FILE: Final = "dataset.json"
# The label of a token without loss, as in torch's cross entropy.
IGNORED: Final = -100
REMEDY: Final = "prepare the data again with `alpha-umi train prepare`"

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ExamplePrompt(_Strict):
    """A rendered prompt. `markers` are the offsets, in characters, of the ends of turns that the template wrote."""

    text: str
    markers: tuple[int, ...]
    end_of_turn: str

    def as_prompt(self) -> Prompt:
        """The prompt as a type of serving."""
        return Prompt(self.text, self.markers, self.end_of_turn)


class Example(_Strict):
    """The prompt and target of one role at one step. `step` counts from 1 within its trajectory."""

    id: str
    source: str
    trajectory: str
    step: Annotated[int, Field(ge=1)]
    role: Role
    instruction_sha256: Sha256
    prompt: ExamplePrompt
    target: Annotated[str, Field(min_length=1)]


class TokenRecord(_Strict):
    """Token counts of a role's examples.

    `total` counts prompts and targets, `targets` the tokens with loss. `prompt_median` and `prompt_p90` are of prompts
    before truncation; `shortened` counts truncated examples.
    """

    total: int
    targets: int
    prompt_median: int
    prompt_p90: int
    shortened: int


class SourceRecord(_Strict):
    """Counts of one source.

    `read` counts the trajectories of the source, `trajectories` and `examples` those in the data. `dropped` counts
    excluded trajectories, steps and role examples by reason.
    """

    licence: str
    read: int
    trajectories: dict[Split, int]
    examples: dict[Split, dict[Role, int]]
    dropped: dict[Literal["trajectories", "steps", Role], dict[str, int]]
    broken: tuple[str, ...] = ()


class DatasetRecord(_Strict):
    """The record of a folder of prepared data.

    `digest` is SHA-256 over the files of examples in the order of `example_files`; `trained_on` are the sorted digests
    of the instructions in `train`; `context` bounds the tokens of prompt, target and end of turn together.
    """

    format: Literal[1] = 1
    mixture: str
    seed: int
    template: str
    template_digest: Sha256
    tokenizer_digest: Sha256
    context: int
    digest: Sha256
    sources: dict[str, SourceRecord]
    tokens: dict[Split, dict[Role, TokenRecord]]
    dev_tool_sets: tuple[str, ...]
    trained_on: tuple[Sha256, ...]
    versions: dict[str, str]


@dataclass(frozen=True)
class Tokenized:
    """An example as tokens: prompt, target, end of turn. Labels are `IGNORED` over the prompt."""

    input_ids: tuple[int, ...]
    labels: tuple[int, ...]


def tokenize(example: Example, tokenizer: PromptTokenizer) -> Tokenized:
    """The tokens of an example. The prompt is tokenized as in serving; only target and end of turn have loss.

    Raises `NoEndOfTurn`.
    """
    prompt = example.prompt.as_prompt()
    ids = (*tokenizer.encode(prompt, example.target), end_of_turn(prompt.end_of_turn, tokenizer))
    start = len(tokenizer.encode(prompt))
    return Tokenized(ids, (IGNORED,) * start + ids[start:])


def load_tokenizer(folder: Path) -> PromptTokenizer:
    """The tokenizer of a backbone. Raises `BackboneUnusable`."""
    try:
        return PromptTokenizer(folder)
    except TokenizerUnusable as error:
        raise BackboneUnusable(str(error), remedy="restore the files of the backbone") from error


def end_of_turn(text: str, tokenizer: PromptTokenizer) -> int:
    """The token that ends a turn. Raises `NoEndOfTurn` unless it is one special token."""
    token = tokenizer.special_token(text)
    if token is None:
        raise NoEndOfTurn(
            f"{text!r}, with which the template ends a turn, is not a special token of this tokenizer",
            remedy="use a template whose end of turn the backbone has, or a backbone that has this one",
        )
    return token


def examples_path(folder: Path, split: Split, role: Role) -> Path:
    """The file of a role's examples."""
    return folder / split / f"{role}.jsonl"


def example_files(folder: Path) -> Iterator[Path]:
    """All files of examples, in the order of the digest."""
    return (examples_path(folder, split, role) for split in SPLITS for role in ROLES)


def examples_digest(folder: Path) -> str:
    """SHA-256 over all files of examples, each preceded by its name and length. Raises `PreparedUnusable`."""
    digest = hashlib.sha256()
    for path in example_files(folder):
        content = _bytes(path)
        digest.update(f"{path.parent.name}/{path.name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def write_examples(folder: Path, split: Split, role: Role, examples: Iterable[Example]) -> None:
    """Write the examples of a role; the file may be empty. Raises `OSError`."""
    path = examples_path(folder, split, role)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for example in examples:
            file.write(json.dumps(example.model_dump()) + "\n")


def read_examples(folder: Path, split: Split, role: Role) -> list[Example]:
    """The examples of a role. Raises `PreparedUnusable`, which names file and line."""
    path = examples_path(folder, split, role)
    examples = []
    for number, line in enumerate(_bytes(path).split(b"\n"), start=1):
        if line:
            examples.append(_example(line, f"{path}, line {number}"))
    return examples


def write_record(folder: Path, record: DatasetRecord) -> None:
    """Write the record of a folder. Raises `OSError`."""
    (folder / RECORD_FILE).write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_record(folder: Path, *, check_digest: bool = True) -> DatasetRecord:
    """The record of a folder. Raises `PreparedUnusable`, also if its files have another digest."""
    path = folder / RECORD_FILE
    try:
        record = DatasetRecord.model_validate_json(_bytes(path))
    except ValidationError as error:
        raise PreparedUnusable(f"{path}: {explain(error)}", remedy=REMEDY) from error
    if check_digest and examples_digest(folder) != record.digest:
        raise PreparedUnusable(
            f"{folder}: the examples are not those that {RECORD_FILE} was written for", remedy=REMEDY
        )
    return record


def _example(line: bytes, place: str) -> Example:
    try:
        return Example.model_validate_json(line)
    except ValidationError as error:
        raise PreparedUnusable(f"{place}: {explain(error)}", remedy=REMEDY) from error


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PreparedUnusable(f"{path} cannot be read: {error.strerror}", remedy=REMEDY) from error
