"""The chat kind: a role's request as messages."""

from __future__ import annotations

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
    system, question, step, task = rendered("planner", OBSERVED).messages
    assert system.content.endswith(
        '{"Name": "thermometer", "function": "Temperature now", "input": {"city": "string"}}'
    )
    assert question.content == "How warm is it in Oslo?"
    assert step.content.startswith("I ask the thermometer for Oslo. Next: caller.\n\nAction: thermometer\n")
    assert task.content == f"Result:\n19\n\n{chat().texts['planner_after_result'].strip()}"


@pytest.mark.parametrize("history", [OBSERVED[:1], OBSERVED, [*OBSERVED, Turn("user", "And in Bergen?")]])
def test_planner_and_caller_share_all_before_the_task(history: list[Turn]) -> None:
    planned = rendered("planner", history)
    called = rendered("caller", [*history, Turn("planner", "Ask it. Next: caller.")])
    assert planned.messages[:-1] == called.messages[:-1]
    task = "planner_after_result" if history[-1].role == "observation" else "planner"
    shared = planned.messages[-1].content.removesuffix(chat().texts[task].strip())
    assert called.messages[-1].content.startswith(f"{shared}The step to do now: Ask it. Next: caller.\n")


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
    assert len(others) % 2 == 1, "the last message is a user's"


def test_placeholders_in_a_users_text_stay_text() -> None:
    prompt = rendered("caller", [Turn("user", "{thought} {doc}"), Turn("planner", "{doc} {thought}")])
    assert prompt.messages[1].content.startswith("{thought} {doc}\n\nThe step to do now: {doc} {thought}\nTask:")


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
