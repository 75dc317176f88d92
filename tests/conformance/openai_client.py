"""The official client for Python through every endpoint. Prints one JSON object a check; needs `openai` alone.

What the scripted models answer: `system.py` beside this file.
"""

from __future__ import annotations

import itertools
import json
import os
import time
import traceback
from collections.abc import Callable, Iterable
from typing import Any

import openai
from openai import OpenAI
from openai.types.responses import Response, ResponseFunctionToolCall
from pydantic import BaseModel

MODEL = os.environ["MODEL"]
client = OpenAI(max_retries=0, timeout=30)
CHECKS: list[Callable[[], None]] = []

WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a place",
    "parameters": {
        "type": "object",
        "properties": {"location": {"type": "string"}},
        "required": ["location"],
        "additionalProperties": False,
    },
    "strict": True,
}
CHAT_WEATHER: Any = {
    "type": "function",
    "function": {name: WEATHER[name] for name in ("name", "description", "parameters")},
}
ARGUMENTS = {"location": "San Francisco, CA"}
TERMINAL = {"response.completed", "response.incomplete", "response.failed"}


def check(function: Callable[[], None]) -> Callable[[], None]:
    """Register a check."""
    CHECKS.append(function)
    return function


def create(text: Any, **options: Any) -> Response:
    answer: Response = client.responses.create(model=MODEL, input=text, **options)
    return answer


def refused(
    error: type[openai.APIStatusError], param: str | None, function: Callable[[], Any]
) -> openai.APIStatusError:
    try:
        function()
    except error as problem:
        assert problem.param == param, (problem.param, problem.message)
        assert problem.request_id
        return problem
    raise AssertionError(f"no {error.__name__}")


def checked(events: Iterable[Any]) -> list[Any]:
    """The events of a stream, whose order and numbers are right."""
    listed = list(events)
    numbers = [event.sequence_number for event in listed]
    assert numbers == sorted(set(numbers)), numbers
    types = [event.type for event in listed]
    assert types[0] == "response.created", types
    assert types.count("response.created") == 1
    assert types[-1] in TERMINAL, types
    assert len(TERMINAL.intersection(types)) == 1
    return listed


def text_of(events: Iterable[Any]) -> str:
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


def ended(response_id: str) -> Response:
    for _ in range(300):
        response = client.responses.retrieve(response_id)
        if response.status not in ("queued", "in_progress"):
            return response
        time.sleep(0.1)
    raise AssertionError(f"{response_id} is {response.status}")


@check
def models() -> None:
    assert MODEL in [model.id for model in client.models.list()]
    assert client.models.retrieve(MODEL).owned_by
    refused(openai.NotFoundError, "model", lambda: client.models.retrieve("gpt-none"))


@check
def a_key_is_needed() -> None:
    other = client.with_options(api_key="sk-wrong")
    refused(openai.AuthenticationError, None, lambda: other.responses.create(model=MODEL, input="Hello"))


@check
def response() -> None:
    answer = create("Hello", metadata={"topic": "tides"}, instructions="Be brief.", user="u1")
    assert answer.status == "completed", answer.status
    assert answer.output_text == "You wrote: Hello", answer.output_text
    assert [item.type for item in answer.output] == ["reasoning", "message"]
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens > 0
    assert (answer.metadata, answer.instructions, answer.user) == ({"topic": "tides"}, "Be brief.", "u1")
    assert client.responses.retrieve(answer.id).output_text == answer.output_text


@check
def raw_headers() -> None:
    raw = client.responses.with_raw_response.create(model=MODEL, input="Hello")
    assert raw.headers["openai-processing-ms"].isdigit()
    assert raw.headers["x-request-id"] == raw.parse()._request_id


@check
def stream() -> None:
    events = checked(client.responses.create(model=MODEL, input="Count to five", stream=True))
    assert text_of(events) == events[-1].response.output_text == "You wrote: Count to five"
    assert all(event.sequence_number >= 0 for event in events)


