"""The judge's prompts equal the published ones, character by character."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from support.judges import trajectory
from support.toolbench_server import RECORDED

from alpha_umi.roles.turns import Tool
from evaluation.judge.questions import _chosen, load_prompts
from evaluation.judge.solution import compared_solution, final_answer, has_finished, shown_tools, solution_of
from evaluation.judge.toolalpaca import _read, golden_solutions
from recordings.suites.suite import load_suite

# SHA-256 of the published texts.
PUBLISHED = {
    ("tooleval", "check_answer_status"): "f9fc6101cddac3a95ca0f1bd60c67d5dbea34e33d5d2cd3eb1d69fa6bc92d2d8",
    ("tooleval", "parse_answer_status"): "4355f0f09f797d5578b2273e2b5b0c04116ccb162b24734184d20e6966b765eb",
    ("tooleval", "check_task_solvable"): "f82c87c41d50e1c338ab4eea1977314ce78caba7c1569cafb25c6cc81631373b",
    ("tooleval", "select_better_answer"): "2287346a3831f3751a77dc6b927dc72ebe3d6ba2ece04633abcb6e72a40498ce",
    ("toolalpaca", "evaluate"): "e23daa35664bcaaaf60799db54712bf81bb3a24bb43c43ee97886081b3c770a6",
}


@pytest.mark.parametrize(("file", "name"), PUBLISHED)
def test_questions_are_the_published_ones(file: str, name: str) -> None:
    text = load_prompts(file).questions[name].text
    assert hashlib.sha256(text.encode()).hexdigest() == PUBLISHED[file, name]


def test_values_stay_what_they_are() -> None:
    text = load_prompts("tooleval").text("check_answer_status", {"query": "{answer} {0}", "answer": "${x} {query}"})
    assert "Query:\n{answer} {0}\nAnswer:\n${x} {query}\n" in text
    values = dict.fromkeys(("documentation", "instruction", "standard", "solution"), "$x ${standard} {y}")
    assert load_prompts("toolalpaca").text("evaluate", values).count("$x ${standard} {y}") == 4


def test_every_instruction_of_toolalpaca_has_golden_calls(data: Path) -> None:
    known = golden_solutions(data / "eval" / "toolalpaca_eval_simulated.json")
    suite = load_suite("toolalpaca-simulated", data)
    assert {each.instruction for each in suite.trajectories} == set(known)
    assert all(each.documentation and each.calls for each in known.values())


def plain(node: dict[str, Any]) -> dict[str, Any]:
    """A node with the JSON in it as values: how it was written is the model's own."""
    message = node["message"]
    if isinstance(message, dict):
        message = message | {"arguments": json.loads(message["arguments"])}
    return {"role": node["role"], "message": message, "next": [plain(following) for following in node["next"]]}


def test_a_solution_is_shown_as_the_published_conversion_shows_it() -> None:
    published = json.loads((RECORDED / "converted.json").read_text(encoding="utf-8"))["1073"]["answer"]
    node, calls = published["answer_details"][0]["next"][0]["next"][0], []
    while node["message"]["name"] != "Finish" if node["role"] == "tool" else False:
        calls.append((node["message"]["name"], json.loads(node["message"]["arguments"]), node["message"]["response"]))
        node = node["next"][0]
    answer = json.loads(published["final_answer"])["final_answer"]
    matches = solution_of(trajectory("x", answer=answer, calls=calls, thoughts=["", "", node["message"]]))
    assert (matches["total_steps"], len(calls)) == (published["total_steps"], 2)
    assert plain(matches["answer_details"][0]) == plain(published["answer_details"][0])
    assert json.loads(matches["final_answer"]) == json.loads(published["final_answer"])


@pytest.mark.parametrize(
    ("status", "answer", "finished", "last"),
    [
        ("completed", "So.", True, '{"return_type": "give_answer", "final_answer": "So."}'),
        ("gave_up", None, True, '{"return_type": "give_up_and_restart"}'),
        ("exhausted", "So.", False, '{"at": "it"}'),
        ("failed", None, False, '{"at": "it"}'),
    ],
)
def test_how_it_ended(status: str, answer: str | None, finished: bool, last: str) -> None:
    matches = trajectory("x", status=status, answer=answer)
    node = solution_of(matches)["answer_details"][0]
    while node["next"]:
        node = node["next"][0]
    assert (has_finished(matches), node["message"]["arguments"]) == (finished, last)
    assert final_answer(matches) == (last if status == "completed" else "")


def test_beside_another_the_final_answer_is_cut_and_what_was_left_is_not_shown() -> None:
    matches = trajectory("x", answer="y" * 2_000)
    assert len(compared_solution(matches)["final_answer"]) == 1_000
    assert "method" not in compared_solution(matches)
    steps = [matches.steps[0].model_copy(update={"abandoned": True}), *matches.steps[1:]]
    branch = matches.model_copy(update={"steps": steps})
    assert solution_of(branch)["total_steps"] == solution_of(matches)["total_steps"] - 2


def test_tools_are_shown_with_finish() -> None:
    finish = load_prompts("tooleval").finish
    published = json.loads((RECORDED / "converted.json").read_text(encoding="utf-8"))["1073"]["available_tools"]
    assert shown_tools([Tool("look", "Looks.")], finish) == [
        {"name": "look", "description": "Looks.", "parameters": {}},
        published[-1],
    ]


STATUS = {"enum": ["Unsure", "Unsolved", "Solved"]}


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ('{"answer_status": "Solved", "reason": "r"}', "Solved"),
        ('Here:\n```json\n{"answer_status": "Unsure"}\n```', "Unsure"),
        ('{"answer_status": "solved"}', None),
        ('{"answer_status": ["Solved"]}', None),
        ('{"status": "Solved"}', None),
        ("Solved", None),
        ("", None),
        ("[" * 100_000, None),
        ('["Solved"]', None),
    ],
)
def test_what_is_read_of_a_call(text: str, chosen: str | None) -> None:
    assert _chosen(text, "answer_status", STATUS) == chosen


@pytest.mark.parametrize(
    ("value", "index"), [(0, "0"), (1.0, "1"), ('"1"', "1"), (2, None), ('"a"', None), ("[]", None)]
)
def test_what_is_read_of_an_index(value: object, index: str | None) -> None:
    assert _chosen(f'{{"index": {value}}}', "index", {"type": "number"}) == index


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("## Results\nProcess Correctness: Yes\nFinal Response Correctness: No", {"process": "Yes", "response": "No"}),
        (
            "Process Correctness: No\n## Results\nProcess Correctness: Yes\nFinal Response Correctness: Uncertain",
            {"process": "Yes", "response": "Uncertain"},
        ),
        ("Final Response Correctness: Yes", None),
        ("Process Correctness: Maybe\nFinal Response Correctness: Yes", None),
        ("I like it.", None),
    ],
)
def test_what_is_read_of_words(text: str, read: dict[str, str] | None) -> None:
    matches = _read(text)
    assert (None if matches is None else json.loads(matches)) == read
