"""A file of verdicts can be read back; errors name the line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evaluation.judge.report import judge_report
from evaluation.judge.verdicts import (
    LABELS,
    Basis,
    JudgeRunRecord,
    ProcedureName,
    PromptsRecord,
    VerdictRecord,
    read_verdicts,
    resume_verdicts,
)
from recordings.errors import NotTheFormat

COMPLETE: dict[ProcedureName, dict[str, str]] = {
    "toolbench-pass": {"answer_status": "Unsure", "task_status": "Solvable", "passes": "Unsure", "drawn": "Passed"},
    "stabletoolbench-pass": {"answer_status": "Solved"},
    "toolbench-win": {"preferred": "candidate"},
    "toolalpaca": {"process": "Yes", "response": "No call"},
}


def about(procedure: ProcedureName) -> JudgeRunRecord:
    prompts = PromptsRecord(name="tooleval", version=1, sha256="0" * 64)
    return JudgeRunRecord(
        procedure=procedure, prompts=prompts, model="m", suite="s", run_sha256="0" * 64, trajectories=1, repeat=1
    )


def verdict(labels: dict[str, str], basis: Basis = "judge", **more: Any) -> VerdictRecord:
    return VerdictRecord(recorded="a", repeat=0, basis=basis, labels=labels, questions=[]).model_copy(update=more)


def written(path: Path, procedure: ProcedureName, *verdicts: VerdictRecord) -> Path:
    path.write_text("".join(record.model_dump_json() + "\n" for record in (about(procedure), *verdicts)))
    return path


@pytest.mark.parametrize("procedure", LABELS)
def test_labels_of_a_procedure_are_read(tmp_path: Path, procedure: ProcedureName) -> None:
    matches = read_verdicts(written(tmp_path / "v.jsonl", procedure, verdict(COMPLETE[procedure])))
    assert judge_report(matches, resamples=10).verdicts["judge"] == 1
    nothing = read_verdicts(written(tmp_path / "v.jsonl", procedure, verdict({}, "nonsense")))
    assert judge_report(nothing, resamples=10).figures == {}


@pytest.mark.parametrize("procedure", LABELS)
@pytest.mark.parametrize("basis", ["judge", "rule", "nonsense"])
def test_other_labels_are_refused_with_their_line(tmp_path: Path, procedure: ProcedureName, basis: Basis) -> None:
    complete = COMPLETE[procedure]
    for label in complete:
        for labels, message in (
            (complete | {label: "Perhaps"}, f"`labels.{label}` is 'Perhaps', and not one of"),
            (complete | {"more": "Yes"}, "`labels` has 'more'; there are"),
            ({name: value for name, value in complete.items() if name != label}, f"`labels` lacks '{label}'"),
        ):
            path = written(tmp_path / "v.jsonl", procedure, verdict(labels, basis))
            if basis == "nonsense" and "lacks" in message:
                # What was said before the nonsense is kept.
                assert read_verdicts(path).verdicts[0].labels == labels
                continue
            with pytest.raises(NotTheFormat) as refused:
                read_verdicts(path)
            assert f"{path}, line 2: {message}" in str(refused.value)


def test_what_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "v.jsonl"
    with resume_verdicts(path, about("stabletoolbench-pass")) as file:
        file.append(verdict({"answer_status": "Solved"}))
        there = path.read_bytes()
        for unreadable in (verdict({"answer_status": "Solved"}, repeat=-1), verdict({"answer_status": "Good"})):
            with pytest.raises(NotTheFormat):
                file.append(unreadable)
        assert path.read_bytes() == there
    assert len(read_verdicts(path).verdicts) == 1


@pytest.mark.parametrize(
    "line", [{"kind": "run"}, {"kind": "complete-run", "version": 2}, {"kind": ["run"]}, {}, [], 1]
)
def test_another_file_is_known_as_such(tmp_path: Path, line: object) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text(json.dumps(line) + "\n")
    with pytest.raises(NotTheFormat, match="line 1: this is not a file of verdicts") as refused:
        read_verdicts(path)
    assert "evaluate judge" in (refused.value.remedy or "")