@check
def stream_helper() -> None:
    with client.responses.stream(model=MODEL, input="Count to five") as helper:
        text = text_of(helper)
        assert helper.get_final_response().output_text == text == "You wrote: Count to five"


@check
def background_and_resume() -> None:
    first = client.responses.create(model=MODEL, input="Answer slowly", background=True, stream=True)
    seen = list(itertools.islice(first, 3))
    first.close()
    response_id = seen[0].response.id
    rest = list(client.responses.retrieve(response_id, stream=True, starting_after=seen[-1].sequence_number))
    joined = checked([*seen, *rest])
    again = checked(client.responses.retrieve(response_id, stream=True))
    assert [event.to_dict() for event in again] == [event.to_dict() for event in joined]
    assert ended(response_id).output_text == text_of(joined) == "You wrote: Answer slowly"


@check
def background_and_poll() -> None:
    begun = create("Hello", background=True)
    assert begun.status in ("queued", "in_progress", "completed")
    assert ended(begun.id).output_text == "You wrote: Hello"


@check
def cancel() -> None:
    begun = create("Answer slowly", background=True)
    assert client.responses.cancel(begun.id).status == "cancelled"
    assert client.responses.retrieve(begun.id).status == "cancelled"
    refused(openai.ConflictError, None, lambda: client.responses.cancel(begun.id))


@check
def delete() -> None:
    answer = create("Hello")
    client.responses.delete(answer.id)
    refused(openai.NotFoundError, "response_id", lambda: client.responses.retrieve(answer.id))
    refused(openai.NotFoundError, "previous_response_id", lambda: create("More", previous_response_id=answer.id))


@check
def input_items() -> None:
    items = [{"role": "user", "content": text} for text in ("one", "two", "three")]
    answer = create(items)
    listed = list(client.responses.input_items.list(answer.id, limit=2, order="asc"))
    assert [item.content[0].text for item in listed] == ["one", "two", "three"]


@check
def previous_response_and_branches() -> None:
    root = create("Remember the number four.")
    branches = [create(text, previous_response_id=root.id) for text in ("And now?", "Or else?")]
    assert [branch.output_text for branch in branches] == ["You wrote: And now?", "You wrote: Or else?"]
    assert len({root.id, *(branch.id for branch in branches)}) == 3
    assert all(branch.previous_response_id == root.id for branch in branches)


@check
def own_history() -> None:
    history: list[Any] = [{"role": "developer", "content": "Be kind."}, {"role": "user", "content": "Hello"}]
    history += create(history).output
    answer = create([*history, {"role": "user", "content": "Again"}])
    assert answer.output_text == "You wrote: Again"


@check
def store_false() -> None:
    answer = create("Hello", store=False)
    assert answer.output_text == "You wrote: Hello"
    refused(openai.NotFoundError, "response_id", lambda: client.responses.retrieve(answer.id))


@check
def client_tool() -> None:
    first = create("What is the weather?", tools=[WEATHER])
    call = first.output[-1]
    assert isinstance(call, ResponseFunctionToolCall), first.output
    assert (call.name, json.loads(call.arguments)) == ("get_weather", ARGUMENTS)
    output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    answer = create([output], previous_response_id=first.id, tools=[WEATHER])
    assert answer.output_text == "You wrote: What is the weather?"
    again = refused(
        openai.BadRequestError,
        "input[0].call_id",
        lambda: create([output], previous_response_id=answer.id, tools=[WEATHER]),
    )
    assert call.call_id in again.message


@check
def client_tool_in_a_stream() -> None:
    events = checked(client.responses.create(model=MODEL, input="The weather?", tools=[WEATHER], stream=True))
    arguments = "".join(event.delta for event in events if event.type == "response.function_call_arguments.delta")
    assert json.loads(arguments) == ARGUMENTS
    assert events[-1].response.output[-1].arguments == arguments


@check
def client_tool_with_own_history() -> None:
    history: list[Any] = [{"role": "user", "content": "The weather?"}]
    first = client.responses.create(model=MODEL, input=history, tools=[WEATHER], store=False)
    call = first.output[-1]
    assert isinstance(call, ResponseFunctionToolCall), first.output
    history += [*first.output, {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}]
    answer = client.responses.create(model=MODEL, input=history, tools=[WEATHER], store=False)
    assert answer.output_text == "You wrote: The weather?", answer.output


