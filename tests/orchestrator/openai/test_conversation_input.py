"""Items of a client as turns of a history."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from alpha_umi.contract.openai.input_items import InputItem
from alpha_umi.contract.problems import ServiceError
from alpha_umi.contract.roles import MAX_TURN_CHARACTERS, MAX_TURNS
from alpha_umi.roles.turns import Turn
from orchestrator.openai.conversation_input import SuppliedConversation
from orchestrator.openai.input_items import supplied_conversation

ITEMS: TypeAdapter[list[InputItem]] = TypeAdapter(list[InputItem])
USER = {"role": "user", "content": "Weather?"}
CALL = {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"city": "Bonn"}'}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "sun"}
REASONING = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Look it up."}]}
ANSWER = {
    "type": "message",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "Sun.", "annotations": []}],
}
CALLED = ("caller", 'Action: weather\nAction Input: {\n  "city": "Bonn"\n}')


def read(*items: dict[str, Any]) -> SuppliedConversation:
    return supplied_conversation(ITEMS.validate_python(list(items)))


def pairs(*items: dict[str, Any], before: tuple[Turn, ...] = (), open_call: str | None = None) -> list[tuple[str, str]]:
    turns = read(*items).turns(before, open_call=open_call)
    return [(turn.role, turn.content) for turn in turns]


def refusal(*items: dict[str, Any], **options: Any) -> tuple[str, str]:
    """Field and detail."""
    with pytest.raises(ServiceError) as caught:
        read(*items).turns(**options)
    return caught.value.errors[0].field, caught.value.detail


def test_a_call_and_its_output_have_the_form_that_the_roles_write() -> None:
    assert pairs(USER, REASONING, CALL, OUTPUT) == [
        ("user", "Weather?"),
        ("planner", "Look it up. Next: caller."),
        CALLED,
        ("observation", "sun"),
    ]


def test_an_answer_follows_a_planner_turn_as_in_a_log() -> None:
    assert pairs(USER, REASONING, ANSWER, USER)[1:] == [
        ("planner", "Look it up. Next: conclusion."),
        ("conclusion", "Sun."),
        ("user", "Weather?"),
    ]


def test_several_calls_in_one_turn_of_the_assistant_become_one_after_the_other() -> None:
    second = CALL | {"call_id": "call_2", "arguments": ""}
    text = {"role": "assistant", "content": "I look."}
    assert pairs(USER, text, CALL, second, OUTPUT | {"call_id": "call_2", "output": "rain"}, OUTPUT)[1:] == [
        ("planner", "I look. Next: caller."),
        CALLED,
        ("observation", "sun"),
        ("planner", " Next: caller."),
        ("caller", "Action: weather\nAction Input: {}"),
        ("observation", "rain"),
    ]


def test_messages_in_a_row_are_joined_and_instructions_stand_apart() -> None:
    system, developer = {"role": "system", "content": "Be brief."}, {"role": "developer", "content": "In German."}
    conversation = read(system, USER, developer, {"role": "user", "content": "In Bonn."})
    assert conversation.instructions == ["Be brief.", "In German."]
    assert (conversation.message, conversation.only_output) == ("Weather?\n\nIn Bonn.", None)
    assert conversation.turns() == (Turn("user", "Weather?\n\nIn Bonn."),)


def test_a_text_is_a_message_of_the_user() -> None:
    assert supplied_conversation("Weather?").message == "Weather?"


def test_images_and_files_are_named_as_not_read() -> None:
    content = [
        {"type": "input_text", "text": "What is it?"},
        {"type": "input_image", "image_url": "data:image/png;base64,AAAA"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "AAAA"},
        {"type": "input_file", "file_id": "file_1"},
    ]
    message = read({"role": "user", "content": content}).message
    assert message == "What is it?\n[image: not read]\n[file a.pdf: not read]\n[file: not read]"


def test_a_call_that_the_server_made_comes_with_its_result() -> None:
    call = {"type": "alpha_umi:tool_call", "name": "weather", "arguments": '{"city": "Bonn"}', "output": "sun"}
    assert pairs(USER, REASONING, call, call | {"output": None, "error": "no such city"})[1:] == [
        ("planner", "Look it up. Next: caller."),
        CALLED,
        ("observation", "sun"),
        ("planner", " Next: caller."),
        CALLED,
        ("observation", "no such city"),
    ]


def test_a_history_continues_at_its_open_call() -> None:
    before = (Turn("user", "Weather?"), Turn("planner", "p Next: caller."), Turn("caller", "c"))
    assert read(OUTPUT).only_output is not None
    assert pairs(OUTPUT, USER, before=before, open_call="call_1")[3:] == [
        ("observation", "sun"),
        ("conclusion", "none"),
        ("user", "Weather?"),
    ]


def test_a_history_without_an_answer_gets_an_empty_one() -> None:
    before = (Turn("user", "Weather?"), Turn("planner", "p Next: give up."))
    assert pairs(USER, before=before)[2:] == [("conclusion", "none"), ("user", "Weather?")]
    assert pairs(USER, REASONING, USER)[1:3] == [
        ("planner", "Look it up. Next: give up."),
        ("conclusion", "none"),
    ]


@pytest.mark.parametrize(
    ("items", "field", "detail"),
    [
        ([], "input", "nothing to answer"),
        ([USER, ANSWER], "input", "the assistant's"),
        ([USER, REASONING], "input", "the assistant's"),
        ([CALL, OUTPUT], "input", "no message of the user"),
        ([{"role": "user", "content": " \n"}], "input", "blank"),
        ([USER, CALL], "input.1", "no output of the call 'call_1'"),
        ([USER, OUTPUT], "input.1.call_id", "no call 'call_1' waits"),
        ([USER, CALL, CALL, OUTPUT], "input.2.call_id", "twice"),
        ([USER, CALL, OUTPUT, OUTPUT], "input.3.call_id", "two outputs"),
        ([USER, CALL | {"arguments": "[1]"}, OUTPUT], "input.1.arguments", "no JSON object"),
        ([USER, CALL | {"arguments": '{"a": NaN}'}, OUTPUT], "input.1.arguments", "no JSON object"),
        ([USER, CALL | {"arguments": "[" * 100_000}, OUTPUT], "input.1.arguments", "no JSON object"),
        ([USER, {"role": "user", "content": "x" * MAX_TURN_CHARACTERS}], "input", "allowed are 1000000"),
        ([ANSWER, USER] * (MAX_TURNS // 2), "input", f"allowed are {MAX_TURNS}"),
    ],
)
def test_what_is_no_conversation_is_refused_by_name(items: list[dict[str, Any]], field: str, detail: str) -> None:
    named, reason = refusal(*items)
    assert named == field
    assert detail in reason


def test_an_open_call_needs_its_output() -> None:
    before = (Turn("user", "Weather?"), Turn("planner", "p Next: caller."), Turn("caller", "c"))
    assert refusal(USER, before=before, open_call="call_1") == ("input", "no output of the call 'call_1' is there")


@pytest.mark.parametrize(
    ("item", "detail"),
    [
        ({"type": "computer_call"}, "type of an item must be one of message, function_call"),
        ({"type": 3}, "type of an item must be one of"),
        ("text", "type of an item must be one of"),
        (USER | {"content": [{"type": "input_audio"}]}, "`type` must be one of `text`"),
        (USER | {"content": [{"type": "input_text", "text": "x", "cache": 1}]}, "Extra inputs"),
        (USER | {"content": "x" * (MAX_TURN_CHARACTERS + 1)}, "at most 1000000 characters"),
        (USER | {"role": "tool"}, "'user', 'assistant', 'system' or 'developer'"),
        (CALL | {"name": "a b"}, "match pattern"),
    ],
)
def test_an_item_that_no_role_can_use_is_refused_by_name(item: Any, detail: str) -> None:
    with pytest.raises(ValidationError, match=detail):
        ITEMS.validate_python([item])


def test_null_counts_as_left_out() -> None:
    (item,) = ITEMS.validate_python([CALL | {"id": None, "namespace": None, "status": None}])
    assert item.model_dump(exclude_none=True) == CALL
