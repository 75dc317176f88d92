"""The published predictions format: one JSON list, an entry a step.

    {"tools": [{"Name", "function", "input"}], "instruction", "history": [{"from", "value"}],
     "reference", "predictions"}

The figures only need `tools`, `reference` and `predictions`. An entry without `predictions` is a step that nothing was
predicted for. What is written here also has `id`, `trajectory` and `step`, which are read where they stand: by default
an entry's id is its place in the list, and the steps of one instruction are one trajectory.

A tool's `input` says of each parameter "type, description", which is read as a JSON Schema without required names.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from alpha_umi.atomic import write_file
from alpha_umi.roles.planner import Decision
from alpha_umi.roles.turns import tool_line
from evaluation.errors import NoReference
from evaluation.outputs import read_prediction
from evaluation.pairs import Pair
from evaluation.published_text import read_published, split_turns
from recordings.cases import Reference, StepCase
from recordings.contamination import instruction_digest
from recordings.errors import FORMAT_REMEDY, NotTheFormat, some
from recordings.formats.toolbench import SPEAKERS, PublishedTool, PublishedTurn, history_of, tool_of
from recordings.reading import not_the_format, parse_json, read_text, refuse_duplicates

CUT_REMEDY = "write the file again, whole"
_DECISIONS: dict[str, Decision] = {"give up": "give up", "finish": "conclusion", "call": "caller"}


class _Wire(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class PublishedEntry(_Wire):
    """One step with its reference and what was predicted."""

    id: str | None = None
    trajectory: str | None = None
    step: Annotated[int, Field(ge=1)] | None = None
    tools: list[PublishedTool]
    instruction: str = ""
    history: list[PublishedTurn] = Field(default_factory=list)
    reference: str | None = None
    predictions: str | None = None


def read_published_file(path: Path) -> list[Pair]:
    """The steps of a file with their predictions. Raises `EvaluationError` for a file that is not in the format."""
    entries = _entries(path)
    ids = [entry.id or str(place) for place, entry in enumerate(entries, start=1)]
    refuse_duplicates(ids, f"{path}: entries")
    orphans = [name for name, entry in zip(ids, entries, strict=True) if entry.reference is None]
    if orphans:
        raise NoReference(
            f"{path}: without a `reference`: entry {some(orphans)}", remedy="add what is right there, or leave it out"
        )
    return [_pair(name, entry) for name, entry in zip(ids, entries, strict=True)]


def write_published_file(path: Path, pairs: Iterable[Pair]) -> None:
    """Write cases and predictions in the published format."""
    entries = [_entry(pair) for pair in pairs]
    write_file(path, json.dumps(entries, indent=1) + "\n")


def reference_of(text: str) -> Reference:
    """A published reference. Where its text cannot be read strictly, its decision is the published reading's."""
    read = read_prediction(split_turns(text))
    decision = read.decision or _DECISIONS[read_published(text).plan]
    return Reference(decision, read.rationale, read.call, read.answer)


def _entries(path: Path) -> list[PublishedEntry]:
    value = parse_json(read_text(path), str(path), cut_remedy=CUT_REMEDY)
    if not isinstance(value, list):
        raise NotTheFormat(f"{path} holds no list of entries", remedy=f"{FORMAT_REMEDY}; records need no --format")
    return [_read_entry(entry, f"{path}, entry {place}") for place, entry in enumerate(value, start=1)]


def _read_entry(entry: Any, place: str) -> PublishedEntry:
    try:
        return PublishedEntry.model_validate(entry)
    except ValidationError as error:
        raise not_the_format(place, error) from error


def _pair(name: str, entry: PublishedEntry) -> Pair:
    reference = entry.reference or ""
    case = StepCase(
        id=name,
        trajectory=entry.trajectory or (instruction_digest(entry.instruction) if entry.instruction else name),
        step=entry.step or 1 + sum(turn.speaker == "assistant" for turn in entry.history),
        tools=tuple(map(tool_of, entry.tools)),
        history=history_of(entry.history),
        reference=reference_of(reference),
    )
    wrote = entry.predictions
    prediction = None if wrote is None else read_prediction(split_turns(wrote))
    return Pair(case, prediction, reference, wrote)


def _entry(pair: Pair) -> dict[str, Any]:
    case = pair.case
    entry = {
        "id": case.id,
        "trajectory": case.trajectory,
        "step": case.step,
        "tools": [json.loads(tool_line(tool)) for tool in case.tools],
        "instruction": case.instruction,
        "history": [{"from": SPEAKERS[turn.role], "value": turn.content} for turn in case.history],
        "reference": pair.reference_text,
    }
    return entry if pair.prediction_text is None else entry | {"predictions": pair.prediction_text}
