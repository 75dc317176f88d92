"""Synthetic data in every format that training reads, with the expected turns."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recordings.formats.trajectories import TOOLS, TRAJECTORIES

SYSTEM = (
    "You are to use the following tools:"
    '[{"name": "tide", "description": "Tides of a harbour", "parameters": {"type": "object", "properties":'
    ' {"harbour": {"type": "string", "desciption": "Name of the harbour"}}}, "required": ["harbour"]},'
    ' {"name": "finish", "parameters": {"type": "object", "properties": {}}},'
    ' {"name": "ask_to_user", "parameters": {"type": "object", "properties": {}}}]\nMore.'
)
CALL = 'Thought: I look it up.\nAction: tide\nAction Input: {"harbour": "Nes"}'
FINISH = 'Thought: It is known.\nAction: finish\nAction Input: {"answer": "It is %s o\'clock."}'


def rotbench_rows(question: str, answer: str = "nine") -> list[dict[str, Any]]:
    """The rows of a trajectory: a call, then the answer."""
    prefix = [("system", SYSTEM), ("user", f"{question}\nBegin!"), ("assistant", CALL)]
    turns = [*prefix, ("function", json.dumps({"high": answer})), ("assistant", FINISH % answer)]
    return [
        {"id": f"Turn {turn}: {question}", "conversations": [{"from": who, "value": text} for who, text in turns]}
        for turn, turns in ((1, prefix), (2, turns))
    ]


def write_tool_set(data: Path, name: str, questions: Sequence[str]) -> Path:
    """A tool set of the format `rotbench`."""
    path = data / "tides" / f"{name}.jsonl.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [row for question in questions for row in rotbench_rows(question)]
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    return path


def write_json(path: Path, value: Any) -> Path:
    """One JSON value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def write_lines(path: Path, values: Sequence[Any]) -> Path:
    """A JSON value a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return path


def mixture(**fields: Any) -> dict[str, Any]:
    """A mixture of one source, with other fields if given."""
    tides = {"name": "tides", "format": "rotbench", "data": "tides", "licence": "none"}
    return {
        "name": "made-up",
        "template": "toolbench-im-end",
        "context": 1024,
        "sources": [tides],
    } | fields


FIREACT = [
    {
        "instruction": "Which river is longest?",
        "input": "",
        "output": "A. Ob\nB. Nile\nThought: I search.\nAction: search[longest river]\nObservation: The Nile.\n"
        "It is long.\nThought: It is B.\nAction: finish[B]\nObservation: Episode finished, reward = 1\n",
    },
    {"instruction": "Who?", "input": "", "output": "Thought: I look.\nAction: dance[now]\nObservation: no\n"},
]
_SEARCHER = {"apiCode": "ToolSearcher", "description": "Finds tools.", "parameters": {"keywords": {"type": "str"}}}
_RESULT = "{'name': 'Ferry', 'description': 'Ferry times.', 'input_parameters': {'harbour': {'type': 'str'}}}"
_REQUEST = f"{json.dumps(_SEARCHER)}\nUser: When does the ferry leave?TIME: 2034-01-01"
_STEPS = (
    f"\nAPI-Request: [ToolSearcher(keywords='ferry')]->{_RESULT}\nAPI-Request: [Ferry(harbour=Nes, day=3)]->{{'at': 7}}"
)
API_BANK_CALLS = [
    {"input": f"{_REQUEST}\nGenerate API Request: ", "output": "API-Request: [ToolSearcher(keywords='ferry')]"}
]
API_BANK_ANSWERS = [{"input": f"{_REQUEST}{_STEPS}\nGenerate AI Response: ", "output": "AI: At seven.\n"}]
TOOLRL = [
    {
        "instruction": "**Available Tools**\n1. Name: Ferry Times\nDescription: When ferries leave\n"
        'Parameters: {"harbour": {"description": "Name", "type": "str"}}\n\n**Steps**',
        "input": "**Dialogue Records History**\n<user> Nes and Ho? </user>\n\n<think> Both. </think>\n<tool_call>\n"
        '{"name": "Ferry Times", "parameters": {"harbour": "Nes"}}\n'
        '{"name": "Ferry Times", "parameters": {"harbour": "Ho"}}\n</tool_call>\n<obs> '
        '[{"name": "Ferry Times", "results": {"at": 7}}, {"name": "Ferry Times", "results": "none"}] </obs>',
        "output": "<think> Known. </think>\n<response> At seven from Nes. </response>",
    }
]
GLAIVE = [
    {
        "conversations": [
            {"from": "human", "value": "Convert 3 miles."},
            {"from": "function_call", "value": '{"name": "convert", "arguments": {"miles": 3}}'},
            {"from": "observation", "value": '{"km": 4.8}'},
            {"from": "gpt", "value": "4.8 km."},
        ],
        "tools": json.dumps(
            [{"name": "convert", "description": "Units", "parameters": {"properties": {"miles": {"type": "number"}}}}]
        ),
    },
    {"conversations": [{"from": "human", "value": "Hi."}, {"from": "gpt", "value": "Hello."}], "tools": "[]"},
]
REASONED = [
    {
        "messages": [
            {"role": "system", "content": [{"type": "text", "value": "Be good."}]},
            {"role": "user", "content": [{"type": "text", "value": "Two films?"}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "reasoning", "value": "I call twice."},
                    {"type": "tool_call", "value": '{"name": "film", "arguments": {"title": "A"}}'},
                    {"type": "tool_call", "value": '{"name": "film", "arguments": {"title": "B"}}'},
                ],
            },
        ],
        "tools": json.dumps(
            [
                {
                    "type": "function",
                    "function": {"name": "film", "parameters": {"properties": {"title": {"type": "str"}}}},
                }
            ]
        ),
    }
]
TOOLALPACA = [
    {
        "Name": "Harbours",
        "Function_Description": {
            "tide": "Tides of a harbour.\n"
            'Parameters: {"harbour": "Required. string. Its name.", "day": "Array[integer]. Which."}'
            "\nOutput: Times.\n - Format: application/json\n - Structure: Object{times: Array[Object{at}]}",
            "components": "- Schemas",
        },
        "Instances": [
            {
                "input": "When is high tide?\nHint: ask for the harbour",
                "output": "At nine.",
                "Final Thought": "I can answer.",
                "intermediate_steps": [
                    [
                        [
                            "getDetails",
                            '{"Question": "Where?"}',
                            "\nWhere is it?\nAction: getDetails\nAction Input: {}",
                        ],
                        "In Nes.",
                    ],
                    [["tide", '{"harbour": "Nes"}', "\nI look.\nAction: tide\nAction Input: {}"], "Response: nine"],
                ],
            },
            {"input": "Broken?", "output": "x", "intermediate_steps": [[["tide", "{oh", "Action: tide"], "no"]]},
            {"input": "Unanswered?", "output": "", "intermediate_steps": []},
            {"error": "too long"},
            "no JSON",
        ],
    },
    {
        "Name": "Undescribed",
        "Function_Description": None,
        "Instances": [{"input": "?", "output": "!", "intermediate_steps": []}],
    },
]


def tree(query: str, *chain: Mapping[str, Any]) -> dict[str, Any]:
    """A raw ToolBench answer with one chain, or with none if there are no messages."""
    function = {
        "name": "tide_for_harbours",
        "description": "Tides",
        "parameters": {"properties": {"harbour": {"type": "string"}}, "required": ["harbour"]},
    }
    head = [{"role": "system", "content": "You are"}, {"role": "user", "content": f"{query}\nBegin!"}]
    answer = {"query": query, "function": [function, {"name": "Finish", "parameters": {}}]}
    return {"win": True, "answer_generation": answer | ({"train_messages": [[*head, *chain]]} if chain else {})}


def says(name: str, arguments: str | dict[str, Any], content: str | None = None) -> dict[str, Any]:
    """An assistant's message with a call."""
    return {"role": "assistant", "content": content, "function_call": {"name": name, "arguments": arguments}}


