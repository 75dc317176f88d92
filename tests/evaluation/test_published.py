"""The published format: read and written back, with the figures of the published program."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.measured_steps import CLOCK, called, case_of, pairs_of, wrote

from alpha_umi.roles.turns import tool_line
from evaluation.errors import NoReference
from evaluation.files.outputs import RoleText, read_prediction
from evaluation.files.published import (
    PublishedStep,
    pair,
    prediction_text,
    read_published,
    read_published_file,
    reference_text,
    split_turns,
    write_published_file,
)
from evaluation.metrics import PUBLISHED
from evaluation.scoring import score
from recordings.errors import CutShort, DataError, DuplicateId, FileUnreadable, NotTheFormat

CALL = "assistant: go. Next: caller.</s>caller: Action: clock\nAction Input: {}</s>"


def entry(**fields: Any) -> dict[str, Any]:
    tool = {"Name": "clock", "function": "the time", "input": {"zone": "string, where", "hours": "any, how"}}
    return {"tools": [tool], "instruction": "when?", "history": [], "reference": CALL, "predictions": CALL} | fields


def written(tmp_path: Path, *entries: Any) -> Path:
    file = tmp_path / "predictions.json"
    file.write_text(json.dumps(entries))
    return file


def test_the_figures_are_the_published_ones(golden: Path) -> None:
    expected = json.loads((golden / "metrics_expected.json").read_text())
    scores = score(read_published_file(golden / "metrics_predictions.json"))
    assert {metric.name for metric in PUBLISHED} == expected.keys()
    for name, figure in expected.items():
        assert scores.value(name) == pytest.approx(figure, abs=1e-9), name
    assert (scores.steps, scores.missing) == (160, ())


def test_published_predictions_survive_being_written(golden: Path, tmp_path: Path) -> None:
    pairs = read_published_file(golden / "metrics_predictions.json")
    write_published_file(tmp_path / "again.json", pairs)
    assert read_published_file(tmp_path / "again.json") == pairs
    upstream = json.loads((golden / "metrics_predictions.json").read_text())
    for old, new in zip(upstream, json.loads((tmp_path / "again.json").read_text()), strict=True):
        assert {name: new[name] for name in old} == old


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("no idea. Next: give up.", PublishedStep("give up")),
        ("a Next: conclusion.</s>conclusion: b Next: give up", PublishedStep("give up")),
        ("a Next: conclusion.</s>conclusion: it is 5</s>", PublishedStep("finish", answer="it is 5")),
        ("a Next: conclusion.</s>conclusion: x conclusion: y", PublishedStep("finish", answer="y")),
        ("a Next: conclusion.</s>", PublishedStep("finish", answer="a Next: conclusion.")),
        ("a Next: conclusion.</s>conclusion:", PublishedStep("finish", answer="a Next: conclusion.conclusion:")),
        (CALL, PublishedStep("call", "clock", "{}")),
        ("hm</s>caller: Action: f\nAction Input: 1\nAction Input: 2</s>Action: g", PublishedStep("call", "f", "2")),
        ("hm</s>caller: Action: a Action: b", PublishedStep("call", "b", "{}")),
        ("hm</s>caller: nothing", PublishedStep("call", "none", "{}")),
        ("Action: lost", PublishedStep("call", "none", "{}")),
        ("", PublishedStep("call", "none", "{}")),
    ],
)
def test_texts_are_read_as_the_published_program_reads_them(text: str, step: PublishedStep) -> None:
    assert read_published(text) == step


@pytest.mark.parametrize(
    ("prediction", "text"),
    [
        (called("f", '{"a": 1}'), 'assistant: I ask. Next: caller.</s>caller: Action: f\nAction Input: {"a": 1}</s>'),
        (called("f", "{broken"), "assistant: I ask. Next: caller.</s>caller: Action: f\nAction Input: {broken</s>"),
        (wrote("no decision"), "assistant: no decision</s>"),
        (wrote("no. Next: give up."), "no. Next: give up."),
        (
            read_prediction([RoleText("backbone", 'I ask.\nAction: f\nAction Input: {"a": 1}')]),
            'assistant: I ask. Next: caller.</s>caller: Action: f\nAction Input: {"a": 1}</s>',
        ),
        (
            read_prediction([RoleText("backbone", "I ask.\nAction: f\nAction Input: {broken")]),
            "assistant: I ask. Next: caller.</s>caller: Action: f\nAction Input: {broken</s>",
        ),
        (
            read_prediction([RoleText("backbone", "Done.\nconclusion: five")]),
            "assistant: Done. Next: conclusion.</s>conclusion: five</s>",
        ),
        (read_prediction([RoleText("backbone", "Stuck.\nconclusion: give up.")]), "Stuck. Next: give up."),
        (read_prediction([RoleText("backbone", "hm")]), "assistant: hm</s>"),
    ],
)
def test_predictions_are_written_in_the_published_form(prediction: Any, text: str) -> None:
    assert prediction_text(prediction) == text
    again = read_prediction(split_turns(text))
    assert (again.decision, again.call, again.answer) == (prediction.decision, prediction.call, prediction.answer)


def test_both_spellings_of_the_planners_label_are_read() -> None:
    for label in ("assistant: ", "asssitant: ", ""):
        read = read_prediction(split_turns(f"{label}go. Next: caller.</s>caller: Action: f\nAction Input: {{}}"))
        assert (read.rationale, read.decision, read.call and read.call.name) == ("go.", "caller", "f")


def test_cases_written_out_come_back(tmp_path: Path) -> None:
    pairs = [*pairs_of({"b/1": None}), pair(case_of("long", call=called("x" * 70, "{}").call), None)]
    write_published_file(tmp_path / "file.json", pairs)
    again = read_published_file(tmp_path / "file.json")
    assert [one.case.id for one in again] == ["a/1", "b/1", "c/1", "long"]
    assert [one.case.trajectory for one in again] == ["a", "b", "c", "long"]
    assert [one.case.history for one in again] == [one.case.history for one in pairs]
    assert [one.prediction is None for one in again] == [False, True, False, True]
    assert again[0].case.reference == pairs[0].case.reference
    assert again[3].published_reference.name == "x" * 64
    assert [tool_line(tool) for tool in again[0].case.tools] == [tool_line(tool) for tool in pairs[0].case.tools]
    assert again[0].case.tools[1].name == CLOCK.name


@given(texts=st.lists(st.text(max_size=20) | st.sampled_from(["</s>", "Action: ", "Next: give up", CALL]), max_size=5))
def test_any_texts_are_written_as_they_were(texts: list[str]) -> None:
    text = "".join(texts)
    with TemporaryDirectory() as folder:
        pairs = read_published_file(written(Path(folder), entry(reference=text, predictions=text)))
        write_published_file(Path(folder) / "again.json", pairs)
        assert read_published_file(Path(folder) / "again.json") == pairs
    assert (pairs[0].reference_text, pairs[0].prediction_text) == (text, text)


def test_a_tools_input_becomes_a_schema(tmp_path: Path) -> None:
    [one] = read_published_file(written(tmp_path, entry()))
    assert one.case.tools[0].parameters == {
        "type": "object",
        "properties": {"zone": {"type": "string", "description": "where"}, "hours": {"description": "how"}},
    }


def test_ids_and_trajectories_have_defaults(tmp_path: Path) -> None:
    history = [{"from": "user", "value": "when?"}, {"from": "assistant", "value": "hm"}]
    entries = [entry(), entry(history=history), entry(instruction="where?"), entry(instruction="")]
    cases = [one.case for one in read_published_file(written(tmp_path, *entries))]
    assert [case.id for case in cases] == ["1", "2", "3", "4"]
    assert [case.step for case in cases] == [1, 2, 1, 1]
    assert cases[0].trajectory == cases[1].trajectory != cases[2].trajectory
    assert cases[3].trajectory == "4"


def test_entries_without_predictions_are_counted_as_wrong(tmp_path: Path) -> None:
    bare = {name: value for name, value in entry().items() if name != "predictions"}
    scores = score(read_published_file(written(tmp_path, entry(), bare, entry(predictions=None))))
    assert (scores.steps, scores.missing) == (3, ("2", "3"))
    for name in ("plan_em", "action_em", "f1", "call_match"):
        assert scores.value(name) == pytest.approx(1 / 3), name


@pytest.mark.parametrize(
    ("text", "kind", "reply"),
    [
        ("", CutShort, "ends in the middle"),
        (json.dumps([entry()])[:-40], CutShort, "ends in the middle"),
        ("[1, 2", CutShort, "ends in the middle"),
        ("plain words", NotTheFormat, "is not JSON"),
        ('[{"a": 1},\n nonsense]', NotTheFormat, "line 2, column 2"),
        ("[" * 100_000, NotTheFormat, "too deep"),
        ('{"tools": []}', NotTheFormat, "not a list of entries"),
        ("[1]", NotTheFormat, "entry 1"),
        (
            json.dumps([entry(), entry(tools=[{"function": "f"}])]),
            NotTheFormat,
            "entry 2: tools.0.Name: Field required",
        ),
        (json.dumps([entry(predictions=5)]), NotTheFormat, "entry 1: predictions"),
        (json.dumps([entry(history=[{"from": "nobody", "value": ""}])]), NotTheFormat, "entry 1: history.0.from"),
        (json.dumps([entry(id="x"), entry(id="x")]), DuplicateId, "'x'"),
        (json.dumps([entry(id="2"), entry()]), DuplicateId, "'2'"),
        (json.dumps([entry(), entry(reference=None)]), NoReference, "entry '2'"),
    ],
)
def test_what_is_no_published_file_is_refused(tmp_path: Path, text: str, kind: type[DataError], reply: str) -> None:
    file = tmp_path / "file.json"
    file.write_text(text)
    with pytest.raises(kind) as refused:
        read_published_file(file)
    assert str(file) in refused.value.message
    assert reply in refused.value.message
    assert refused.value.remedy


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"[\xe4]")
    for name, reply in (("latin", "byte 1"), ("nothing", "No such file"), (".", "directory")):
        with pytest.raises(FileUnreadable, match=reply):
            read_published_file(tmp_path / name)


def test_a_reference_that_cannot_be_read_strictly_keeps_its_published_decision(tmp_path: Path) -> None:
    broken = "assistant: go. Next: caller.</s>caller: Action: clock\nAction Input: {broken</s>"
    cases = [one.case for one in read_published_file(written(tmp_path, entry(reference=broken), entry(reference="hm")))]
    assert [case.reference.decision for case in cases] == ["caller", "caller"]
    assert [case.reference.call for case in cases] == [None, None]
    assert read_published(reference_text(cases[0].reference)) == PublishedStep("call", "none", "{}")


def test_references_are_written_in_the_published_form() -> None:
    assert reference_text(case_of(decision="give up").reference) == "Let me see. Next: give up."
    assert reference_text(case_of(decision="conclusion", answer="five").reference) == (
        "assistant: Let me see. Next: conclusion.</s>conclusion: five</s>"
    )
