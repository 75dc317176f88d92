"""The loaders on small files, valid and invalid."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from support.synthetic_data import own_folder, own_trajectory

from alpha_umi.roles.caller import parse_call
from recordings.cases import NO_ANSWER, NO_CALL, NO_DECISION, step_cases, steps_without_reference
from recordings.errors import REMEDY, CutShort, DataMissing, DuplicateId, FileUnreadable, NotTheFormat
from recordings.formats import gsm8k, rotbench, seal_tools, toolbench, trajectories
from recordings.trajectory import NOT_OFFERED, recorded_calls

Json = dict[str, Any]


def written(path: Path, value: Any) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def conversation(*turns: tuple[str, str]) -> Json:
    tools = [{"Name": "look", "function": "Looks.", "input": {"at": "string, what", "odd": "money", "n": "integer"}}]
    return {
        "tools": tools,
        "instruction": turns[0][1],
        "conversations": [{"from": speaker, "value": value} for speaker, value in turns],
    }


CALL = 'Action: look\nAction Input: {\n  "at": "it"\n}'


def test_toolbench_steps_have_the_history_as_it_was(tmp_path: Path) -> None:
    turns = [
        ("user", "Look."),
        ("assistant", "I look. Next: caller."),
        ("caller", CALL),
        ("observation", ""),
        ("assistant", "Thinking aloud"),
        ("assistant", "Done. Next: conclusion."),
        ("conclusion", "Seen."),
    ]
    loaded = toolbench.load(written(tmp_path / "d.json", [conversation(*turns)]))
    first, second = (case for trajectory in loaded.trajectories for case in step_cases(trajectory))
    assert (first.step, first.reference.rationale, first.reference.call) == (1, "I look.", parse_call(CALL))
    assert (second.step, second.reference.answer) == (3, "Seen.")
    assert [turn.content for turn in second.history] == [value for _, value in turns[:5]]
    assert first.tools[0].parameters["properties"] == {
        "at": {"type": "string", "description": "what"},
        "odd": {},
        "n": {"type": "integer"},
    }
    assert steps_without_reference(loaded.trajectories) == {NO_DECISION: 1}
    assert [recorded.observation for recorded in recorded_calls(loaded.trajectories[0])] == [""]


def test_steps_that_cannot_be_right_or_wrong_are_counted(tmp_path: Path) -> None:
    broken = conversation(
        ("user", "Look."),
        ("assistant", "a Next: caller."),
        ("caller", "Action: look\nAction Input: {"),
        ("assistant", "b Next: conclusion."),
    )
    begun = conversation(("assistant", "a Next: give up."))
    loaded = toolbench.load(written(tmp_path / "d.json", [broken, begun]))
    assert steps_without_reference(loaded.trajectories) == {NO_CALL: 1, NO_ANSWER: 1}
    assert loaded.excluded == {toolbench.OTHER_ORDER: 1}


def test_repeated_instructions_have_ids_of_their_own(tmp_path: Path) -> None:
    same = conversation(("user", "Look."), ("assistant", "No. Next: give up."))
    loaded = toolbench.load(written(tmp_path / "d.json", [same, same]))
    first, second = (trajectory.id for trajectory in loaded.trajectories)
    assert second == f"{first}-2"


@pytest.mark.parametrize(
    ("text", "error", "reason"),
    [
        ("not json", NotTheFormat, "is not JSON"),
        ('[{"tools": [', CutShort, "ends in the middle"),
        ("{}", NotTheFormat, "no list"),
        ('[{"tools": []}]', NotTheFormat, "entry 1: instruction"),
        ("[" * 100_000, NotTheFormat, "too deep"),
    ],
)
def test_broken_lists(tmp_path: Path, text: str, error: type[Exception], reason: str) -> None:
    with pytest.raises(error, match=reason):
        toolbench.load(written(tmp_path / "d.json", text))


def test_an_unknown_speaker(tmp_path: Path) -> None:
    with pytest.raises(NotTheFormat, match=r"conversations\.0\.from"):
        toolbench.load(written(tmp_path / "d.json", [conversation(("robot", "Look."))]))


def test_calculations_are_steps(tmp_path: Path) -> None:
    answer = "Half is 48/2 = <<48/2=24>>24.\nAll are <<48+24=72>>72.\n#### 72"
    loaded = gsm8k.load(written(tmp_path / "d.jsonl", json.dumps({"question": "How many?", "answer": answer})))
    (trajectory,) = loaded.trajectories
    assert trajectory.answer == "72"
    calls = list(recorded_calls(trajectory))
    assert [(each.call.arguments["expression"], each.observation) for each in calls] == [
        ("48/2", '{"result":"24"}'),
        ("48+24", '{"result":"72"}'),
    ]
    assert [case.reference.rationale for case in step_cases(trajectory)] == ["Half is 48/2 =", "24. All are", "72."]


def test_a_calculation_that_is_none_is_left_out(tmp_path: Path) -> None:
    entry = {"question": "How many?", "answer": "<<x*2=4>>\n#### 4"}
    assert gsm8k.load(written(tmp_path / "d.jsonl", json.dumps(entry))).excluded == {gsm8k.NOT_COMPUTED: 1}


@pytest.mark.parametrize(
    ("answer", "expected", "right"),
    [
        ("She has $1,050.00 left.", "1050", True),
        ("It is 10, not 12.", "12", True),
        ("It is 12 and not 10", "12", False),
        ("It is -5.", "-5", True),
        ("0.50", ".5", True),
        ("1050.01", "1050", False),
        ("none", "0", False),
        (None, "0", False),
        ("10,20", "20", True),
    ],
)
def test_the_last_number_is_the_answer(answer: str | None, expected: str, right: bool) -> None:
    assert gsm8k.is_right(answer, expected) is right


def test_lines_are_named(tmp_path: Path) -> None:
    good = json.dumps({"question": "Q\u2028?", "answer": "#### 1"}, ensure_ascii=False)
    assert len(gsm8k.load(written(tmp_path / "d.jsonl", f"{good}\n\n")).trajectories) == 1
    with pytest.raises(CutShort, match="line 2"):
        gsm8k.load(written(tmp_path / "d.jsonl", f'{good}\n{{"question": "Q'))
    with pytest.raises(NotTheFormat, match="line 2: answer"):
        gsm8k.load(written(tmp_path / "d.jsonl", f'{good}\n{{"question": "Q"}}'))


SYSTEM = "Intro, following tools:\n" + json.dumps(
    [
        {
            "name": name,
            "description": name,
            "parameters": {"type": "object", "properties": {"q": {"type": "string", "desciption": "query"}}},
            "required": ["q", "gone"],
        }
        for name in ("search", "search", "finish", "ask_to_user")
    ]
)


def assistant_text(thought: str, action: str, arguments: str) -> str:
    return f"Thought: {thought}\nAction: {action}\nAction Input: {arguments}"


def row(number: int, *turns: tuple[str, str], question: str = "Find it") -> Json:
    both = [("system", SYSTEM), ("user", f"{question}\nBegin!\n"), *turns]
    return {
        "id": f"Turn {number}: {question}",
        "conversations": [{"from": speaker, "value": value} for speaker, value in both],
    }


def packed(folder: Path, *rows: Json, name: str = "Set__one") -> Path:
    text = "".join(json.dumps(each) + "\n" for each in rows)
    (folder / f"{name}.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    return folder


def test_rotbench_reads_complete_trajectories(tmp_path: Path) -> None:
    turns = [
        ("assistant", assistant_text("I ask. Next: caller.", "ask_to_user", '{"question": "Which?"}')),
        ("user", "This one"),
        ("assistant", assistant_text("", "search", '{"q": "it"}')),
        ("function", "[]"),
        ("assistant", assistant_text("Odd", "search", "{broken")),
        ("function", "error"),
        ("assistant", assistant_text("Over", "finish", '{"answer": "Sorry, I cannot handle the task."}')),
    ]
    loaded = rotbench.load(packed(tmp_path, row(1, turns[0]), row(4, *turns)), ())
    (trajectory,) = loaded.trajectories
    assert trajectory.id.startswith("Set__one/")
    assert [turn.role for turn in trajectory.turns] == [
        *("user", "planner", "conclusion", "user", "planner", "caller", "observation"),
        *("planner", "caller", "observation", "planner"),
    ]
    assert trajectory.instruction == "Find it"
    cases = list(step_cases(trajectory))
    assert [case.reference.decision for case in cases] == ["conclusion", "caller", "give up"]
    assert cases[0].reference.answer == "Which?"
    assert steps_without_reference([trajectory]) == {NO_CALL: 1}
    (tool,) = trajectory.tools
    assert tool.parameters == {
        "type": "object",
        "properties": {"q": {"type": "string", "description": "query"}},
        "required": ["q"],
    }


def test_rotbench_without_a_question_or_tools(tmp_path: Path) -> None:
    started = row(1, ("assistant", assistant_text("a", "finish", '{"answer": "b"}')))
    headless = {"id": "x", "conversations": [{"from": "user", "value": "no"}]}
    assert rotbench.load(packed(tmp_path, started, headless), ()).excluded == {rotbench.NOT_STARTED: 1}
    started["conversations"][0]["value"] = "no tools"
    with pytest.raises(NotTheFormat, match="lists no tools"):
        rotbench.load(packed(tmp_path, started), ())


def test_a_packed_file_that_is_cut_or_none(tmp_path: Path) -> None:
    packed(tmp_path, row(1, ("assistant", assistant_text("a", "finish", '{"answer": "b"}'))))
    path = tmp_path / "Set__one.jsonl.gz"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(CutShort, match="ends in the middle"):
        rotbench.load(tmp_path, ())
    path.write_bytes(b"plain")
    with pytest.raises(FileUnreadable, match="cannot be decompressed"):
        rotbench.load(tmp_path, ())


API = {
    "api_name": "find",
    "api_description": "Finds.",
    "parameters": {"what": {"type": "str", "description": "it"}},
    "required": ["what"],
    "responses": {"place": {"type": "str"}},
}


def instance(calls: str, *, tools: str = repr([API]), name: str = "one") -> Json:
    request = f'Choose.\nInput:\napi_list = {tools}\ntask_instruction = "Say "hi" there."\nOutput:\n'
    return {
        "id": name,
        "conversations": [{"from": "human", "value": request}, {"from": "gpt", "value": calls}],
    }


CALLS = repr(
    [
        {"api": "find", "parameters": {"what": "a"}, "responses": ["API_call_0"]},
        {"api": "find", "parameters": {"what": "API_call_0"}, "responses": ["API_call_1"]},
    ]
)


def test_seal_tools_names_results_in_the_observations(tmp_path: Path) -> None:
    loaded = seal_tools.load(written(tmp_path / "d.json", [instance(CALLS)]))
    (trajectory,) = loaded.trajectories
    assert trajectory.instruction == 'Say "hi" there.'
    assert [each.observation for each in recorded_calls(trajectory)] == [
        '{"place": "API_call_0"}',
        '{"place": "API_call_1"}',
    ]
    assert len(list(step_cases(trajectory))) == 2


def test_seal_tools_that_is_broken(tmp_path: Path) -> None:
    other = "[{'api': 'other', 'parameters': {}}]"
    loaded = seal_tools.load(written(tmp_path / "d.json", [instance(other)]))
    assert loaded.excluded == {NOT_OFFERED: 1}
    with pytest.raises(DuplicateId):
        seal_tools.load(written(tmp_path / "d.json", [instance(CALLS), instance(CALLS)]))
    with pytest.raises(NotTheFormat, match="calls: this is not a list of plain values"):
        seal_tools.load(written(tmp_path / "d.json", [instance("__import__('os').system('true')")]))
    with pytest.raises(NotTheFormat, match="no tools or no instruction"):
        seal_tools.load(written(tmp_path / "d.json", [instance(CALLS, tools="none")]))


@pytest.mark.parametrize("indent", [None, 2])
def test_trajectories_of_ones_own(tmp_path: Path, indent: int | None) -> None:
    failed = own_trajectory("t2", status="failed")
    longer = own_trajectory("t3", messages=[{"role": "user", "content": "a"}] * 2)
    loaded = trajectories.load(own_folder(tmp_path, own_trajectory(), failed, longer, indent=indent))
    assert loaded.excluded == {trajectories.NO_REFERENCE: 1, trajectories.SEVERAL_MESSAGES: 1}
    (trajectory,) = loaded.trajectories
    assert trajectory.tools[0].description == "Looks."
    assert [case.id for case in step_cases(trajectory)] == ["t1/1", "t1/2"]
    assert [case.reference.decision for case in step_cases(trajectory)] == ["caller", "conclusion"]


def test_a_search_of_ones_own_is_the_branch_of_its_answer(tmp_path: Path) -> None:
    exported = own_trajectory(strategy="dfsdt")
    left = [step | {"abandoned": True, "thought": "I look elsewhere."} for step in exported["steps"]]
    (searched,) = trajectories.load(
        own_folder(tmp_path / "search", exported | {"steps": [*left, *exported["steps"]]})
    ).trajectories
    (chain,) = trajectories.load(own_folder(tmp_path / "chain", own_trajectory())).trajectories
    assert searched.turns == chain.turns


def test_ones_own_without_files_or_tools(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match=r"trajectories\.jsonl"):
        trajectories.load(tmp_path)
    own_folder(tmp_path, own_trajectory(tools=["look", "gone"]))
    with pytest.raises(NotTheFormat, match="no tool 'gone'"):
        trajectories.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "error", "reason"),
    [
        (
            json.dumps(own_trajectory()) + "\n" + json.dumps(own_trajectory())[:-9],
            CutShort,
            "line 2 ends in the middle",
        ),
        (json.dumps(own_trajectory()) + "\noops", NotTheFormat, "line 2 is not JSON"),
        (json.dumps({"id": "t1"}), NotTheFormat, "line 1: status"),
        (f"{json.dumps(own_trajectory())}\n" * 2, NotTheFormat, "line 2: the trajectory 't1' is also on line 1"),
    ],
)
def test_broken_trajectories_of_ones_own(tmp_path: Path, text: str, error: type[Exception], reason: str) -> None:
    own_folder(tmp_path)
    written(tmp_path / trajectories.TRAJECTORIES, text)
    with pytest.raises(error, match=reason) as refused:
        trajectories.load(tmp_path)
    assert refused.value.remedy in (REMEDY, trajectories.REMOVE_ONE)


@pytest.mark.parametrize("indent", [None, 2])
def test_what_is_broken_of_ones_own_is_named_by_its_line(tmp_path: Path, indent: int | None) -> None:
    folder = own_folder(tmp_path)
    shown = [json.dumps(own_trajectory(f"t{number}"), indent=indent) for number in range(5)]
    without_tool = json.dumps(own_trajectory("t5", tools=["gone"]), indent=indent)
    lines = [
        shown[0],
        shown[1][:-20],
        shown[2],
        "oops",
        shown[3],
        json.dumps({"id": "t6"}),
        without_tool,
        shown[0],
        shown[4],
    ]
    written(folder / trajectories.TRAJECTORIES, "\n".join(lines))
    starts = [1 + "\n".join(lines[:index]).count("\n") + (index > 0) for index in range(len(lines))]
    complaints: list[NotTheFormat] = []
    loaded = trajectories.load(folder, complaints.append)
    assert [each.id for each in loaded.trajectories] == ["t0", "t2", "t3", "t4"]
    messages = [each.message.removeprefix(f"{folder / trajectories.TRAJECTORIES}, line ") for each in complaints]
    assert messages == [
        f"{starts[1]} ends in the middle of its JSON",
        f"{starts[3]} is not JSON",
        f"{starts[5]}: status: Field required",
        f"{starts[7]}: the trajectory 't0' is also on line 1",
        f"{starts[6]}: tools.json has no tool 'gone'",
    ]
