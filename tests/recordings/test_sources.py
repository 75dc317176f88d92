"""Each training format is read into turns; invalid entries are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.synthetic_data import (
    ANSWERED_TREE,
    API_BANK_ANSWERS,
    API_BANK_CALLS,
    FIREACT,
    GIVEN_UP_TREE,
    GLAIVE,
    PUBLISHED,
    REASONED,
    TOOLALPACA,
    TOOLRL,
    says,
    tree,
    write_json,
    write_lines,
    write_tool_set,
)

from alpha_umi.roles.caller import parse_call
from recordings.errors import DataError, NotTheFormat
from recordings.formats import fireact, toolalpaca
from recordings.formats.source import Format, read_source
from recordings.reading import reject
from recordings.trajectory import Loaded, RecordedTrajectory

NO_SEARCH = 'Action: tide\nAction Input: {\n  "harbour": "Nes"\n}'


def turns_of(trajectory: RecordedTrajectory) -> list[tuple[str, str]]:
    """The turns, with calls on one line."""
    return [(turn.role, " ".join(turn.content.split())) for turn in trajectory.turns]


def one(form: Format, path: Path) -> tuple[RecordedTrajectory, Loaded]:
    loaded = read_source(form, path, reject)
    return loaded.trajectories[0], loaded


def test_fireact(tmp_path: Path) -> None:
    trajectory, loaded = one("fireact", write_json(tmp_path / "f.json", FIREACT))
    assert turns_of(trajectory) == [
        ("user", "Which river is longest? A. Ob B. Nile"),
        ("planner", "I search. Next: caller."),
        ("caller", 'Action: search Action Input: { "query": "longest river" }'),
        ("observation", "The Nile. It is long."),
        ("planner", "It is B. Next: conclusion."),
        ("conclusion", "B"),
    ]
    assert loaded.excluded == {fireact.OTHER_STEPS: 1}


def test_api_bank_reads_the_longest_input_and_offers_retrieved_tools(tmp_path: Path) -> None:
    write_json(tmp_path / "lv3-api-train.json", API_BANK_CALLS)
    write_json(tmp_path / "lv3-response-train.json", API_BANK_ANSWERS)
    trajectory, loaded = one("api-bank", tmp_path)
    assert len(loaded.trajectories) == 1
    assert [tool.name for tool in trajectory.tools] == ["ToolSearcher", "Ferry"]
    assert trajectory.instruction == "When does the ferry leave?\nTIME: 2034-01-01"
    calls = [parse_call(turn.content) for turn in trajectory.turns if turn.role == "caller"]
    assert [(call.name, call.arguments) for call in calls] == [
        ("ToolSearcher", {"keywords": "ferry"}),
        ("Ferry", {"harbour": "Nes", "day": 3}),
    ]
    assert turns_of(trajectory)[-3:] == [
        ("observation", "{'at': 7}"),
        ("planner", "Next: conclusion."),
        ("conclusion", "At seven."),
    ]


def test_toolrl_makes_steps_of_calls_at_once(tmp_path: Path) -> None:
    trajectory, _ = one("toolrl", write_json(tmp_path / "t.json", TOOLRL))
    assert [tool.name for tool in trajectory.tools] == ["Ferry Times"]
    assert trajectory.tools[0].parameters["properties"] == {"harbour": {"type": "string", "description": "Name"}}
    assert turns_of(trajectory) == [
        ("user", "Nes and Ho?"),
        ("planner", "Both. Next: caller."),
        ("caller", 'Action: Ferry Times Action Input: { "harbour": "Nes" }'),
        ("observation", '{"at": 7}'),
        ("planner", "Next: caller."),
        ("caller", 'Action: Ferry Times Action Input: { "harbour": "Ho" }'),
        ("observation", "none"),
        ("planner", "Known. Next: conclusion."),
        ("conclusion", "At seven from Nes."),
    ]


def test_llama_factory_without_thoughts(tmp_path: Path) -> None:
    trajectory, loaded = one("llama-factory", write_json(tmp_path / "g.json", GLAIVE))
    assert turns_of(trajectory) == [
        ("user", "Convert 3 miles."),
        ("planner", "Next: caller."),
        ("caller", 'Action: convert Action Input: { "miles": 3 }'),
        ("observation", '{"km": 4.8}'),
        ("planner", "Next: conclusion."),
        ("conclusion", "4.8 km."),
    ]
    assert loaded.excluded == {"no tool is on offer": 1}


def test_llama_factory_divides_a_list_of_calls_and_of_their_observations(tmp_path: Path) -> None:
    def parallel(observation: str) -> list[tuple[str, str]]:
        call = '[{"name": "convert", "arguments": {"miles": 3}}, {"name": "convert", "arguments": {"miles": 4}}]'
        turns = [("human", "Both?"), ("function_call", call), ("observation", observation), ("gpt", "Done.")]
        entry = GLAIVE[0] | {"conversations": [{"from": speaker, "value": value} for speaker, value in turns]}
        trajectory, _ = one("llama-factory", write_json(tmp_path / "g.json", [entry]))
        return turns_of(trajectory)[2:6]

    assert parallel('[{"km": 4.8}, "6.4 km"]') == [
        ("caller", 'Action: convert Action Input: { "miles": 3 }'),
        ("observation", '{"km": 4.8}'),
        ("planner", "Next: caller."),
        ("caller", 'Action: convert Action Input: { "miles": 4 }'),
    ]
    assert parallel("[4.8, 6.4, 8]")[1] == ("observation", "[4.8, 6.4, 8]")
    assert parallel("4.8 and 6.4")[1] == ("observation", "4.8 and 6.4")


def test_llama_factory_ends_where_it_is_not_known_what_came_back(tmp_path: Path) -> None:
    trajectory, _ = one("llama-factory", write_lines(tmp_path / "r.jsonl", REASONED))
    assert turns_of(trajectory) == [
        ("user", "Two films?"),
        ("planner", "I call twice. Next: caller."),
        ("caller", 'Action: film Action Input: { "title": "A" }'),
    ]


def test_toolalpaca_asks_the_user_by_a_conclusion(tmp_path: Path) -> None:
    trajectory, loaded = one("toolalpaca", write_json(tmp_path / "a.json", TOOLALPACA))
    assert turns_of(trajectory) == [
        ("user", "When is high tide?"),
        ("planner", "Where is it? Next: conclusion."),
        ("conclusion", "Where?"),
        ("user", "In Nes."),
        ("planner", "I look. Next: caller."),
        ("caller", 'Action: tide Action Input: { "harbour": "Nes" }'),
        ("observation", "Response: nine"),
        ("planner", "I can answer. Next: conclusion."),
        ("conclusion", "At nine."),
    ]
    assert loaded.excluded == {
        toolalpaca.NO_OBJECT: 1,
        toolalpaca.NO_OUTPUT: 1,
        toolalpaca.FAILED: 2,
        "no tool is on offer": 1,
    }
    (tool,) = trajectory.tools
    assert (tool.name, tool.description) == ("tide", "Tides of a harbour.")
    assert tool.parameters == {
        "type": "object",
        "properties": {
            "harbour": {"type": "string", "description": "Its name."},
            "day": {"type": "array", "description": "Which."},
        },
        "required": ["harbour"],
    }


def test_answer_trees_are_read_as_the_published_preprocessing_does(tmp_path: Path) -> None:
    write_json(tmp_path / "G1" / "1.json", ANSWERED_TREE)
    write_json(tmp_path / "G1" / "2.json", GIVEN_UP_TREE)
    write_json(tmp_path / "G2" / "3.json", tree("Nothing?"))
    trajectory, loaded = one("toolbench-trees", tmp_path)
    assert [tool.name for tool in trajectory.tools] == ["tide_for_harbours"]
    assert turns_of(trajectory) == [
        ("user", "When is high tide?"),
        ("planner", "I look. Next: caller."),
        ("caller", 'Action: tide_for_harbours Action Input: { "harbour": "Nes" }'),
        ("observation", "nine"),
        ("planner", "Next: conclusion."),
        ("conclusion", "At nine."),
    ]
    assert turns_of(loaded.trajectories[1])[1:] == [("planner", "No way. Next: give up.")]
    assert loaded.excluded == {"a tree without a chain": 1}


@pytest.mark.parametrize(
    ("arguments", "turns"),
    [
        (
            '{"return_type": "give_answer", "final_answer": "Call give_up_and_restart when it fails."}',
            [("planner", "Done. Next: conclusion."), ("conclusion", "Call give_up_and_restart when it fails.")],
        ),
        (
            '{"return_type": "give_answer", "final_answer": "At ni',
            [("planner", "Done. Next: conclusion."), ("conclusion", "At ni")],
        ),
        ('{"return_type": "give_answer"}', [("planner", "Done. Next: conclusion."), ("conclusion", "none")]),
        ('{"return_type": "give_ans', [("planner", "Done. Next: conclusion."), ("conclusion", "Done.")]),
        ('{"return_type": "give_up_and_restart", "x', [("planner", "Done. Next: give up.")]),
    ],
)
def test_the_end_of_an_answer_tree(tmp_path: Path, arguments: str, turns: list[tuple[str, str]]) -> None:
    write_json(tmp_path / "1.json", tree("When?", says("Finish", arguments, "Done.")))
    assert turns_of(one("toolbench-trees", tmp_path)[0])[1:] == turns


def test_an_observation_that_is_cut_is_what_follows_its_name(tmp_path: Path) -> None:
    cut = {"role": "function", "content": '{"error": "", "response": "{\'at\': 9, \'on..."'}
    write_json(tmp_path / "1.json", tree("When?", says("tide_for_harbours", "{}"), cut))
    assert turns_of(one("toolbench-trees", tmp_path)[0])[-1] == ("observation", "\"{'at': 9, 'on...\"")


def test_formats_of_suites_are_read_by_the_suites(tmp_path: Path) -> None:
    write_tool_set(tmp_path, "Tide__tides", ["High tide?"])
    trajectory, _ = one("rotbench", tmp_path / "tides")
    assert [turn.role for turn in trajectory.turns] == [
        "user",
        "planner",
        "caller",
        "observation",
        "planner",
        "conclusion",
    ]
    published, _ = one("toolbench", write_json(tmp_path / "p.json", PUBLISHED))
    assert published.turns[2].content == NO_SEARCH


def changed(entries: list[dict[str, Any]], **fields: Any) -> list[dict[str, Any]]:
    """The first entry with other fields; None removes a field."""
    first = {key: value for key, value in (entries[0] | fields).items() if value is not None}
    return [first, *entries[1:]]


@pytest.mark.parametrize(
    ("form", "entries", "message"),
    [
        ("fireact", changed(FIREACT, output=None), "entry 1: output: Field required"),
        ("fireact", changed(FIREACT, instruction=3), "entry 1: instruction: Input should be a valid string"),
        ("toolrl", changed(TOOLRL, input=["x"]), "entry 1: input"),
        ("toolrl", changed(TOOLRL, output="<tool_call>{oh</tool_call>"), "step 1: a call is not JSON"),
        ("llama-factory", changed(GLAIVE, tools="[{"), "dialogue 1 ends in the middle"),
        ("llama-factory", changed(GLAIVE, conversations=[{"from": "oracle", "value": "x"}]), "conversations.0.from"),
        ("llama-factory", changed(GLAIVE, conversations=[{"from": "function_call", "value": "[]"}]), "holds no call"),
        (
            "toolalpaca",
            changed(TOOLALPACA, Instances=[{"output": "x"}]),
            "'Harbours', instance 1: input: Field required",
        ),
        ("toolalpaca", changed(TOOLALPACA, Instances=None), "entry 1: Instances: Field required"),
        (
            "toolbench",
            changed(PUBLISHED, conversations=[{"from": "wizard", "value": "x"}]),
            "entry 1: conversations.0.from",
        ),
        (
            "toolbench",
            changed(PUBLISHED, conversations=[PUBLISHED[0]["conversations"][0], PUBLISHED[0]["conversations"][5]]),
            "turn 2 is the conclusion's and follows one of the user",
        ),
    ],
)
def test_a_broken_entry_is_named_and_the_others_are_read(
    tmp_path: Path, form: Format, entries: list[dict[str, Any]], message: str
) -> None:
    path = write_json(tmp_path / "broken.json", entries)
    complaints: list[NotTheFormat] = []
    read_source(form, path, complaints.append)
    assert len(complaints) == 1
    assert str(path) in complaints[0].message
    assert message in complaints[0].message
    with pytest.raises(DataError):
        read_source(form, path, reject)


def test_broken_json_is_named_by_its_line(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "r.jsonl", [*REASONED, *REASONED])
    lines = path.read_text().split("\n")
    path.write_text("\n".join([lines[0], '{"messages": oh}', lines[1], ""]))
    complaints: list[NotTheFormat] = []
    assert len(read_source("llama-factory", path, complaints.append).trajectories) == 2
    assert [f"{path}, line 2 is not JSON" in complaint.message for complaint in complaints] == [True]


def test_a_list_that_is_no_json_cannot_be_read_at_all(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    path.write_text(json.dumps(FIREACT).replace("A. Ob", '"'))
    with pytest.raises(NotTheFormat, match="is not JSON"):
        read_source("fireact", path, lambda error: None)


def test_a_folder_without_trees_is_no_source(tmp_path: Path) -> None:
    with pytest.raises(NotTheFormat, match=r"holds no file \*\.json"):
        read_source("toolbench-trees", tmp_path, reject)