@check
def server_tool() -> None:
    answer = create("What is the price?", tools=[{"type": "alpha_umi:registered", "names": ["look_up"]}])
    served = [item.to_dict() for item in answer.output if item.type == "alpha_umi:tool_call"]
    assert [item["name"] for item in served] == ["look_up"], answer.output
    assert served[0]["status"] == "completed"
    assert "price" in served[0]["output"]
    assert answer.output_text == "You wrote: What is the price?"
    again = create([*answer.output, {"role": "user", "content": "Thanks"}], tools=[])
    assert again.output_text == "You wrote: Thanks"


@check
def tool_choice() -> None:
    other = {**WEATHER, "name": "get_time"}
    choices: list[tuple[Any, str]] = [
        ("required", "get_weather"),
        ({"type": "function", "name": "get_time"}, "get_time"),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "get_time"}]},
            "get_time",
        ),
    ]
    for choice, name in choices:
        first = create("Hello", tools=[WEATHER, other], tool_choice=choice)
        assert getattr(first.output[-1], "name", None) == name, (choice, first.output)
    assert create("The weather?", tools=[WEATHER], tool_choice="none").output_text == "You wrote: The weather?"


class Reading(BaseModel):
    """A form of an answer."""

    place: str
    degrees: int


@check
def parsed_answer() -> None:
    answer = client.responses.parse(model=MODEL, input="How warm?", text_format=Reading)
    assert answer.output_parsed == Reading(place="San Francisco, CA", degrees=1), answer.output_text


@check
def giving_up_and_limits() -> None:
    gave_up = create("Give up")
    assert gave_up.status == "incomplete"
    assert gave_up.incomplete_details is not None
    assert gave_up.incomplete_details.to_dict()["reason"] == "gave_up"


@check
def bad_requests() -> None:
    refused(openai.BadRequestError, "colour", lambda: create("Hello", extra_body={"colour": "red"}))
    refused(openai.BadRequestError, "background", lambda: create("Hello", background=True, store=False))
    refused(openai.BadRequestError, "model", lambda: client.responses.create(input="Hello"))
    refused(openai.NotFoundError, "model", lambda: client.responses.create(model="gpt-none", input="Hello"))
    both = {"conversation": "conv_1", "previous_response_id": "resp_1"}
    refused(openai.BadRequestError, "conversation", lambda: create("Hello", **both))


@check
def conversations() -> None:
    hello: Any = {"type": "message", "role": "user", "content": "I am Alice."}
    conversation = client.conversations.create(items=[hello], metadata={"topic": "names"})
    first = create("Who am I?", conversation=conversation.id)
    assert first.conversation is not None
    assert first.conversation.id == conversation.id
    second = create("And now?", conversation=conversation.id)
    items = list(client.conversations.items.list(conversation.id, order="asc", limit=3))
    texts = [part.text for item in items if item.type == "message" for part in item.content]
    expected = ["I am Alice.", "Who am I?", first.output_text, "And now?", second.output_text]
    assert texts == expected, texts
    added = client.conversations.items.create(conversation.id, items=[hello])
    one = client.conversations.items.retrieve(added.data[0].id, conversation_id=conversation.id)
    assert one.to_dict() == added.data[0].to_dict()
    client.conversations.items.delete(one.id, conversation_id=conversation.id)
    updated = client.conversations.update(conversation.id, metadata={"topic": "none"})
    assert client.conversations.retrieve(conversation.id).metadata == updated.metadata == {"topic": "none"}
    assert client.conversations.delete(conversation.id).deleted
    refused(openai.NotFoundError, "conversation", lambda: client.conversations.retrieve(conversation.id))
    assert client.responses.retrieve(second.id).output_text == second.output_text


