"""The messages of a chat completion: as turns of a history, and as digests by which a trajectory is found again.

A client sends the conversation with each request. The digest of a request's messages is stored with its turn; the next
request of the conversation begins with the same messages, and the assistant's message that answered them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from alpha_umi.contract.openai.chat import (
    AssistantMessage,
    CalledFunction,
    CreateChatCompletion,
    FunctionCall,
    InstructionsMessage,
    Message,
    ToolMessage,
    UserMessage,
)
from alpha_umi.contract.problems import refusal
from orchestrator.openai.conversation_input import FEW_TURNS, SuppliedConversation, content_text

FIELD = "messages"


@dataclass(frozen=True)
class ChatHistory:
    """The conversation of a request. `instructions` are the texts of system and developer.

    `digest` is that of all messages. `answer` is the newest message of the assistant, `prefix` the digest of the
    messages before it, and `added` are the messages after it.
    """

    instructions: str | None
    everything: SuppliedConversation
    digest: str
    answer: AssistantMessage | None
    prefix: str
    added: SuppliedConversation

    @property
    def only_call(self) -> FunctionCall | None:
        """The call of the assistant's newest message, if there is one and not several."""
        calls = [] if self.answer is None else _calls(self.answer)
        return calls[0] if len(calls) == 1 else None


def read_history(request: CreateChatCompletion) -> ChatHistory:
    """The conversation of a request. Raises `ServiceError` that names the message at fault."""
    messages = request.messages
    _require_order(messages)
    newest = max((index for index, message in enumerate(messages) if isinstance(message, AssistantMessage)), default=-1)
    digest = hashlib.sha256(_seed(request))
    prefix = digest.hexdigest()
    for index, message in enumerate(messages):
        if index == newest:
            prefix = digest.hexdigest()
        digest.update(json.dumps(_identity(message)).encode() + b"\n")
    answer = messages[newest] if newest >= 0 else None
    conversation = _collected(messages, 0)
    # What is wrong is found here, whether a trajectory holds the conversation or not.
    conversation.turns()
    return ChatHistory(
        "\n\n".join(conversation.instructions) or None,
        conversation,
        digest.hexdigest(),
        answer if isinstance(answer, AssistantMessage) else None,
        prefix,
        _collected(messages, newest + 1),
    )


def is_large(messages: Sequence[Message]) -> bool:
    """Whether reading the messages takes milliseconds. Arguments of calls hold JSON."""
    with_calls = any(isinstance(each, AssistantMessage) and (each.tool_calls or each.alpha_umi) for each in messages)
    return with_calls or len(messages) > FEW_TURNS


def shown_text(message: AssistantMessage) -> str:
    """The text of the assistant's message: its content, or else its refusal."""
    return content_text(message.content or "") or message.refusal or ""


def call_identity(function: CalledFunction) -> tuple[str, str]:
    """Name and arguments of a call, in a form that does not depend on how the arguments are written."""
    try:
        return function.name, json.dumps(json.loads(function.arguments or "{}"), sort_keys=True)
    except (ValueError, RecursionError):
        return function.name, function.arguments


def _seed(request: CreateChatCompletion) -> bytes:
    """What else a conversation shares with the one before: another model or other tools begin another trajectory."""
    tools = None if request.tools is None else [tool.model_dump(mode="json") for tool in request.tools]
    return json.dumps([request.model, tools], sort_keys=True).encode() + b"\n"


def _identity(message: Message) -> list[Any]:
    """What the conversation has of a message, in whichever notation a client repeats it."""
    match message:
        case AssistantMessage():
            calls = [[call.id, *call_identity(call.function)] for call in _calls(message)]
            return [message.role, shown_text(message).strip(), calls]
        case ToolMessage():
            return [message.role, content_text(message.content), message.tool_call_id]
        case UserMessage() | InstructionsMessage():
            return ["user" if isinstance(message, UserMessage) else "system", content_text(message.content)]
        case _ as never:
            assert_never(never)


def _calls(message: AssistantMessage) -> Sequence[FunctionCall]:
    return message.tool_calls or ()


def _require_order(messages: Sequence[Message]) -> None:
    """Raises `ServiceError` unless the outputs of calls follow them, one each, before any other message."""
    open_calls: dict[str, str] = {}
    for index, message in enumerate(messages):
        field = f"{FIELD}.{index}"
        match message:
            case InstructionsMessage():
                continue
            case ToolMessage() if message.tool_call_id not in open_calls:
                detail = f"no call {message.tool_call_id!r} before it waits for an output"
                remedy = "send one output for each call, right after the message with the call"
                raise refusal(f"{field}.tool_call_id", detail, remedy)
            case ToolMessage():
                del open_calls[message.tool_call_id]
                continue
        _require_outputs(open_calls)
        if isinstance(message, AssistantMessage):
            open_calls = {call.id: f"{field}.tool_calls.{place}.id" for place, call in enumerate(_calls(message))}
    _require_outputs(open_calls)


def _require_outputs(open_calls: dict[str, str]) -> None:
    for call_id, field in open_calls.items():
        detail = f"the output of the call {call_id!r} is missing"
        remedy = "send it in a message of the role `tool`, before any other message"
        raise refusal(field, detail, remedy)


def _collected(messages: Sequence[Message], start: int) -> SuppliedConversation:
    """The messages from one on. Raises `ServiceError`."""
    conversation = SuppliedConversation(FIELD)
    # Some servers number the calls of each message anew.
    distinct: dict[str, str] = {}
    for index, message in enumerate(messages[start:], start):
        place = f"{FIELD}.{index}"
        match message:
            case InstructionsMessage():
                conversation.instruct(content_text(message.content))
            case UserMessage():
                conversation.user(content_text(message.content))
            case ToolMessage():
                call_id = distinct.get(message.tool_call_id, message.tool_call_id)
                conversation.output(call_id, content_text(message.content), place=place)
            case AssistantMessage():
                _collect_answer(conversation, message, place)
                for number, call in enumerate(_calls(message)):
                    field = distinct[call.id] = f"{place}.tool_calls.{number}.function"
                    conversation.call(field, call.function.name, call.function.arguments, place=field)
            case _ as never:
                assert_never(never)
    return conversation


def _collect_answer(conversation: SuppliedConversation, message: AssistantMessage, place: str) -> None:
    """What the message has before the calls of the client."""
    if message.reasoning_content:
        conversation.rationale(message.reasoning_content)
    if message.alpha_umi is not None:
        for number, call in enumerate(message.alpha_umi.tool_calls or ()):
            field = f"{place}.alpha_umi.tool_calls.{number}"
            conversation.call(field, call.name, call.arguments, place=field)
            conversation.output(field, call.output or call.error or "", place=field)
    if text := shown_text(message):
        conversation.assistant(text)
