"""The file of a run: records are read back, and errors name the line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.measured_steps import DIGEST, GAVE_UP, called, case_of, pairs_of, run_of

from evaluation.errors import NoReference
from evaluation.files.outputs import RoleText, read_prediction
from evaluation.files.published import pair
from evaluation.files.step_run import CaseRecord, ErrorRecord, PredictionRecord, read_run, record_line, write_run
from recordings.contamination import instruction_digest
from recordings.errors import CutShort, DataError, DuplicateId, EmptySuite, NotTheFormat


@pytest.fixture
def lines(tmp_path: Path) -> list[dict[str, Any]]:
    """A whole file: a run line, three cases and two predictions."""
    write_run(tmp_path / "run.jsonl", run_of(pairs_of({"a/1": called("weather", "{broken"), "b/1": None})))
    return [json.loads(line) for line in (tmp_path / "run.jsonl").read_text().splitlines()]


def test_a_run_comes_back(tmp_path: Path) -> None:
    pairs = pairs_of({"a/1": called("weather", '{"city":   "Oslo"}'), "b/1": None, "c/1": GAVE_UP})
    run = run_of(pairs)
    write_run(tmp_path / "run.jsonl", run)
    again = read_run(tmp_path / "run.jsonl")
    assert again == run
    assert again.pairs() == pairs


def test_a_line_shows_what_was_written_and_how_it_was_read(lines: list[dict[str, Any]]) -> None:
    assert [line["kind"] for line in lines] == ["run", "case", "case", "case", "prediction", "prediction"]
    broken = lines[4]
    assert [output["text"] for output in broken["outputs"]] == [
        "I ask. Next: caller.",
        "Action: weather\nAction Input: {broken",
    ]
    assert (broken["parsed"]["decision"], broken["parsed"]["call"]) == ("caller", None)
    assert "not JSON" in broken["parsed"]["unreadable"]
    assert broken["outputs"][0]["prompt_sha256"] == DIGEST
    assert lines[1]["instruction_sha256"] == instruction_digest("what is  the weather of A/1?")
    assert lines[0]["models"]["planner"]["name"] == "planner-of-tests"


@given(texts=st.lists(st.text(max_size=40), min_size=2, max_size=2), role=st.sampled_from(["caller", "summarizer"]))
def test_any_text_survives_its_line(texts: list[str], role: Any) -> None:
    case = case_of()
    wrote = read_prediction([RoleText("planner", f"{texts[0]} Next: caller."), RoleText(role, texts[1])])
    run = run_of([pair(case, wrote)])
    assert PredictionRecord.model_validate_json(record_line(run.predictions[0])).as_prediction() == wrote
    assert CaseRecord.model_validate_json(record_line(run.cases[0])).as_case() == case


def spoilt(lines: list[dict[str, Any]], how: str) -> str:
    """The file with one thing wrong."""
    match how:
        case "empty":
            return "\n"
        case "cut":
            return "\n".join(map(json.dumps, lines))[:-30]
        case "cut in the first line":
            return json.dumps(lines[0])[:30]
        case "cut between cases":
            return "\n".join(map(json.dumps, lines[:3]))
        case "no JSON":
            return "\n".join([json.dumps(lines[0]), "words, no JSON", json.dumps(lines[1])])
        case "a number":
            return "5"
        case "published":
            return "[]"
    changed: dict[str, Any] = {
        "no run": lines[1:],
        "two runs": [lines[0], *lines],
        "case twice": [*lines, lines[1]],
        "prediction twice": [*lines, lines[4]],
        "no case": [lines[0] | {"cases": 2}, *lines[2:]],
        "unknown kind": [*lines, {"kind": "score"}],
        "unknown field": [*lines, lines[4] | {"id": "b/1", "score": 1}],
        "wrong type": [lines[0], lines[1] | {"step": "one"}],
        "no such decision": [lines[0], lines[1] | {"reference": {"decision": "stop", "rationale": ""}}],
        "arguments that are no object": [
            lines[0],
            lines[1] | {"reference": lines[1]["reference"] | {"call": {"name": "f", "arguments": "[1]"}}},
        ],
        "a role twice": [*lines, lines[4] | {"id": "b/1", "outputs": [lines[4]["outputs"][0]] * 2}],
        "no output": [*lines, lines[4] | {"id": "b/1", "outputs": []}],
    }
    return "\n".join(map(json.dumps, changed[how]))


@pytest.mark.parametrize(
    ("how", "kind", "reply"),
    [
        ("empty", EmptySuite, "is empty"),
        ("cut", CutShort, "line 6 ends in the middle"),
        ("cut in the first line", CutShort, "line 1 ends in the middle"),
        ("cut between cases", CutShort, "has 2 cases, its header has 3"),
        ("no JSON", NotTheFormat, "line 2 is not JSON"),
        ("a number", NotTheFormat, "line 1"),
        ("published", NotTheFormat, "is a list"),
        ("no run", NotTheFormat, "does not begin with a `run` line"),
        ("two runs", NotTheFormat, "second `run` line"),
        ("case twice", DuplicateId, "cases share the id 'a/1'"),
        ("prediction twice", DuplicateId, "predictions share the id 'a/1'"),
        ("no case", NoReference, "no case for the prediction 'a/1'"),
        ("unknown kind", NotTheFormat, "line 7"),
        ("unknown field", NotTheFormat, "line 7: prediction.score"),
        ("wrong type", NotTheFormat, "line 2: case.step"),
        ("no such decision", NotTheFormat, "line 2: case.reference.decision"),
        ("arguments that are no object", NotTheFormat, "line 2: case.reference.call.arguments"),
        ("a role twice", NotTheFormat, "line 7: prediction.outputs"),
        ("no output", NotTheFormat, "line 7: prediction.outputs"),
    ],
)
def test_what_is_no_run_is_refused(
    lines: list[dict[str, Any]], tmp_path: Path, how: str, kind: type[DataError], reply: str
) -> None:
    file = tmp_path / "spoilt.jsonl"
    file.write_text(spoilt(lines, how))
    with pytest.raises(kind) as refused:
        read_run(file)
    assert str(file) in refused.value.message
    assert reply in refused.value.message
    assert refused.value.remedy


def test_a_file_that_was_cut_anywhere_is_never_read_as_complete(lines: list[dict[str, Any]], tmp_path: Path) -> None:
    """Up to the last case; from there on, predictions that are not there are missing ones."""
    text = "".join(json.dumps(line) + "\n" for line in lines)
    file = tmp_path / "cut.jsonl"
    line_ends = [place for place, character in enumerate(text) if character == "\n"]
    for end in [*range(0, len(text), 7), *line_ends]:
        file.write_text(text[:end])
        try:
            run = read_run(file)
        except (CutShort, EmptySuite):
            assert end not in line_ends[3:]
        else:
            assert end in {*line_ends[3:], *(place + 1 for place in line_ends[3:])}
            assert len(run.cases) == 3


def failed(prediction: PredictionRecord, status: int) -> PredictionRecord:
    error = ErrorRecord(role="caller", problem="no-problem-document", status=status, detail="?")
    return prediction.model_copy(update={"error": error})


def test_what_a_service_spoilt_may_be_followed_by_another_prediction(tmp_path: Path) -> None:
    run = run_of(pairs_of({"a/1": called("weather", "{broken"), "b/1": GAVE_UP}))
    first, *others = run.predictions
    path = tmp_path / "run.jsonl"
    write_run(path, replace(run, predictions=(failed(first, 500), *others, first)))
    assert {prediction.id: prediction for prediction in read_run(path).predictions} == {
        prediction.id: prediction for prediction in run.predictions
    }
    for spoilt in (first, failed(first, 422)):
        write_run(path, replace(run, predictions=(spoilt, *others, first)))
        with pytest.raises(DuplicateId, match=first.id):
            read_run(path)


@pytest.mark.parametrize(
    ("number", "end", "remedy"),
    [
        (6, "", "resumes after the last complete line"),
        # A line end behind it: whoever goes on with the file takes it for a whole line.
        (6, "\n", "remove this line"),
        (5, "\n", "remove this line"),
        (2, "\n", "make the file again"),
        (1, "\n", "make the file again"),
    ],
)
def test_the_remedy_for_a_cut_line_leads_on(
    lines: list[dict[str, Any]], tmp_path: Path, number: int, end: str, remedy: str
) -> None:
    texts = [json.dumps(line, separators=(",", ":")) for line in lines]
    texts[number - 1] = texts[number - 1][:-9]
    file = tmp_path / "cut.jsonl"
    file.write_text("\n".join(texts) + end)
    with pytest.raises(CutShort, match=f"line {number} ends in the middle") as refused:
        read_run(file)
    assert remedy in (refused.value.remedy or "")
    assert "alpha-umi evaluate generate" in (refused.value.remedy or "")


@pytest.mark.parametrize("kind", ["trajectory-run", "trajectory"])
def test_a_trajectory_file_is_recognized(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "trajectories.jsonl"
    file.write_text(json.dumps({"kind": kind, "suite": "three", "trajectories": 1}) + "\n")
    with pytest.raises(NotTheFormat, match="is a file of trajectories") as refused:
        read_run(file)
    assert "--format trajectories" in (refused.value.remedy or "")
