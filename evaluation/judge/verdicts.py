"""The file of verdicts: a header record with the judged run and the judge, then a line for each verdict.

JSON Lines, resumable like the files of runs. A verdict stores the judge's texts and what was parsed, so that every rate
can be computed again without a judge. `LABELS` lists the labels of each procedure and their values.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, TypeAdapter, ValidationError

from alpha_umi.contract.roles import WireModel
from evaluation.files.jsonl import (
    ANOTHER_FILE,
    OtherRun,
    ResumableJsonl,
    json_lines,
    parse_header_and_records,
    require_version,
    resume_jsonl,
)
from evaluation.files.step_run import Count, Name
from recordings.errors import FORMAT_REMEDY, NotTheFormat
from recordings.reading import not_the_format, read_text, refuse_duplicates

VERSION: Final = 1
_KINDS: Final = ("judge-run", "verdict")
_OTHER_KIND: Final = "give an output file of `alpha-umi evaluate judge`, not of a run"
# The origin of a verdict: the judge's answers, a rule without a judge, answers that cannot be parsed, or no answer
# because the question is longer than the judge's context.
Basis = Literal["judge", "rule", "nonsense", "too-long"]
# Verdicts with labels.
READABLE: Final[tuple[Basis, ...]] = ("judge", "rule")


class PromptsRecord(WireModel):
    """The file of questions."""

    name: Name
    version: int
    sha256: str


class JudgeRunRecord(WireModel):
    """The header record: the judged run, in comparisons also `against`, and the judge.

    `run_sha256` and `against_sha256` are digests of those files, `trajectories` the number of judged ones, each with
    `repeat` verdicts.
    """

    kind: Literal["judge-run"] = "judge-run"
    version: Literal[1] = 1
    procedure: ProcedureName
    prompts: PromptsRecord
    model: Name
    suite: Name
    run_sha256: str
    against_sha256: str | None = None
    trajectories: Count
    repeat: Annotated[int, Field(ge=1)]


class QuestionRecord(WireModel):
    """A question: the digest of its exact text, the judge's texts (several after parse errors), and the parsed answer.

    `answer` is null if no text could be parsed.
    """

    name: Name
    prompt_sha256: str
    texts: list[str]
    answer: str | None
    prompt_tokens: Count = 0
    completion_tokens: Count = 0


class VerdictRecord(WireModel):
    """A verdict on a trajectory, `recorded` in the run; the first `repeat` is 0. `labels` are the procedure's."""

    kind: Literal["verdict"] = "verdict"
    recorded: Name
    repeat: Count
    basis: Basis
    labels: dict[str, str]
    questions: list[QuestionRecord]


@dataclass(frozen=True)
class Verdicts:
    """A complete file."""

    about: JudgeRunRecord
    verdicts: tuple[VerdictRecord, ...]


class ResumableVerdicts:
    """An open file. `verdicts` are those that it had when it was opened."""

    def __init__(self, lines: ResumableJsonl[Verdicts], about: JudgeRunRecord) -> None:
        self.verdicts = () if lines.existing is None else lines.existing.verdicts
        self._lines = lines
        self._about = about

    def append(self, verdict: VerdictRecord) -> None:
        """Write a line. Raises `FileUnwritable`, and `NotTheFormat` for a line that would be refused when read."""
        line = _line(verdict)
        _read(json.loads(line), f"a verdict for {self._lines.path}", self._about)
        self._lines.append(line)


_RECORD: TypeAdapter[JudgeRunRecord | VerdictRecord] = TypeAdapter(
    Annotated[JudgeRunRecord | VerdictRecord, Field(discriminator="kind")]
)


def read_verdicts(path: Path) -> Verdicts:
    """Read a file. Raises `EvaluationError`."""
    return _parse(read_text(path), path)


@contextlib.contextmanager
def resume_verdicts(path: Path, about: JudgeRunRecord) -> Iterator[ResumableVerdicts]:
    """Create a file, or resume the existing one; it is locked until the block ends.

    Raises `OtherRun` for verdicts of another run, judge or procedure, and what `resume_jsonl` and `read_verdicts`
    raise. The file is then not changed.
    """
    with resume_jsonl(path, _line(about), lambda text: _same(path, _parse(text, path), about)) as lines:
        yield ResumableVerdicts(lines, about)


