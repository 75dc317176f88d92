"""BFCL in the layout of its package: with synthetic questions, and with the real package if it is installed."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from alpha_umi.serving.calls.grammar import call_grammar
from alpha_umi.serving.calls.offer import prompt_tools
from evaluation.files.outputs import Prediction
from evaluation.files.published import Pair, pair
from evaluation.files.step_run import CaseRecord, OutputRecord, PredictionRecord, RunRecord
from evaluation.official.bfcl import CheckerFailed, CheckerMissing, bfcl_report, checker_python
from recordings.cases import NO_OTHER_TOOL, NO_SINGLE_CALL
from recordings.errors import CutShort, DataMissing, DuplicateId, EmptySuite, FileUnreadable, NotTheFormat, UnknownSuite
from recordings.formats import bfcl
from recordings.schemas import nested_schema
from recordings.suites.suite import Suite, load_suite, suite_digests
from training.filters import contamination_filter

Json = dict[str, Any]
TIDES = {
    "name": "harbour.tides",
    "description": "Tides of a harbour.",
    "parameters": {
        "type": "dict",
        "properties": {
            "harbour": {"type": "string", "description": "Its name.", "optional": False},
            "days": {"type": "tuple", "items": {"type": "float"}, "description": "Which."},
            "boat": {"type": "dict", "properties": {"draught": {"type": "float"}, "flag": {"type": "any"}}},
            "unit": {"type": "string", "enum": ["m", "ft"], "default": "m"},
        },
        "required": ["harbour"],
    },
}
VALUES = {
    "harbour": ["Nes", "nes"],
    "days": [[1.0, 2.0]],
    "boat": ["", {"draught": [1.5], "flag": ["", "NL"]}],
    "unit": ["", "m"],
}


def question(name: str, *messages: str, functions: tuple[Json, ...] = (TIDES,)) -> Json:
    turns = [dict(zip(("role", "content"), each.split(": ", 1), strict=True)) for each in messages or ("user: Tides?",)]
    return {"id": name, "question": [turns], "function": list(functions)}


def answer(name: str, *calls: Json) -> Json:
    return {"id": name, "ground_truth": list(calls or [{"harbour.tides": VALUES}])}


def written(folder: Path, category: str, questions: list[Any], answers: list[Any] | None = None) -> Path:
    """A category in the layout of the package."""
    (folder / "possible_answer").mkdir(exist_ok=True)
    for file, lines in zip(bfcl.files(folder, category), (questions, answers or []), strict=False):
        file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder


def test_a_call_is_the_first_that_is_right(tmp_path: Path) -> None:
    folder = written(tmp_path, "simple_python", [question("simple_python_0")], [answer("simple_python_0")])
    (trajectory,) = bfcl.load(folder, ["simple_python"]).trajectories
    assert [turn.role for turn in trajectory.turns] == ["user", "planner", "caller"]
    assert json.loads(trajectory.turns[-1].content.partition("Action Input: ")[2]) == {
        "harbour": "Nes",
        "days": [1.0, 2.0],
    }
    assert trajectory.tools[0].name == "harbour.tides"


def test_parts_of_an_object_have_values_of_their_own(tmp_path: Path) -> None:
    values = VALUES | {"boat": [{"draught": [1.5, 2.0], "flag": ["", "NL"]}], "fleet": [[{"draught": [3.0]}]]}
    folder = written(tmp_path, "multiple", [question("multiple_0")], [answer("multiple_0", {"harbour.tides": values})])
    call = bfcl.load(folder, ["multiple"]).trajectories[0].turns[-1].content
    arguments = json.loads(call.partition("Action Input: ")[2])
    assert (arguments["boat"], arguments["fleet"]) == ({"draught": 1.5}, [{"draught": 3.0}])


def test_types_become_those_of_json_schema(tmp_path: Path) -> None:
    folder = written(tmp_path, "irrelevance", [question("irrelevance_0")])
    (tool,) = bfcl.load(folder, ["irrelevance"]).trajectories[0].tools
    properties = tool.parameters["properties"]
    assert (tool.parameters["type"], tool.parameters["required"]) == ("object", ["harbour"])
    assert properties["harbour"] == {"type": "string", "description": "Its name."}
    assert properties["days"] == {"type": "array", "items": {"type": "number"}, "description": "Which."}
    assert properties["boat"]["properties"] == {"draught": {"type": "number"}, "flag": {"type": "string"}}
    assert properties["unit"] == {"type": "string", "enum": ["m", "ft"], "default": "m"}


@pytest.mark.parametrize(
    ("parameters", "schema"),
    [
        ({"type": "boolean", "enum": ["True", "False"]}, {"type": "boolean"}),
        ({"type": "boolean", "enum": [True, "maybe"]}, {"type": "boolean", "enum": [True]}),
        ({"type": "integer", "enum": [1, 2]}, {"type": "integer", "enum": [1, 2]}),
        ({"type": "integer", "enum": [True]}, {"type": "integer"}),
        ({"type": "float", "enum": [1, 0.5]}, {"type": "number", "enum": [1, 0.5]}),
        (
            {"type": "array", "items": {"type": "string"}, "enum": ["a", "b"]},
            {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}},
        ),
        ({"type": "array", "items": {"type": "float"}, "enum": ["a"]}, {"type": "array", "items": {"type": "number"}}),
        ({"type": "", "enum": ["a"]}, {"enum": ["a"]}),
    ],
)
def test_values_that_a_type_does_not_allow_are_none(parameters: Json, schema: Json) -> None:
    assert nested_schema(parameters) == schema


def test_the_caller_can_be_held_to_what_is_on_offer(real: Suite) -> None:
    for case in real.cases[::60]:
        assert call_grammar(prompt_tools(case.tools))


def test_where_nothing_helps_the_reference_gives_up(tmp_path: Path) -> None:
    folder = written(
        tmp_path, "live_irrelevance", [question("live_irrelevance_0-0-0", "system: Be brief.", "user: Hm?")]
    )
    (trajectory,) = bfcl.load(folder, ["live_irrelevance"]).trajectories
    assert [turn.content for turn in trajectory.turns] == ["Be brief.\n\nHm?", "Next: give up."]


def test_unsupported_questions_are_counted_and_excluded_from_training(tmp_path: Path) -> None:
    written(tmp_path, "parallel", [question("parallel_0")])
    written(tmp_path, "simple_java", [question("simple_java_0")])
    written(tmp_path, "live_relevance", [question("live_relevance_0-0-0")])
    several = question("irrelevance_0", "user: A?", "assistant: B.", "user: C?")
    written(tmp_path, "irrelevance", [several, question("irrelevance_1", functions=())])
    loaded = bfcl.load(tmp_path, ["parallel", "simple_java", "live_relevance", "irrelevance"])
    assert loaded.excluded == {
        NO_SINGLE_CALL: 1,
        bfcl.NOT_MEASURED["simple_java"]: 1,
        bfcl.NOT_MEASURED["live_relevance"]: 1,
        bfcl.SEVERAL_TURNS: 1,
        NO_OTHER_TOOL: 1,
    }
    assert [len(each.turns) for each in loaded.trajectories] == [1] * 5


@pytest.mark.parametrize(
    ("question", "answers", "reason"),
    [
        (question("multiple_0") | {"id": ""}, [], "line 1: id"),
        ({"id": "multiple_0"}, [], "line 1: question"),
        (question("multiple_0", "tool: x"), [], r"line 1: question\.0\.0\.role"),
        (question("multiple_0") | {"function": [{"name": "f"}]}, [], r"line 1: function\.0\."),
        (question("multiple_0"), [], "'multiple_0': possible_answer does not name exactly one expected call"),
        (question("multiple_0"), [answer("multiple_0", {"f": {}}, {"f": {}})], "does not name exactly one"),
        (question("multiple_0"), [answer("multiple_0", {"f": {}})], "the call is of 'f', which is not an offered"),
        (question("multiple_0"), [{"id": "multiple_0", "ground_truth": [{"f": 5}]}], "line 1: ground_truth"),
        ([1], [], "line 1"),
    ],
)
def test_broken_lines_are_named(tmp_path: Path, question: Any, answers: list[Json], reason: str) -> None:
    folder = written(tmp_path, "multiple", [question], answers)
    with pytest.raises(NotTheFormat, match=reason) as refused:
        bfcl.load(folder, ["multiple"])
    assert refused.value.remedy


def test_a_cut_file_a_repeated_question_and_an_unknown_category(tmp_path: Path) -> None:
    folder = written(tmp_path, "multiple", [question("multiple_0")] * 2, [answer("multiple_0")])
    with pytest.raises(DuplicateId, match="multiple_0"):
        bfcl.load(folder, ["multiple"])
    (folder / "BFCL_v4_multiple.json").write_text('{"id": "mul', encoding="utf-8")
    with pytest.raises(CutShort, match="line 1 ends in the middle"):
        bfcl.load(folder, ["multiple"])
    with pytest.raises(UnknownSuite, match="no category 'web_search'") as refused:
        bfcl.load(folder, ["web_search"])
    assert "live_multiple" in (refused.value.remedy or "")


def test_missing_data_says_where_it_comes_from(tmp_path: Path) -> None:
    with pytest.raises(DataMissing) as refused:
        load_suite("bfcl", tmp_path)
    assert "bfcl-eval" in (refused.value.remedy or "")
    (tmp_path / "eval" / "bfcl").mkdir(parents=True)
    with pytest.raises(FileUnreadable, match="BFCL_v4_simple_python"):
        load_suite("bfcl", tmp_path)
    assert len(suite_digests("bfcl", tmp_path)) == 3_400


def test_a_category_without_a_step_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "eval" / "bfcl").mkdir(parents=True)
    written(tmp_path / "eval" / "bfcl", "parallel", [question("parallel_0")])
    with pytest.raises(EmptySuite, match="'bfcl' has no step"):
        load_suite("bfcl:parallel", tmp_path)


def test_a_python_that_is_not_there_or_lacks_the_package(tmp_path: Path, made_up: list[Pair]) -> None:
    with pytest.raises(CheckerMissing, match="does not exist") as refused:
        checker_python({"ALPHA_UMI_BFCL_PYTHON": str(tmp_path / "python")})
    assert "make bfcl-setup" in (refused.value.remedy or "")
    with pytest.raises(CheckerFailed):
        bfcl_report(made_up, Path("/bin/false"))
    with pytest.raises(CheckerFailed, match="cannot be read"):
        bfcl_report(made_up, Path("/bin/true"))


def test_what_is_no_question_of_bfcl_is_refused(tmp_path: Path) -> None:
    written(tmp_path, "multiple", [question("other_0")], [answer("other_0")])
    with pytest.raises(NotTheFormat, match="'other_0' is not a question of BFCL"):
        bfcl_report(predicted(Suite(None, (), bfcl.load(tmp_path, ["multiple"]).trajectories, {})), Path("/bin/true"))  # type: ignore[arg-type]
    with pytest.raises(EmptySuite):
        bfcl_report([], Path("/bin/true"))


def predicted(suite: Suite) -> list[Pair]:
    """A run whose predictions are the references."""
    return [pair(case, Prediction((), case.reference.decision, call=case.reference.call)) for case in suite.cases]


@pytest.fixture
def made_up(tmp_path: Path) -> list[Pair]:
    written(tmp_path, "multiple", [question("multiple_0")], [answer("multiple_0")])
    return predicted(Suite(None, (), bfcl.load(tmp_path, ["multiple"]).trajectories, {}))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def python() -> Path:
    """The Python interpreter with the real package."""
    try:
        return checker_python(os.environ)
    except CheckerMissing as missing:
        pytest.skip(f"{missing.message}; {missing.remedy}")


@pytest.fixture(scope="module")
def real(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Suite:
    """The full suite, from the package's data."""
    (package,) = python.parents[1].glob("lib/python*/site-packages/bfcl_eval/data")
    folder = tmp_path_factory.mktemp("data")
    (folder / "eval").mkdir()
    (folder / "eval" / "bfcl").symlink_to(package)
    return load_suite("bfcl", folder)


