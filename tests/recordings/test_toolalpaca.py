"""ToolAlpaca with golden calls: the first call of an instruction is a step, further calls are counted."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from alpha_umi.roles.turns import tool_line
from recordings.cases import NO_CALL, NO_HISTORY, step_cases, steps_without_reference
from recordings.errors import CutShort, DataError, NotTheFormat
from recordings.formats import toolalpaca_golden
from recordings.suites.suite import Suite, load_suite
from recordings.trajectory import NOT_OFFERED, Loaded, recorded_calls

Json = dict[str, Any]
NAME = "toolalpaca-simulated"
FUNCTIONS = {
    "tide": "Tides of a harbour.\n"
    'Parameters: {"harbour": "Required. string. Its name.", "days": "Array[integer]. One of: [1, 2]. Which.", '
    '"unit": "string."}\n'
    "Output: Successful response.\n - Format: application/json\n - Structure: Object{times: Array[Object{at}]}",
    "harbours": "All harbours.\nParameters: {}\nOutput: Names.",
    "components": "#Tide: Object{at}",
}
TIDE = {"Action": "tide", "Action_Input": '{"harbour": "Nes", "days": [1]}'}


def asking(*answers: list[Json], **changes: Any) -> Json:
    """An API with an instruction for each of the answers."""
    instructions = [f"Question {number}?" for number in range(len(answers))]
    return {
        "Name": "Harbours",
        "Function_Description": FUNCTIONS,
        "Instructions": instructions,
        "Golden_Answers": list(answers),
    } | changes


def loaded(folder: Path, *apis: Any) -> Loaded:
    path = folder / "golden.json"
    path.write_text(json.dumps(apis), encoding="utf-8")
    return toolalpaca_golden.load(path)


def test_the_first_call_is_the_step_and_the_others_are_counted(tmp_path: Path) -> None:
    suite = loaded(tmp_path, asking([TIDE, TIDE, TIDE], [{"Action": "harbours", "Action_Input": "{}"}]))
    first, second = (case for trajectory in suite.trajectories for case in step_cases(trajectory))
    assert [(turn.role, turn.content) for turn in first.history] == [("user", "Question 0?")]
    assert (first.reference.decision, first.reference.rationale) == ("caller", "")
    assert first.reference.call is not None
    assert second.reference.call is not None
    assert (first.reference.call.name, first.reference.call.arguments) == ("tide", {"harbour": "Nes", "days": [1]})
    assert (second.reference.call.name, second.reference.call.arguments) == ("harbours", {})
    assert suite.excluded == {NO_HISTORY: 2}


def test_the_functions_of_the_api_are_on_offer(tmp_path: Path) -> None:
    (trajectory,) = loaded(tmp_path, asking([TIDE])).trajectories
    tide, harbours = trajectory.tools
    assert json.loads(tool_line(tide)) == {
        "Name": "tide",
        "function": "Tides of a harbour.",
        "input": {"harbour": "string, Its name.", "days": "array, One of: [1, 2]. Which.", "unit": "string"},
    }
    assert tide.parameters["required"] == ["harbour"]
    assert json.loads(tool_line(harbours)) == {"Name": "harbours", "function": "All harbours.", "input": {}}


def test_asking_the_user_is_a_conclusion(tmp_path: Path) -> None:
    ask = {"Action": "getDetails", "Action_Input": '{"Question": "Which harbour?"}'}
    suite = loaded(tmp_path, asking([ask, TIDE]))
    (case,) = step_cases(suite.trajectories[0])
    assert (case.reference.decision, case.reference.answer) == ("conclusion", "Which harbour?")
    assert suite.excluded == {NO_HISTORY: 1}


@pytest.mark.parametrize(
    "golden", ["the tide in Nes", '{"harbour": ${a harbour}}', '["Nes"]', '"Nes"', '{"harbour', ""]
)
def test_a_golden_input_that_is_no_object_is_counted(tmp_path: Path, golden: str) -> None:
    suite = loaded(tmp_path, asking([{"Action": "tide", "Action_Input": golden}, TIDE], [TIDE]))
    assert steps_without_reference(suite.trajectories) == {NO_CALL: 1}
    assert suite.excluded == {NO_HISTORY: 1}
    broken, complete = suite.trajectories
    assert broken.turns[-1].content == f"Action: tide\nAction Input: {golden}"
    assert (list(step_cases(broken)), len(list(step_cases(complete)))) == ([], 1)


def test_a_golden_call_of_no_function_of_the_api_is_counted(tmp_path: Path) -> None:
    unknown = [{"Action": "[Optional]tide", "Action_Input": "{}"}, TIDE]
    suite = loaded(tmp_path, asking(unknown, [TIDE], [{"Action": "components", "Action_Input": "{}"}]))
    assert suite.excluded == {NOT_OFFERED: 2}
    assert [trajectory.instruction for trajectory in suite.trajectories] == ["Question 1?"]


def test_an_instruction_of_two_apis_has_two_ids(tmp_path: Path) -> None:
    one, other = loaded(tmp_path, asking([TIDE]), asking([TIDE], Name="Ports")).trajectories
    assert other.id == f"{one.id}-2"


def without(column: str) -> Json:
    return {name: value for name, value in asking([TIDE]).items() if name != column}


@pytest.mark.parametrize(
    ("api", "reason"),
    [
        (without("Name"), "entry 2: Name"),
        (without("Function_Description"), "entry 2: Function_Description"),
        (without("Instructions"), "entry 2: Instructions"),
        (without("Golden_Answers"), "entry 2: Golden_Answers"),
        (asking([]), r"entry 2: Golden_Answers\.0"),
        (asking([{"Action": "tide"}]), r"entry 2: Golden_Answers\.0\.0\.Action_Input"),
        (asking([{"Action_Input": "{}"}]), r"entry 2: Golden_Answers\.0\.0\.Action"),
        (asking([{"Action": "tide", "Action_Input": {"harbour": "Nes"}}]), r"Golden_Answers\.0\.0\.Action_Input"),
        (asking([TIDE], Instructions=[""]), r"entry 2: Instructions\.0"),
        (asking([TIDE], Instructions=["a", "b"]), "'Harbours': there are 2 Instructions and 1 Golden_Answers"),
        (asking([TIDE], Function_Description=None), "entry 2: Function_Description"),
        (asking([TIDE], Function_Description={"components": "-"}), "'Harbours': Function_Description: there is no"),
        ("Harbours", "entry 2"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, api: Any, reason: str) -> None:
    with pytest.raises(NotTheFormat, match=reason) as refused:
        loaded(tmp_path, asking([TIDE]), api)
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("text", "error", "reason"),
    [
        ('[{"Name": ', CutShort, "golden.json ends in the middle"),
        ("[}", NotTheFormat, "golden.json is not JSON"),
        (json.dumps(asking([TIDE])), NotTheFormat, "golden.json holds no list"),
    ],
)
def test_a_broken_file(tmp_path: Path, text: str, error: type[DataError], reason: str) -> None:
    path = tmp_path / "golden.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(error, match=reason):
        toolalpaca_golden.load(path)


def test_broken_entries_can_be_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "golden.json"
    path.write_text(json.dumps([without("Name"), asking([TIDE], Instructions=[]), asking([TIDE])]), encoding="utf-8")
    broken: list[NotTheFormat] = []
    assert len(toolalpaca_golden.load(path, broken.append).trajectories) == 1
    assert ["entry 1" in error.message or "0 Instructions" in error.message for error in broken] == [True, True]


@pytest.fixture
def real(data: Path) -> Suite:
    return load_suite(NAME, data)


def test_exclusions_of_the_full_set(real: Suite) -> None:
    assert real.excluded == {NO_HISTORY: 54, NO_CALL: 7}
    # An instruction that cannot be measured is not to be learned from either.
    assert len(real.digests) == len(real.trajectories) == 100


def test_tools_of_the_full_set(real: Suite) -> None:
    by_number = Counter(len(tools) for tools in {tuple(tool.name for tool in each.tools) for each in real.trajectories})
    assert by_number == {5: 3, 6: 2, 9: 2, 2: 1, 3: 1, 4: 1}
    tools = {tool.name: tool for trajectory in real.trajectories for tool in trajectory.tools}
    without_parameters = {name for name, tool in tools.items() if not tool.parameters["properties"]}
    assert without_parameters == {"getRandomAxolotlImage", "getBibleLanguages", "listCountries", "listLanguages"}
    # One golden call names a parameter that its function has not; it is a reference all the same.
    strange = [
        set(case.reference.call.arguments) - set(tools[case.reference.call.name].parameters["properties"])
        for case in real.cases
        if case.reference.call is not None
    ]
    assert [each for each in strange if each] == [{"filter"}]


def test_nothing_answers_its_calls(real: Suite) -> None:
    assert not any(list(recorded_calls(trajectory)) for trajectory in real.trajectories)
