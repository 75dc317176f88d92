"""The file of a run: JSON lines.

The first line says what ran (`run`), then comes a line for every case (`case`), then one for every prediction as it is
made (`prediction`). So the file knows from its beginning what is expected of it: a run that was killed leaves cases
without predictions, which are seen and counted, and it can go on where it ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from evaluation.errors import NoReference
from evaluation.files import json_lines, require_version
from evaluation.pairs import Pair, pair
from evaluation.records import VERSION, CaseRecord, PredictionRecord, Record, RunRecord
from recordings.errors import FORMAT_REMEDY, CutShort, EmptySuite, NotTheFormat, some
from recordings.reading import not_the_format, read_text, refuse_duplicates

# Lines of the other file that is kept in this way (`whole_run`).
WHOLE_KINDS = ("whole-run", "tool", "asked")
WHOLE_REMEDY = "score it with --format trajectories; predictions need a file of their own"
_RECORD: TypeAdapter[Record] = TypeAdapter(Annotated[Record, Field(discriminator="kind")])


@dataclass(frozen=True)
class Run:
    """A whole file. Of a case that was asked again because a service had failed, the last prediction."""

    about: RunRecord
    cases: tuple[CaseRecord, ...]
    predictions: tuple[PredictionRecord, ...]

    def pairs(self) -> list[Pair]:
        """Every case, in order, with its prediction."""
        by_id = {prediction.id: prediction.as_prediction() for prediction in self.predictions}
        return [pair(case.as_case(), by_id.get(case.id)) for case in self.cases]


def read_run(path: Path) -> Run:
    """Read the file of a run. Raises `EvaluationError` for a file that is not one, or not consistent."""
    return parse_run(read_text(path), path)


def parse_run(text: str, path: Path) -> Run:
    """Read the text of a run, which came from `path`. Raises `EvaluationError` as `read_run` does."""
    records = list(_records(text, path))
    if not records:
        raise EmptySuite(f"{path} is empty", remedy="generate it first")
    if not isinstance(records[0], RunRecord):
        raise NotTheFormat(f"{path} does not begin with a `run` line", remedy=FORMAT_REMEDY)
    if sum(isinstance(record, RunRecord) for record in records) > 1:
        raise NotTheFormat(f"{path} has a second `run` line", remedy="keep each run in a file of its own")
    predictions = [record for record in records if isinstance(record, PredictionRecord)]
    run = Run(
        records[0],
        tuple(record for record in records if isinstance(record, CaseRecord)),
        tuple(_last_of_each(predictions, path)),
    )
    _check_ids(path, run)
    return run


def write_run(path: Path, run: Run) -> None:
    """Write a whole file."""
    records: tuple[Record, ...] = (run.about, *run.cases, *run.predictions)
    path.write_text("".join(map(record_line, records)), encoding="utf-8")


def record_line(record: Record) -> str:
    """A record as its line, with the line end."""
    return record.model_dump_json() + "\n"


def _records(text: str, path: Path) -> Iterator[Record]:
    if text.lstrip().startswith("["):
        raise NotTheFormat(f"{path} is a list, not lines of records", remedy="is it --format published?")
    for place, _, value in json_lines(text, path, "prediction"):
        if isinstance(value, dict) and value.get("kind") in WHOLE_KINDS:
            raise NotTheFormat(f"{path} is a file of whole trajectories", remedy=WHOLE_REMEDY)
        require_version(value, place, VERSION)
        try:
            yield _RECORD.validate_python(value)
        except ValidationError as error:
            raise not_the_format(place, error) from error


def _last_of_each(predictions: Sequence[PredictionRecord], path: Path) -> Iterable[PredictionRecord]:
    """Another prediction may stand after one that a service's failure spoilt, and after no other."""
    kept: dict[str, PredictionRecord] = {}
    again = []
    for prediction in predictions:
        there = kept.pop(prediction.id, None)
        if there is not None and not (there.error and there.error.may_pass):
            again.append(prediction.id)
        kept[prediction.id] = prediction
    refuse_duplicates([*kept, *again], f"{path}: predictions")
    return kept.values()


def _check_ids(path: Path, run: Run) -> None:
    cases = [case.id for case in run.cases]
    predictions = [prediction.id for prediction in run.predictions]
    refuse_duplicates(cases, f"{path}: cases")
    if len(cases) != run.about.cases:
        raise CutShort(
            f"{path} has {len(cases):,} cases, its run line says {run.about.cases:,}", remedy="generate the file anew"
        )
    known = set(cases)
    orphans = [name for name in predictions if name not in known]
    if orphans:
        raise NoReference(
            f"{path}: no case for the prediction {some(orphans)}", remedy="add its case, with the reference, or drop it"
        )