ANSWERED_TREE = tree(
    "When is high tide?",
    says("tide_for_harbours", '{\n  "harbour": "Nes"\n}', "I look."),
    {"role": "function", "name": "tide_for_harbours", "content": '{"error": "", "response": "nine"}'},
    says("Finish", {"return_type": "give_answer", "final_answer": "At nine."}),
)
GIVEN_UP_TREE = tree("What is far?", says("Finish", '{"return_type": "give_up_and_restart"}', "No way."))
PUBLISHED = [
    {
        "tools": [{"Name": "tide", "function": "Tides", "input": {"harbour": "string, its name"}}],
        "instruction": "When is high tide?",
        "conversations": [
            {"from": "user", "value": "When is high tide?"},
            {"from": "assistant", "value": "I look. Next: caller."},
            {"from": "caller", "value": 'Action: tide\nAction Input: {\n  "harbour": "Nes"\n}'},
            {"from": "observation", "value": "nine"},
            {"from": "assistant", "value": "Known. Next: conclusion."},
            {"from": "conclusion", "value": "At nine."},
        ],
    }
]


def own_trajectory(name: str = "t1", **changes: Any) -> dict[str, Any]:
    """A trajectory in the orchestrator's format: a call, then the answer."""
    latency = {"planner": 5, "caller": 4, "tool": 3, "summarizer": 0}
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    call = {"call_id": "c", "name": "look", "arguments": {"at": "it"}}
    common = {"latency_ms": latency, "usage": usage, "truncated": False}
    observation = {"content": "seen", "is_error": False, "truncated": False}
    steps = [
        {"index": 0, "thought": "I look.", "next": "caller", "action": call, "observation": observation, **common},
        {"index": 1, "thought": "Done.", "next": "conclusion", "action": None, "observation": None, **common},
    ]
    return {
        "id": name,
        "status": "completed",
        "instruction": "Look.",
        "tools": ["look"],
        "strategy": "chain",
        "steps": steps,
        "messages": [{"role": "user", "content": "Look."}, {"role": "assistant", "content": "Seen."}],
        "answer": "Seen.",
        "error": None,
        "usage": usage,
        "metadata": {},
        "created_at": "2026-01-01T00:00:00Z",
        "finished_at": "2026-01-01T00:00:01Z",
    } | changes


def own_folder(folder: Path, *trajectories: dict[str, Any], indent: int | None = None) -> Path:
    """A folder of the format `trajectories`, with its tool."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = "\n".join(json.dumps(each, indent=indent) for each in trajectories)
    (folder / TRAJECTORIES).write_text(lines, encoding="utf-8")
    write_json(folder / TOOLS, [{"name": "look", "description": "Looks.", "parameters": {"type": "object"}}])
    return folder
