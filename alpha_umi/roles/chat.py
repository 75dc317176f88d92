"""Render a role's request as the messages of a chat, for models that were trained for no role.

The messages are the system text with the tools, then the history, then the role's task at the end of the last user
message. The caller has no task: it goes on after the planner's rationale, and writes the call as a JSON object, which
is what instruct models are trained to do. So its prompt is the conversation as the next step's history has it, and an
engine's prefix cache holds nearly all of both. Tools are lines of the system text, and not the `tools` parameter of
chat templates: those put them into different places, and many have none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from alpha_umi.roles.caller import as_json_call
from alpha_umi.roles.planner import without_decision
from alpha_umi.roles.template import (
    AnyPrompt,
    AnyTemplate,
    ChatPrompt,
    ChatTemplate,
    Message,
    PlannerLabel,
    render,
    visible_history,
)
from alpha_umi.roles.turns import Role, Tool, Turn, tool_texts


def render_prompt(
    role: Role,
    template: AnyTemplate,
    *,
    history: Sequence[Turn],
    tools: Sequence[Tool] = (),
    planner_label: PlannerLabel = "assistant",
    thinking: bool = False,
    answer_schema: Mapping[str, Any] | None = None,
) -> AnyPrompt:
    """The prompt of a role in either kind of template.

    `planner_label` applies to trained templates, `thinking` and `answer_schema` to those of the kind chat.
    """
    if isinstance(template, ChatTemplate):
        return render_chat(role, template, history=history, tools=tools, thinking=thinking, answer_schema=answer_schema)
    return render(role, template, history=history, tools=tools, planner_label=planner_label)


def render_chat(
    role: Role,
    template: ChatTemplate,
    *,
    history: Sequence[Turn],
    tools: Sequence[Tool] = (),
    thinking: bool = False,
    answer_schema: Mapping[str, Any] | None = None,
) -> ChatPrompt:
    """The messages of one role: a system message, then user and assistant in turn, from user to user.

    The caller's history ends with the rationale, with which its answer begins, so its last message is the assistant's.
    With an `answer_schema` the summarizer's task is to write JSON that matches it.
    """
    texts, turns = template.texts, visible_history(role, history)
    name = "system_without_tools" if not tools else "system_backbone" if role == "backbone" else "system"
    system = texts[name].replace("{doc}", _document(tools))
    follows_result = bool(turns) and turns[-1].role == "observation"
    messages = [_message(turn, texts["observation"]) for turn in turns]
    if role != "caller":
        messages.append(Message("user", _task(role, texts, follows_result, answer_schema)))
    if messages[0].role == "assistant":
        messages.insert(0, Message("user", texts["left_out"]))
    if role == "planner" and not follows_result and not thinking:
        messages.append(Message("assistant", texts["planner_begins"]))
    *before, newest = _alternating(messages)
    if role == "caller":
        # As between the rationale and the call of a history.
        newest = Message(newest.role, f"{newest.content}{_JOINT['assistant']}")
    return ChatPrompt((Message("system", system.strip()), *before, newest), thinking)


def _task(role: Role, texts: Mapping[str, str], follows_result: bool, answer_schema: Mapping[str, Any] | None) -> str:
    if role == "summarizer" and answer_schema is not None:
        return texts["summarizer_with_schema"].replace("{schema}", json.dumps(answer_schema))
    return texts["planner_after_result" if role == "planner" and follows_result else role]


def _document(tools: Sequence[Tool]) -> str:
    """All tools, one per line, with the keys that models know from interfaces for calls."""
    return "".join(f"{json.dumps(dict(zip(_KEYS, tool_texts(tool), strict=True)))}\n" for tool in tools)


_KEYS = ("name", "description", "parameters")


def _message(turn: Turn, observation: str) -> Message:
    match turn.role:
        case "user":
            return Message("user", turn.content)
        case "observation":
            return Message("user", f"{observation}{turn.content}")
        case "planner":
            return Message("assistant", without_decision(turn.content))
        case "caller":
            return Message("assistant", as_json_call(turn.content))
        case _:
            return Message("assistant", turn.content)


# Between texts of one message; a rationale and its call are nearer to each other than a result and a task.
_JOINT = {"user": "\n\n", "assistant": "\n"}


def _alternating(messages: Sequence[Message]) -> Iterator[Message]:
    """Neighbours of one role become one message, since many chat templates refuse two in a row."""
    newest, *others = messages
    for message in others:
        if message.role == newest.role:
            newest = Message(newest.role, f"{newest.content.strip()}{_JOINT[newest.role]}{message.content.strip()}")
        else:
            yield Message(newest.role, newest.content.strip())
            newest = message
    yield Message(newest.role, newest.content.strip())
