"""Render a role's request as the messages of a chat, for models that were trained for no role.

The messages are the system text with the tools, then the history, then the role's task at the end of the last user
message. Planner and caller share everything before the task, and so does an engine's prefix cache. Tools are lines of
the system text, and not the `tools` parameter of chat templates: templates put those into different places, many have
none, and they make a model write its own form of calls instead of the one that the grammars have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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
from alpha_umi.roles.turns import Role, Tool, Turn, tool_document


def render_prompt(
    role: Role,
    template: AnyTemplate,
    *,
    history: Sequence[Turn],
    tools: Sequence[Tool] = (),
    planner_label: PlannerLabel = "assistant",
    thinking: bool = False,
) -> AnyPrompt:
    """The prompt of a role in either kind of template. `planner_label` and `thinking` apply to one kind each."""
    if isinstance(template, ChatTemplate):
        return render_chat(role, template, history=history, tools=tools, thinking=thinking)
    return render(role, template, history=history, tools=tools, planner_label=planner_label)


def render_chat(
    role: Role, template: ChatTemplate, *, history: Sequence[Turn], tools: Sequence[Tool] = (), thinking: bool = False
) -> ChatPrompt:
    """The messages of one role: a system message, then user and assistant in turn, from user to user.

    The caller's history ends with the rationale, which its task contains.
    """
    texts, turns = template.texts, list(visible_history(role, history))
    follows_result = role == "planner" and turns[-1].role == "observation"
    task = texts["planner_after_result" if follows_result else role]
    if role == "caller":
        task = task.replace("{thought}", turns.pop().content.strip())
    system = texts["system"].replace("{doc}", tool_document(tools)) if tools else texts["system_without_tools"]
    messages = [*(_message(turn, texts["observation"]) for turn in turns), Message("user", task)]
    if messages[0].role == "assistant":
        messages.insert(0, Message("user", texts["left_out"]))
    return ChatPrompt((Message("system", system.strip()), *_alternating(messages)), thinking)


def _message(turn: Turn, observation: str) -> Message:
    match turn.role:
        case "user":
            return Message("user", turn.content)
        case "observation":
            return Message("user", f"{observation}{turn.content}")
        case _:
            return Message("assistant", turn.content)


def _alternating(messages: Sequence[Message]) -> Iterator[Message]:
    """Neighbours of one role become one message, since many chat templates refuse two in a row."""
    newest, *others = messages
    for message in others:
        if message.role == newest.role:
            newest = Message(newest.role, f"{newest.content.strip()}\n\n{message.content.strip()}")
        else:
            yield Message(newest.role, newest.content.strip())
            newest = message
    yield Message(newest.role, newest.content.strip())