def test_what_the_package_holds(real: Suite) -> None:
    assert (len(real.trajectories), len(real.cases)) == (3_641, 3_022)
    assert Counter(case.reference.decision for case in real.cases) == {"caller": 1_911, "give up": 1_111}
    assert real.excluded == {
        NO_SINGLE_CALL: 440,
        bfcl.NOT_MEASURED["simple_java"]: 150,
        bfcl.NOT_MEASURED["live_relevance"]: 16,
        bfcl.SEVERAL_TURNS: 9,
        NO_OTHER_TOOL: 4,
    }


def test_training_leaves_its_questions_out(real: Suite, tmp_path: Path) -> None:
    contamination = contamination_filter((), tmp_path, None)
    for name in ("simple_python_0", "parallel_0", "simple_java_0", "live_relevance_0-0-0"):
        (trajectory,) = (each for each in real.trajectories if each.id == name)
        assert contamination.reason(trajectory) == "an instruction of the suite bfcl"


def test_the_package_finds_the_references_right(real: Suite, python: Path) -> None:
    report = bfcl_report(predicted(real), python)
    # Three answers of the package lack a parameter that is required, one names a parameter that its function has not.
    assert report.total.errors == {
        "simple_function_checker:missing_required": 3,
        "simple_function_checker:unexpected_param": 1,
    }
    assert {name: score.n for name, score in report.categories.items()} == {
        "simple_python": 400, "multiple": 200, "live_simple": 258, "live_multiple": 1_053, "irrelevance": 240,
        "live_irrelevance": 871,
    }  # fmt: skip
    assert report.package.startswith("bfcl-eval 20")


