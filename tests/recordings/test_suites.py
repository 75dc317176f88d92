"""The suites with their real data; skipped without it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from alpha_umi.roles.template import load_template, render
from alpha_umi.roles.turns import tool_line
from recordings.errors import DataDiffers, DataMissing, EmptySuite, NotTheFormat, UnknownSuite
from recordings.suites.__main__ import main
from recordings.suites.definition import (
    data_folder,
    digests_path,
    read_definition,
    read_digests,
    suite_names,
    suite_path,
)
from recordings.suites.suite import load_suite, suite_digests

# Trajectories, steps, and steps by decision.
SIZES = {
    "toolbench-out-of-domain": (200, 765, {"caller": 564, "conclusion": 146, "give up": 55}),
    "gsm8k": (300, 1263, {"caller": 963, "conclusion": 300}),
    "gsm8k-python": (300, 1263, {"caller": 963, "conclusion": 300}),
    "seal-tools": (698, 1783, {"caller": 1783}),
    "rotbench-gpt4": (388, 1117, {"caller": 733, "conclusion": 374, "give up": 10}),
    "toolalpaca-simulated": (100, 93, {"caller": 85, "conclusion": 8}),
    "stabletoolbench-queries": (765, 0, {}),
}
# Their data is nowhere near, or in a package; see test_math.py and test_bfcl.py.
ELSEWHERE = ("bfcl", "math", "math-500")


@pytest.mark.parametrize("name", SIZES)
def test_what_a_suite_holds(data: Path, name: str) -> None:
    suite = load_suite(name, data)
    cases = suite.cases
    decisions = Counter(case.reference.decision for case in cases)
    assert (len(suite.trajectories), len(cases), dict(decisions)) == SIZES[name]
    assert len({case.id for case in cases}) == len(cases)
    for case in cases:
        assert case.history[0].role == "user"
        assert (case.reference.call is None) == (case.reference.decision != "caller")
        assert (case.reference.answer is None) == (case.reference.decision != "conclusion")
        assert len({tool.name for tool in case.tools}) == len(case.tools)


def test_every_suite_is_measured_here() -> None:
    assert suite_names() == sorted([*SIZES, *ELSEWHERE])


def test_toolbench_steps_are_the_published_ones(data: Path, golden: Path) -> None:
    """The published evaluation's own sample of this data has the same histories, tools and references."""
    published = json.loads((golden / "metrics_predictions.json").read_text(encoding="utf-8"))
    cases = {
        tuple(turn.content for turn in case.history): case for case in load_suite("toolbench-out-of-domain", data).cases
    }
    assert len(published) == 160
    for entry in published:
        case = cases[tuple(turn["value"] for turn in entry["history"])]
        assert [json.loads(tool_line(tool)) for tool in case.tools] == entry["tools"]
        assert case.reference.rationale in entry["reference"]
        assert f"Next: {case.reference.decision}" in entry["reference"]
        result = case.reference.call.text if case.reference.call else case.reference.answer
        assert (result or "") in entry["reference"]


def test_prompts_of_toolbench_steps_can_be_rendered(data: Path) -> None:
    case = load_suite("toolbench-out-of-domain", data).cases[0]
    prompt = render("planner", load_template("toolbench"), history=list(case.history), tools=list(case.tools))
    assert case.tools[0].name in prompt.text
    assert case.history[0].content in prompt.text


@pytest.mark.parametrize("name", SIZES)
def test_recorded_digests_are_those_of_the_data(data: Path, name: str) -> None:
    assert read_digests(digests_path(suite_path(name))) == load_suite(name, data).digests


@pytest.mark.parametrize("name", SIZES)
def test_digests_are_known_without_the_data(tmp_path: Path, name: str) -> None:
    assert len(suite_digests(name, tmp_path)) >= 100


def test_another_tool_has_the_same_questions(data: Path) -> None:
    calculator, python = (load_suite(name, data) for name in ("gsm8k", "gsm8k-python"))
    assert calculator.digests == python.digests
    assert [each.answer for each in calculator.trajectories] == [each.answer for each in python.trajectories]
    assert python.trajectories[0].turns[2].content == 'Action: python\nAction Input: {\n  "code": "9+7"\n}'
    assert python.trajectories[0].turns[3].content == "16"


