"""Parsing of role outputs: accepted forms, and named errors."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_umi.roles.backbone import parse_step
from alpha_umi.roles.caller import parse_call, write_call
from alpha_umi.roles.errors import UnreadableOutput
from alpha_umi.roles.planner import DECISIONS, Decision, parse_plan, write_plan
from alpha_umi.roles.summarizer import parse_answer

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("text", "decision", "thought"),
    [
        ("I look it up. Next: caller.", "caller", "I look it up."),
        ("I look it up. Next: caller", "caller", "I look it up."),
        (" Next: give up.", "give up", ""),
        ("Done.\nNext:  conclusion.\nconclusion: it is 3", "conclusion", "Done."),
        ("a Next: caller. b Next: conclusion.", "caller", "a"),
        ("Next: caller or conclusion or give up.", "caller", ""),
    ],
)
def test_decisions_that_published_models_write(text: str, decision: str, thought: str) -> None:
    plan = parse_plan(text)
    assert (plan.next, plan.thought) == (decision, thought)
    assert text.startswith(plan.text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no decision"),
        ("I think so.", "no decision"),
        ("Next: dinner.", "'Next: dinner.' names none of caller, conclusion, give up"),
        ("next: caller", "no decision"),
        ("Next: callers", "names none of"),
    ],
)
def test_no_decision_is_guessed(text: str, reason: str) -> None:
    with pytest.raises(UnreadableOutput, match=reason) as caught:
        parse_plan(text)
    assert caught.value.text == text


@given(st.text().filter(lambda text: "Next:" not in text), st.sampled_from(DECISIONS), st.text())
def test_a_plan_comes_back_from_its_text(thought: str, decision: Decision, after: str) -> None:
    plan = parse_plan(write_plan(thought, decision) + after)
    assert (plan.next, plan.thought) == (decision, thought.strip())
    assert parse_plan(plan.text) == plan


@given(st.text())
def test_any_planner_text_is_read_or_named(text: str) -> None:
    try:
        assert parse_plan(text).next in DECISIONS
    except UnreadableOutput as error:
        assert error.reason


@given(st.from_regex(r"[A-Za-z0-9_.-]{1,64}", fullmatch=True), st.dictionaries(st.text(), JSON, max_size=4))
def test_a_call_comes_back_from_its_text(name: str, arguments: dict[str, object]) -> None:
    for text in (
        write_call(name, arguments),
        f"Action: {name}\nAction Input: {json.dumps(arguments)}\n\nObservation: x",
    ):
        call = parse_call(text)
        assert (call.name, dict(call.arguments)) == (name, arguments)
        assert text.startswith(call.text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no 'Action:' line"),
        ("Action: t", "no 'Action Input:' line"),
        ("Action: t\nAction Input: ", "not JSON"),
        ("Action: t\nAction Input: {'a': 1}", "not JSON"),
        ('Action: t\nAction Input: {"a": NaN}', "not JSON"),
        ('Action: t\nAction Input: {"a": 1', "not JSON"),
        ("Action: t\nAction Input: [1]", "not a JSON object"),
        ("Action: \nAction Input: {}", "names no tool"),
        ("I call.\nAction: t\nAction Input: {}", "do not open the text"),
        ("Action: t\nAction Input: " + "[" * 100_000, "not JSON"),
        ('Action: t\nAction Input: {"a": ' + "9" * 5_000 + "}", "too deep, or a number too long"),
        ('Action: t\nAction Input: {"a": 1e400}', "too large"),
    ],
)
def test_a_broken_call_is_named(text: str, reason: str) -> None:
    with pytest.raises(UnreadableOutput, match=reason):
        parse_call(text)


def test_json_over_several_lines_keeps_its_form() -> None:
    text = 'Action: t\nAction Input: {\n  "a": "x\\ny",\n\n  "b": [1,\n 2]}'
    call = parse_call(f"{text}\nand then")
    assert call.text == text
    assert call.arguments == {"a": "x\ny", "b": [1, 2]}


@given(st.text())
def test_any_call_text_is_read_or_named(text: str) -> None:
    for attempt in (text, f"Action: t\nAction Input: {text}"):
        try:
            assert isinstance(parse_call(attempt).arguments, dict)
        except UnreadableOutput as error:
            assert error.reason


@pytest.mark.parametrize(
    ("text", "decision"),
    [
        ("Why.\nAction: t\nAction Input: {}", "caller"),
        ("Action: t\nAction Input: {}", "caller"),
        ("Why.\nconclusion: It is 3.", "conclusion"),
        ("Why.\nconclusion: give up.", "give up"),
        ("\nAction: t\nAction Input: {}\nconclusion: x", "caller"),
    ],
)
def test_the_single_models_turn(text: str, decision: str) -> None:
    step = parse_step(text)
    assert step.next == decision
    assert text.startswith(step.text)


def test_a_single_model_that_does_neither_is_named() -> None:
    with pytest.raises(UnreadableOutput, match="neither"):
        parse_step("I wonder about an Action: later")


def test_an_empty_answer_is_named() -> None:
    assert parse_answer(" 19 degrees.\n") == "19 degrees."
    with pytest.raises(UnreadableOutput, match="empty"):
        parse_answer(" \n")
