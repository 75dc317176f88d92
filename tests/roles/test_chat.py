"""The chat kind: a role's request as messages."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from alpha_umi.roles.chat import render_chat, render_prompt
from alpha_umi.roles.template import (
    ChatPrompt,
    ChatTemplate,
    Prompt,
    UnknownTemplate,
    chat_template_names,
    load_any_template,
    load_template,
)
from alpha_umi.roles.turns import Role, Tool, Turn

TOOL = Tool("thermometer", "Temperature now", {"type": "object", "properties": {"city": {"type": "string"}}})
OBSERVED = [
    Turn("user", "How warm is it in Oslo?"),
    Turn("planner", "I ask the thermometer for Oslo. Next: caller."),
    Turn("caller", 'Action: thermometer\nAction Input: {"city": "Oslo"}'),
    Turn("observation", "19"),
]


def chat() -> ChatTemplate:
    template = load_any_template("chat")
    assert isinstance(template, ChatTemplate)
    return template


def rendered(role: Role, history: list[Turn]) -> ChatPrompt:
    return render_chat(role, chat(), history=history, tools=[] if role == "summarizer" else [TOOL])


def shape(prompt: ChatPrompt) -> list[str]:
    return [message.role for message in prompt.messages]


def test_tools_come_first_then_the_history_then_the_task() -> None:
    system, question, step, task = rendered("planner", OBSERVED).messages  # not begun after a result
    line = '{"name": "thermometer", "description": "Temperature now", "parameters": {"city": "string"}}'
    assert line in system.content.splitlines()
    assert question.content == "How warm is it in Oslo?"
    assert step.content == ('I ask the thermometer for Oslo.\n{"name": "thermometer", "arguments": {"city": "Oslo"}}')
    assert task.content == f"Result:\n19\n\n{chat().texts['planner_after_result'].strip()}"


@pytest.mark.parametrize("history", [OBSERVED[:1], OBSERVED, [*OBSERVED, Turn("user", "And in Bergen?")]])
def test_planner_and_caller_share_all_before_the_task(history: list[Turn]) -> None:
    planned = rendered("planner", history)
    if planned.begun:
        planned = replace(planned, messages=planned.messages[:-1])
    called = rendered("caller", [*history, Turn("planner", "Ask it. Next: caller.")])
    assert planned.messages[:-1] == called.messages[:-2]
    task = "planner_after_result" if history[-1].role == "observation" else "planner"
    shared = planned.messages[-1].content.removesuffix(f"\n\n{chat().texts[task].strip()}")
    assert called.messages[-2].content == shared


@pytest.mark.parametrize("role", ["planner", "caller"])
def test_the_caller_goes_on_where_the_next_steps_history_has_its_call(role: Role) -> None:
    thought = Turn("planner", "I need it for Bergen. Next: caller.")
    call = Turn("caller", 'Action: thermometer\nAction Input: {"city":  "Bergen"}')
    prompt = rendered("caller", [*OBSERVED, thought])
    assert prompt.begun == "I need it for Bergen.\n"
    later = rendered(role, [*OBSERVED, thought, call, Turn("observation", "12"), thought])
    written = f'{prompt.text}{{"name": "thermometer", "arguments": {{"city":  "Bergen"}}}}\nuser: Result:\n12'
    assert later.text.startswith(written)


def test_the_rationale_is_begun_unless_a_result_or_the_models_thinking_comes_first() -> None:
    assert rendered("planner", OBSERVED[:1]).begun == "I need to find out"
    assert rendered("planner", OBSERVED).begun is None
    assert render_chat("planner", chat(), history=OBSERVED[:1], thinking=True).begun is None


def test_an_unusable_call_stays_as_the_model_wrote_it() -> None:
    text = '{"name": "thermometer", "arguments": {"city"'
    messages = rendered(
        "caller", [*OBSERVED[:1], Turn("caller", text), Turn("observation", "cut"), OBSERVED[1]]
    ).messages
    assert messages[2].content == text


def test_the_summarizer_sees_the_schema_of_its_answer() -> None:
    schema = {"type": "object", "properties": {"degrees": {"type": "number"}}}
    with_schema = render_prompt("summarizer", chat(), history=OBSERVED, answer_schema=schema).text
    assert with_schema.rstrip().endswith("as JSON that matches this schema:\n" + json.dumps(schema))
    trained = load_template("toolbench")
    assert render_prompt("summarizer", trained, history=OBSERVED, answer_schema=schema) == render_prompt(
        "summarizer", trained, history=OBSERVED
    )


@pytest.mark.parametrize("role", ["planner", "caller", "summarizer", "backbone"])
@pytest.mark.parametrize("turns", [1, 2, 3, 4])
def test_user_and_assistant_take_turns_whatever_the_history_begins_with(role: Role, turns: int) -> None:
    history = [
        *OBSERVED[-turns:],
        Turn("planner", "All is known. Next: conclusion."),
        Turn("conclusion", "19 degrees."),
    ]
    history += [Turn("user", "Sure?"), Turn("planner", "Ask again. Next: caller.")]
    system, *others = shape(rendered(role, history))
    assert system == "system"
    assert others[::2] == ["user"] * len(others[::2])
    assert others[1::2] == ["assistant"] * len(others[1::2])
    assert others[-1] == ("assistant" if role in ("planner", "caller") else "user")


def test_placeholders_in_a_users_text_stay_text() -> None:
    prompt = rendered("caller", [Turn("user", "{thought} {doc}"), Turn("planner", "{doc} {thought}")])
    assert [message.content for message in prompt.messages[1:]] == ["{thought} {doc}", "{doc} {thought}\n"]


def test_without_tools_none_are_mentioned() -> None:
    assert "tools" not in rendered("summarizer", OBSERVED).messages[0].content


def test_the_single_model_sees_no_decisions() -> None:
    assert "Next:" not in rendered("backbone", OBSERVED).text


def test_a_prompt_is_rendered_in_the_kind_of_its_template() -> None:
    assert isinstance(render_prompt("planner", chat(), history=OBSERVED), ChatPrompt)
    assert isinstance(render_prompt("planner", load_template("toolbench"), history=OBSERVED), Prompt)


def test_no_model_is_trained_on_it() -> None:
    assert chat_template_names() == ["chat"]
    with pytest.raises(UnknownTemplate, match="no template 'chat'; known: toolbench, toolbench-im-end"):
        load_template("chat")
    with pytest.raises(UnknownTemplate, match="known: toolbench, toolbench-im-end, chat"):
        load_any_template("chatty")