def test_the_package_finds_others_wrong(real: Suite, python: Path) -> None:
    some = [case for case in real.cases if case.trajectory in ("simple_python_0", "simple_python_1", "irrelevance_0")]
    one, other, none = some
    wrong = [
        pair(one, Prediction((), "conclusion")),
        pair(other, Prediction((), "caller", call=one.reference.call)),
        pair(none, Prediction((), "caller", call=one.reference.call)),
        pair(next(case for case in real.cases if case.trajectory == "irrelevance_1"), None),
    ]
    report = bfcl_report(wrong, python)
    assert (report.total.valid, report.total.n) == (0, 4)
    assert report.total.errors == {
        "simple_function_checker:wrong_count": 1,
        "simple_function_checker:wrong_func_name": 1,
        "irrelevance_error:decoder_success": 1,
        "missing_prediction": 1,
    }


def test_the_command_judges_a_run(real: Suite, python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from cli.main import app

    right, none = (
        next(each for each in real.cases if each.trajectory == name) for name in ("multiple_0", "irrelevance_0")
    )
    assert right.reference.call is not None
    texts = {right.id: ("planner", "Next: caller."), none.id: ("planner", "Next: conclusion.")}
    outputs = {name: [output(*text)] for name, text in texts.items()}
    outputs[right.id].append(output("caller", right.reference.call.text))
    about = RunRecord(suite="bfcl", cases=2, constrained=True, template="toolbench", models={})
    cases = [CaseRecord.of(each) for each in (right, none)]
    records = [about, *cases, *(PredictionRecord.of(name, wrote) for name, wrote in outputs.items())]
    (tmp_path / "run.jsonl").write_text("".join(each.model_dump_json() + "\n" for each in records), encoding="utf-8")
    monkeypatch.setenv("ALPHA_UMI_BFCL_PYTHON", str(python))
    result: Result = CliRunner().invoke(app, ["evaluate", "bfcl", str(tmp_path / "run.jsonl"), "--json"])
    assert (result.exit_code, json.loads(result.stdout)["total"]["valid"]) == (0, 2)
    shown: Result = CliRunner().invoke(app, ["evaluate", "bfcl", str(tmp_path / "run.jsonl")])
    rows = [line.split() for line in shown.stdout.splitlines()[1:4]]
    assert [(row[0], row[1], row[-1]) for row in rows] == [
        ("multiple", "1.0000", "1"), ("irrelevance", "1.0000", "1"), ("all", "1.0000", "2"),
    ]  # fmt: skip


def output(role: Any, text: str) -> OutputRecord:
    return OutputRecord(
        role=role, prompt_sha256="0" * 64, text=text, prompt_tokens=1, completion_tokens=1, total_ms=1.0
    )


def test_the_command_needs_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from cli.main import app

    monkeypatch.setenv("ALPHA_UMI_BFCL_PYTHON", str(tmp_path / "python"))
    result: Result = CliRunner().invoke(app, ["evaluate", "bfcl", str(tmp_path / "run.jsonl")])
    assert result.exit_code == 2
    assert "make bfcl-setup" in " ".join(result.stderr.split())
