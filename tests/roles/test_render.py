"""Rendering: the rules of the published preprocessing, on texts of our own."""

from __future__ import annotations

import json

import pytest

from alpha_umi.roles.template import Template, UnknownTemplate, load_template, render, template_names
from alpha_umi.roles.turns import Role, Tool, Turn, tool_line

HISTORY = [
    Turn("user", "How warm is it?"),
    Turn("planner", "I ask the thermometer. Next: caller."),
    Turn("caller", "Action: thermometer\nAction Input: {}"),
    Turn("observation", "19"),
    Turn("planner", "Known. Next: conclusion."),
]


def history_of(text: str) -> str:
    return text.partition("history is:\n")[2].partition("\nYou are the assistant")[0]


def test_every_turn_is_ended_but_the_observation() -> None:
    prompt = render("planner", load_template("toolbench"), history=HISTORY)
    assert history_of(prompt.text) == (
        "user: How warm is it?</s>assistant: I ask the thermometer. Next: caller.</s>"
        "caller: Action: thermometer\nAction Input: {}</s>observation: 19assistant: Known. Next: conclusion.</s>"
    )


def test_the_other_template_differs_in_the_end_of_turn_alone() -> None:
    published, ours = (
        render("summarizer", load_template(name), history=HISTORY) for name in ("toolbench", "toolbench-im-end")
    )
    assert ours.text == published.text.replace("</s>", "<|im_end|>")
    assert len(ours.markers) == len(published.markers) == 4
    assert load_template("toolbench").digest != load_template("toolbench-im-end").digest


def test_the_label_of_the_planners_newest_turn_is_a_setting_for_the_other_two_roles() -> None:
    history = [*HISTORY, Turn("observation", "seen"), Turn("planner", "Enough.")]
    roles: tuple[Role, ...] = ("caller", "summarizer", "planner")
    newest = {
        role: render(role, load_template("toolbench"), history=history, planner_label="planner").text for role in roles
    }
    assert all("assistant: Known." in text for text in newest.values()), "older turns are as in the training data"
    assert "planner: Enough." in newest["caller"]
    assert "planner: Enough." in newest["summarizer"]
    assert "assistant: Enough." in newest["planner"]


def test_placeholders_in_a_users_text_stay_text() -> None:
    tool = Tool("t", "{history} {doc}")
    text = render("planner", load_template("toolbench"), history=[Turn("user", "{tool_names}")], tools=[tool]).text
    assert "user: {tool_names}</s>" in text
    assert '"function": "{history} {doc}"' in text


def test_markers_are_the_templates_own_ends_of_turn() -> None:
    prompt = render(
        "planner", load_template("toolbench"), history=[Turn("user", "a</s>b"), Turn("observation", "</s>")]
    )
    assert [prompt.text[marker - 6 : marker] for marker in prompt.markers] == ["a</s>b"]


def test_the_single_model_sees_rationale_and_call_as_one_turn() -> None:
    text = render("backbone", load_template("toolbench"), history=[*HISTORY, Turn("conclusion", "19 degrees.")]).text
    assert (
        "assistant: I ask the thermometer.\nAction: thermometer\nAction Input: {}</s>observation: 19"
        "assistant: Known.\nconclusion: 19 degrees.</s>"
    ) in text


def test_a_missing_answer_is_not_shown_to_the_summarizer() -> None:
    history = [*HISTORY, Turn("conclusion", "none")]
    assert "conclusion: none" not in render("summarizer", load_template("toolbench"), history=history).text
    assert "conclusion: none" in render("planner", load_template("toolbench"), history=history).text


@pytest.mark.parametrize(
    ("schema", "shown"),
    [
        ({"type": "string"}, "string"),
        ({"type": "string", "description": ""}, "string, "),
        ({"type": "integer", "description": "x" * 300}, "integer, " + "x" * 256),
        ({"type": ["string", "null"]}, "string or null"),
        ({"enum": ["a"]}, "any"),
        (True, "any"),
    ],
)
def test_a_parameter_is_its_type_and_the_end_of_its_description(schema: object, shown: str) -> None:
    line = json.loads(tool_line(Tool("t", "", {"properties": {"p": schema}})))
    assert line["input"] == {"p": shown}


def test_names_keep_their_end_and_descriptions_their_beginning() -> None:
    line = json.loads(tool_line(Tool("a" * 10 + "b" * 64, "c" * 256 + "d")))
    assert line == {"Name": "b" * 64, "function": "c" * 256, "input": {}}


def test_an_unknown_template_names_the_known_ones() -> None:
    with pytest.raises(UnknownTemplate, match="toolbench, toolbench-im-end"):
        load_template("../secret")
    assert template_names() == ["toolbench", "toolbench-im-end"]


def test_a_digest_changes_with_every_character() -> None:
    template = load_template("toolbench")
    changed = Template("toolbench", 1, "</s>", {**template.prompts, "planner": template.prompts["planner"] + " "})
    assert changed.digest != template.digest
