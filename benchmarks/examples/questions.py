"""The example questions, and which of them an answer was right to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import ROOT
from evaluation.whole_run import AskedRecord, WholeRun
from examples.facts import Fact, missing_facts
from recordings.errors import NotTheFormat

INSTRUCTIONS = ROOT / "examples" / "instructions.jsonl"


@dataclass(frozen=True)
class Question:
    """An instruction, and the facts that a right answer to it holds."""

    id: str
    instruction: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class Judged:
    """A question with what became of it, None as long as it was not asked. `missing` are facts that are not there."""

    question: Question
    asked: AskedRecord | None
    missing: tuple[Fact, ...]

    @property
    def right(self) -> bool:
        """Whether the answer holds every fact, however the trajectory ended."""
        return not self.missing


def read_questions(path: Path = INSTRUCTIONS) -> tuple[Question, ...]:
    """The questions of a file, a line each."""
    entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return tuple(Question(entry["id"], entry["instruction"], tuple(entry["facts"])) for entry in entries)


def judged(questions: Sequence[Question], run: WholeRun) -> list[Judged]:
    """Every question judged. Raises `NotTheFormat` for a run that asked something else."""
    asked = {record.recorded: record for record in run.asked}
    require_same(questions, asked)
    return [_judged(question, asked.get(question.id)) for question in questions]


def require_same(questions: Sequence[Question], asked: Mapping[str, AskedRecord]) -> None:
    """Raises `NotTheFormat` where an instruction is not the one that was asked."""
    for question in questions:
        record = asked.get(question.id)
        if record is not None and record.trajectory.instruction != question.instruction:
            raise NotTheFormat(
                f"{question.id!r} was asked in other words: {record.trajectory.instruction!r}",
                remedy="begin another run, with another --name or --folder",
            )


def _judged(question: Question, record: AskedRecord | None) -> Judged:
    answer = None if record is None else record.trajectory.answer
    return Judged(question, record, tuple(missing_facts(answer, question.facts)))
