"""What `read_more` shows of a shortened result, and what it says to arguments that name nothing."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_umi.contract.tool_schema import check_schema
from alpha_umi.trajectory import Action, Observation, State, Step
from orchestrator.tools.json_text import NOT_READ, closed_json
from orchestrator.tools.read_more import NothingToRead, built_in_tools, read_more, read_request
from orchestrator.tools.shorten import shorten_structure

BODY: dict[str, Any] = {
    "items": [{"id": number, "title": f"Title {number}", "price": 1.50} for number in range(50)],
    "text": "".join(f"line {number}\n" for number in range(500)),
    "a.b": {"c/d": 1},
    "none": {},
    "total": 50,
}
NINES = "9" * 5_000
CSV = "".join(f"{number},{number * 2}\n" for number in range(500))


def state_of(*has_body: bool, tools: tuple[str, ...] = ("look_up",)) -> State:
    """A state with results of which the log has the body or not."""
    steps = [
        Step(number, "t", "caller", Action("c", "look_up", {}), Observation("...", truncated=True, has_body=has))
        for number, has in enumerate(has_body)
    ]
    return State(steps=tuple(steps), tools=tools)


def read(body: Any, max_bytes: int = 2_000, **arguments: Any) -> str:
    wanted, step = read_request(state_of(True), arguments)
    return read_more(body if isinstance(body, str) else json.dumps(body), wanted, step.index, max_bytes)


@pytest.mark.parametrize("path", ["items.12.title", "items[12].title", "$.items[12].title", "/items/12/title"])
def test_a_value_is_read_by_its_path(path: str) -> None:
    assert read(BODY, path=path) == f"[Result 1 at {path}: characters 0 to 7 of 8]\nTitle 12"


@pytest.mark.parametrize("path", ["a.b.c/d", "/a.b/c~1d"])
def test_names_may_have_dots_and_slashes(path: str) -> None:
    assert read(BODY, path=path) == "1"


def test_items_are_read_from_a_place() -> None:
    shown = read(BODY, path="items", start=48)
    assert shown == (
        "[Result 1 at items: items 48 to 49 of 50]\n"
        '[{"id":48,"title":"Title 48","price":1.5},{"id":49,"title":"Title 49","price":1.5}]'
    )
    assert read(BODY, start=3, count=1) == '[Result 1: members 3 to 3 of 5]\n{"none":{}}'
    assert read(BODY, path="none") == "{}"


def test_many_items_are_shortened_again() -> None:
    shown = read(BODY, 300, path="items", start=10)
    assert shown.startswith('[Result 1 at items: items 10 to 49 of 50]\n[{"id":10,')
    assert "[... items " in shown


def test_a_text_is_read_on_until_its_end() -> None:
    shown, start = "", 0
    while start < len(BODY["text"]):
        head, _, part = read(BODY, 500, path="text", start=start).partition("\n")
        assert head == f"[Result 1 at text: characters {start} to {start + len(part) - 1} of {len(BODY['text'])}]"
        shown, start = shown + part, start + len(part)
    assert shown == BODY["text"]


def test_lines_of_a_text_are_read() -> None:
    assert read(CSV, start=100, count=2) == "[Result 1: lines 100 to 101 of 500]\n100,200\n101,202\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"path": "item"}, "the object at the top has no 'item'; it has items, text, a.b, none, total"),
        ({"path": "items.50"}, "the list at items has 50 items, counted from 0, and none at '50'"),
        ({"path": f"items.{NINES}"}, f"the list at items has 50 items, counted from 0, and none at '{NINES}'"),
        ({"path": "items.1.id.x"}, "the value at items.1.id has no parts: end `path` there"),
        ({"path": "none.x"}, "the object at none has no 'x'; it has no members"),
        ({"path": "items", "start": 50}, "there are 50 items: `start` is less than that"),
        ({"start": -1}, "start: Input should be greater than or equal to 0"),
        ({"path": 3}, "path: Input should be a valid string"),
        ({"step": 3}, "step: Extra inputs are not permitted"),
        ({"result": 2}, "`result` is one of 1"),
    ],
)  # fmt: skip
def test_what_names_nothing_is_explained(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(NothingToRead) as raised:
        read(BODY, **arguments)
    assert str(raised.value) == says


def test_a_text_has_no_paths() -> None:
    with pytest.raises(NothingToRead, match="result 1 is text without paths: leave `path` empty, and set `start`"):
        read(CSV, path="0")


def test_the_newest_result_is_read_and_an_older_one_by_its_number() -> None:
    state = state_of(True, False, True, False)
    assert read_request(state, {"path": "a"})[1].index == 2
    assert read_request(state, {"path": "a", "result": 1})[1].index == 0
    with pytest.raises(NothingToRead, match="`result` is one of 1, 3"):
        read_request(state, {"result": 2})


def test_it_is_offered_once_a_result_was_shortened() -> None:
    (tool,) = built_in_tools(state_of(True))
    check_schema(tool.parameters)
    assert tool.parameters["properties"]["count"]["minimum"] == 1
    assert built_in_tools(State()) == []
    assert built_in_tools(state_of(True, tools=("read_more",))) == []
    assert built_in_tools(state_of(False)) == []


CUT = closed_json(json.dumps({"items": list(range(100)), "next": 5})[:200]) or ""
STORED = shorten_structure(json.dumps({"items": list(range(1_000)), "text": "x" * 5_000, "next": 5}), 500)


@pytest.mark.parametrize("body", [CUT, STORED])
def test_totals_are_those_of_the_stored_part(body: str) -> None:
    number = len(json.loads(body)["items"]) - 1
    none = f"the stored part of the list at items has {number} items, counted from 0, and none at '{number}'"
    with pytest.raises(NothingToRead, match=none):
        read(body, path=f"items.{number}")
    with pytest.raises(NothingToRead, match=f"there are {number} items in the stored part: `start` is less than that"):
        read(body, path="items", start=number)
    shown = read(body, path="items", start=number - 1)
    assert shown == (
        f"[Result 1 at items: items {number - 1} to {number - 1} of the {number} that are stored]\n[{number - 1}]"
    )


def test_a_cut_text_or_object_is_a_part_too() -> None:
    shown = read(STORED, path="text")
    assert re.match(r"\[Result 1 at text: characters 0 to \d+ of the \d+ that are stored\]\nx", shown)
    assert "of the 501 that are stored]" in read(f"{CSV}{NOT_READ}", start=3)
    with pytest.raises(NothingToRead, match="the stored part of the object at the top has no 'next'"):
        read(CUT, path="next")


@settings(deadline=None)
@given(st.text(max_size=60), st.integers(0, 60), st.integers(1, 60), st.integers(0, 400))
def test_any_arguments_have_a_bounded_answer_or_a_reason(path: str, start: int, count: int, max_bytes: int) -> None:
    for body in (json.dumps(BODY), CSV, "", '"text"', "[]"):
        try:
            shown = read(body, max_bytes, path=path, start=start, count=count)
        except NothingToRead:
            continue
        assert len(shown.encode()) <= max(max_bytes, 120)