def _same(path: Path, there: Verdicts, about: JudgeRunRecord) -> Verdicts:
    for field in JudgeRunRecord.model_fields:
        old, wanted = getattr(there.about, field), getattr(about, field)
        if old != wanted:
            raise OtherRun(
                f"{path} has other verdicts: their `{field}` is {old!r}, and now it would be {wanted!r}",
                remedy=ANOTHER_FILE,
            )
    return there


def _parse(text: str, path: Path) -> Verdicts:
    records = list(_records(text, path))
    about, retained = parse_header_and_records(
        records, JudgeRunRecord, VerdictRecord, path, kind="judge-run", empty="judge first"
    )
    refuse_duplicates([f"{each.recorded} ({each.repeat})" for each in retained], f"{path}: verdicts")
    return Verdicts(about, retained)


def _records(text: str, path: Path) -> Iterator[JudgeRunRecord | VerdictRecord]:
    about: JudgeRunRecord | None = None
    for place, _, value in json_lines(text, path, "verdict"):
        if not isinstance(value, dict) or value.get("kind") not in _KINDS:
            raise NotTheFormat(f"{place}: this is not a file of verdicts", remedy=_OTHER_KIND)
        require_version(value, place, VERSION)
        record = _read(value, place, about)
        if about is None and isinstance(record, JudgeRunRecord):
            about = record
        yield record


def _read(value: Any, place: str, about: JudgeRunRecord | None) -> JudgeRunRecord | VerdictRecord:
    """Parse a line; `about` is the header record, whose procedure defines the labels. Raises `NotTheFormat`."""
    try:
        record = _RECORD.validate_python(value)
    except ValidationError as error:
        raise not_the_format(place, error) from error
    if about is not None and isinstance(record, VerdictRecord):
        readable = record.basis in READABLE
        complaint = LABELS[about.procedure].complaint(record.labels, complete=readable)
        if complaint:
            raise NotTheFormat(f"{place}: {complaint}", remedy=FORMAT_REMEDY)
    return record


def _line(record: JudgeRunRecord | VerdictRecord) -> str:
    return record.model_dump_json() + "\n"


ProcedureName = Literal["toolbench-pass", "stabletoolbench-pass", "toolbench-win", "toolalpaca"]
Values = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class LabelSet:
    """Labels and their values: required and optional ones."""

    always: Values
    sometimes: Values

    def complaint(self, labels: Mapping[str, str], *, complete: bool) -> str:
        """The problem of some labels, empty if there is none; `complete`: all required ones must be present."""
        known = {**self.always, **self.sometimes}
        for label, value in labels.items():
            if label not in known:
                return f"`labels` has {label!r}; there are {_named(known)}"
            if value not in known[label]:
                return f"`labels.{label}` is {value!r}, and not one of {_named(known[label])}"
        missing = [label for label in self.always if complete and label not in labels]
        return f"`labels` lacks {_named(missing)}" if missing else ""


def _named(names: Mapping[str, object] | tuple[str, ...] | list[str]) -> str:
    return ", ".join(map(repr, names))


_ANSWER: Final = ("Solved", "Unsolved", "Unsure")
_SIDE: Final = ("candidate", "reference")
_WORD: Final = ("Yes", "No", "Uncertain", "No call")
LABELS: Final[Mapping[ProcedureName, LabelSet]] = {
    "toolbench-pass": LabelSet(
        {
            "answer_status": _ANSWER,
            "task_status": ("Solvable", "Unsolvable", "Unsure"),
            "passes": ("Passed", "Failed", "Unsure"),
            "drawn": ("Passed", "Failed"),
        },
        {},
    ),
    "stabletoolbench-pass": LabelSet({"answer_status": _ANSWER}, {}),
    "toolbench-win": LabelSet(
        {"preferred": _SIDE},
        {"answer_status.candidate": _ANSWER, "answer_status.reference": _ANSWER, "first": _SIDE},
    ),
    "toolalpaca": LabelSet({"process": _WORD, "response": _WORD}, {}),
}
