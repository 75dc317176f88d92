"""Resumable files: a killed run continues, and a file of another run is refused."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.measured_steps import pairs_of, run_of

from evaluation.files.jsonl import FileInUse, FileUnwritable, OtherRun
from evaluation.files.step_run import (
    CaseRecord,
    PredictionRecord,
    Run,
    RunRecord,
    read_run,
    record_line,
    resume_step_run,
)
from recordings.errors import CutShort, DataError, FileUnreadable, NotTheFormat

RUN: Run = run_of(pairs_of({}))


def go_on(path: Path) -> tuple[str, ...]:
    """Write what is missing; the ids that were there."""
    with resume_step_run(path, RUN.about, RUN.cases) as file:
        there = {prediction.id for prediction in file.predictions}
        for prediction in RUN.predictions:
            if prediction.id not in there:
                file.append(prediction)
    return tuple(sorted(there))


def complete_file() -> bytes:
    return "".join(map(record_line, [RUN.about, *RUN.cases, *RUN.predictions])).encode()


def test_a_new_file_is_a_run(tmp_path: Path) -> None:
    assert go_on(tmp_path / "run.jsonl") == ()
    assert read_run(tmp_path / "run.jsonl") == RUN
    assert go_on(tmp_path / "run.jsonl") == ("a/1", "b/1", "c/1")
    assert (tmp_path / "run.jsonl").read_bytes() == complete_file()


@settings(max_examples=150)
@given(end=st.integers(0, len(complete_file())))
def test_a_file_that_was_cut_anywhere_goes_on(end: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("cut") / "run.jsonl"
    path.write_bytes(complete_file()[:end])
    there = go_on(path)
    assert len(there) == max(0, complete_file()[:end].count(b"\n") - 4)
    assert path.read_bytes() == complete_file()


def test_a_prediction_that_was_cut_in_the_middle_of_the_file_is_taken_out_as_the_remedy_says(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    lines = complete_file().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:5], lines[5][:-9] + b"\n", lines[6]]))
    with pytest.raises(CutShort, match="line 6 ends in the middle") as refused:
        go_on(path)
    assert (refused.value.remedy or "").startswith("remove this line, and run the `alpha-umi evaluate generate`")
    path.write_bytes(b"".join([*lines[:5], lines[6]]))
    assert go_on(path) == ("a/1", "c/1")
    assert set(path.read_bytes().splitlines()) == set(complete_file().splitlines())


def test_an_append_is_seen_at_once(tmp_path: Path) -> None:
    with resume_step_run(tmp_path / "run.jsonl", RUN.about, RUN.cases) as file:
        file.append(RUN.predictions[1])
        assert [prediction.id for prediction in read_run(tmp_path / "run.jsonl").predictions] == ["b/1"]


MODELS = {"planner": {"name": "another", "role": "planner"}}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"suite": "four"}, "its `suite` is 'three', and now it would be 'four'"),
        ({"constrained": False}, "its `constrained` is True, and now it would be False"),
        ({"template": "other"}, "its `template` is 'toolbench'"),
        ({"models": MODELS}, "its `models` has another 'planner' than there is now"),
    ],
)
def test_another_run_is_refused_and_left_alone(tmp_path: Path, changed: dict[str, object], message: str) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(complete_file()[:-20])
    about: RunRecord = RUN.about.model_copy(update=changed)
    with pytest.raises(OtherRun, match=message), resume_step_run(path, about, RUN.cases):
        pass
    assert path.read_bytes() == complete_file()[:-20]


def test_other_cases_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(complete_file())
    fewer = RUN.about.model_copy(update={"cases": 2})
    with (
        pytest.raises(OtherRun, match="`cases` is 3, and now it would be 2"),
        resume_step_run(path, fewer, RUN.cases[:2]),
    ):
        pass
    turned: tuple[CaseRecord, ...] = tuple(reversed(RUN.cases))
    with pytest.raises(OtherRun, match="other cases"), resume_step_run(path, RUN.about, turned):
        pass


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"words that are no run\n", NotTheFormat),
        (b"\xff\xfe\n", FileUnreadable),
        (complete_file().replace(b'"kind":"case"', b'"kind":"score"', 1), NotTheFormat),
        (b"\n".join(complete_file().splitlines()[:3]) + b"\n" + complete_file().splitlines()[-1] + b"\n", CutShort),
    ],
)
def test_what_is_no_run_is_refused_and_left_alone(tmp_path: Path, content: bytes, error: type[DataError]) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(content)
    with pytest.raises(error):
        go_on(path)
    assert path.read_bytes() == content


def test_one_process_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with resume_step_run(path, RUN.about, RUN.cases) as file:
        with pytest.raises(FileInUse, match="another process writes"), resume_step_run(path, RUN.about, RUN.cases):
            pass
        file.append(RUN.predictions[0])
    assert go_on(path) == ("a/1",)


def test_an_unwritable_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(FileUnwritable, match="No such file"):
        go_on(tmp_path / "no" / "folder")
    with pytest.raises(FileUnwritable, match="not a regular file"):
        go_on(Path(os.devnull))


@contextlib.contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Limit the size of files that this process writes, in bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_reported_and_the_file_can_be_resumed(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with files_up_to(len(complete_file()) - 20), pytest.raises(FileUnwritable, match="File too large"):
        go_on(path)
    assert path.read_bytes() == complete_file()[:-20]
    assert go_on(path) == ("a/1", "b/1")
    assert path.read_bytes() == complete_file()


def test_a_prediction_without_any_output_counts_as_missing() -> None:
    error = {"role": "planner", "problem": "context-exceeded", "status": 422, "detail": "too long"}
    failed = PredictionRecord.model_validate({"id": "a/1", "error": error, "outputs": [], "parsed": {}})
    assert failed.as_prediction() is None
    assert Run(RUN.about, RUN.cases, (failed,)).pairs()[0].prediction is None