def test_parts_of_a_suite(data: Path) -> None:
    suite = load_suite("rotbench-gpt4:NLP__NLP,Joke__jokes", data)
    assert {trajectory.id.partition("/")[0] for trajectory in suite.trajectories} == {"NLP__NLP", "Joke__jokes"}
    assert len(suite_digests("rotbench-gpt4:NLP__NLP,Joke__jokes", data)) == len(suite.digests)
    with pytest.raises(UnknownSuite, match="no tool set 'NLP'"):
        load_suite("rotbench-gpt4:NLP", data)
    with pytest.raises(NotTheFormat, match="has no parts"):
        load_suite("gsm8k:easy", data)


def test_missing_data_says_what_to_put_where(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="is not at") as caught:
        load_suite("gsm8k", tmp_path)
    assert "grade-school-math at eval/gsm8k_test_dev.jsonl" in (caught.value.remedy or "")
    assert "ALPHA_UMI_DATA" in (caught.value.remedy or "")
    with pytest.raises(DataMissing, match=f"there is no folder {tmp_path}/nowhere"):
        load_suite("gsm8k", tmp_path / "nowhere")


def test_the_folder_can_be_chosen(tmp_path: Path) -> None:
    assert data_folder({"ALPHA_UMI_DATA": str(tmp_path)}) == tmp_path
    assert data_folder({"ALPHA_UMI_DATA": ""}).parts[-2:] == ("shared", "data")


def test_an_unknown_suite_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UnknownSuite, match="'gsm'") as caught:
        load_suite("gsm", tmp_path)
    assert "gsm8k" in (caught.value.remedy or "")


def suite_file(folder: Path, **changes: object) -> Path:
    fields = {"name": "own", "title": "t", "loader": "gsm8k", "data": "data.jsonl", "licence": "l", "source": "s"}
    path = folder / "own.yaml"
    path.write_text(json.dumps(fields | changes), encoding="utf-8")
    return path


def write_problems(folder: Path, *answers: str) -> None:
    lines = [json.dumps({"question": f"Q{place}?", "answer": answer}) for place, answer in enumerate(answers)]
    (folder / "data.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_a_suite_of_ones_own_is_a_file(tmp_path: Path) -> None:
    write_problems(tmp_path, "1+1 is <<1+1=2>>2.\n#### 2", "no end")
    suite = load_suite(str(suite_file(tmp_path)), tmp_path)
    assert [case.reference.decision for case in suite.cases] == ["caller", "conclusion"]
    assert suite.excluded == {"a solution without a final number": 1}


def test_a_suite_without_steps_is_an_error(tmp_path: Path) -> None:
    write_problems(tmp_path)
    with pytest.raises(EmptySuite, match="'own' has no step"):
        load_suite(str(suite_file(tmp_path)), tmp_path)


def test_other_data_than_recorded_is_refused(tmp_path: Path) -> None:
    write_problems(tmp_path, "#### 2")
    path = suite_file(tmp_path)
    digests_path(path).write_text("0" * 64 + "\n", encoding="ascii")
    with pytest.raises(DataDiffers, match="1 are new and 1 are missing"):
        load_suite(str(path), tmp_path)
    digests_path(path).write_text("zero\n", encoding="ascii")
    with pytest.raises(NotTheFormat, match="line 1 is not a SHA-256 digest"):
        load_suite(str(path), tmp_path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"data": "../data.jsonl"}, "data: Value error, the path must be inside"),
        ({"data": "/data.jsonl"}, "data: Value error, the path must be inside"),
        ({"loader": "csv"}, "loader: "),
        ({"licence": ""}, "licence: "),
        ({"more": 1}, "more: "),
    ],
)
def test_a_wrong_suite_file_names_the_field(tmp_path: Path, changes: dict[str, object], reason: str) -> None:
    with pytest.raises(NotTheFormat, match=reason) as refused:
        read_definition(suite_file(tmp_path, **changes))
    assert refused.value.remedy == "docs/suites.md describes the format"


def test_a_suite_file_that_is_no_yaml(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("name: [", encoding="utf-8")
    with pytest.raises(NotTheFormat, match="neither YAML nor JSON"):
        read_definition(path)


def test_digests_are_recorded_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ALPHA_UMI_DATA", str(tmp_path))
    path = suite_file(tmp_path)
    digests_path(path).write_text("0" * 64 + "\n", encoding="ascii")
    assert main([str(path)]) == 1
    assert "put s at data.jsonl" in capsys.readouterr().err
    assert read_digests(digests_path(path)) == {"0" * 64}
    write_problems(tmp_path, "#### 2")
    assert main([str(path)]) == 0
    assert load_suite(str(path), tmp_path).digests == suite_digests(str(path), tmp_path / "nowhere")


def test_recording_nothing_says_how() -> None:
    assert main([]) == 2