@check
def a_conversation_is_locked_while_a_response_runs() -> None:
    conversation = client.conversations.create()
    begun = create("Answer slowly", conversation=conversation.id, background=True)
    problem = refused(openai.ConflictError, "conversation", lambda: create("Me, too", conversation=conversation.id))
    assert problem.code == "conversation_locked"
    ended(begun.id)
    assert create("Now?", conversation=conversation.id).output_text == "You wrote: Now?"


@check
def compaction() -> None:
    answer = create("We launch on Tuesday.")
    compacted = client.responses.compact(model=MODEL, previous_response_id=answer.id)
    assert [item.type for item in compacted.output] == ["message", "compaction"]
    window: Any = [item.to_dict() for item in compacted.output]
    assert create([*window, {"role": "user", "content": "When?"}]).output_text == "You wrote: When?"


@check
def web_socket() -> None:
    with client.responses.connect() as connection:
        previous = None
        for text in ("Remember four", "And now?"):
            connection.response.create(model=MODEL, input=text, store=False, previous_response_id=previous)
            events = []
            for event in connection:
                events.append(event)
                if event.type in TERMINAL:
                    break
            answer = checked(events)[-1].response
            assert answer.output_text == f"You wrote: {text}"
            previous = answer.id


@check
def chat() -> None:
    messages: list[Any] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    answer = client.chat.completions.create(model=MODEL, messages=messages)
    (choice,) = answer.choices
    assert (choice.finish_reason, choice.message.content) == ("stop", "You wrote: Hello")
    assert answer.usage is not None
    assert answer.usage.total_tokens > 0
    messages += [choice.message, {"role": "user", "content": "Again"}]
    again = client.chat.completions.create(model=MODEL, messages=messages)
    assert again.choices[0].message.content == "You wrote: Again"


@check
def chat_stream() -> None:
    messages: list[Any] = [{"role": "user", "content": "Count to five"}]
    chunks = list(
        client.chat.completions.create(
            model=MODEL, messages=messages, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == "You wrote: Count to five"
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None


@check
def chat_stream_helper() -> None:
    messages: list[Any] = [{"role": "user", "content": "The weather?"}]
    with client.chat.completions.stream(model=MODEL, messages=messages, tools=[CHAT_WEATHER]) as helper:
        for _ in helper:
            pass
        (choice,) = helper.get_final_completion().choices
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls or []
    assert json.loads(call.function.arguments) == ARGUMENTS


@check
def chat_tool() -> None:
    messages: list[Any] = [{"role": "user", "content": "The weather?"}]
    first = client.chat.completions.create(model=MODEL, messages=messages, tools=[CHAT_WEATHER]).choices[0]
    assert first.finish_reason == "tool_calls"
    (call,) = first.message.tool_calls or []
    messages += [first.message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    answer = client.chat.completions.create(model=MODEL, messages=messages, tools=[CHAT_WEATHER]).choices[0]
    assert answer.message.content == "You wrote: The weather?"


@check
def chat_parsed_answer() -> None:
    messages: list[Any] = [{"role": "user", "content": "How warm?"}]
    answer = client.chat.completions.parse(model=MODEL, messages=messages, response_format=Reading)
    assert answer.choices[0].message.parsed == Reading(place="San Francisco, CA", degrees=1)


@check
def chat_bad_requests() -> None:
    messages: list[Any] = [{"role": "user", "content": "Hello"}]
    complete = client.chat.completions.create
    refused(openai.BadRequestError, "n", lambda: complete(model=MODEL, messages=messages, n=2))
    refused(openai.BadRequestError, "logprobs", lambda: complete(model=MODEL, messages=messages, logprobs=True))
    refused(openai.NotFoundError, "model", lambda: complete(model="gpt-none", messages=messages))


def main() -> None:
    """Run the checks in order."""
    for function in CHECKS:
        error = None
        try:
            function()
        except Exception as problem:
            here = [frame for frame in traceback.extract_tb(problem.__traceback__) if frame.filename == __file__]
            error = f"{type(problem).__name__} at line {here[-1].lineno}: {problem}"
        print(json.dumps({"name": function.__name__, "error": error}), flush=True)


if __name__ == "__main__":
    main()
