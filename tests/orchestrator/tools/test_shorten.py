"""Shortening keeps the structure of a result, stays within its bytes, and marks what it leaves out."""

from __future__ import annotations

import json
import re
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.tools.json_text import NOT_READ, closed_json, compact_json, read_tree, size_of, write_tree
from orchestrator.tools.shorten import observation_bytes, shorten, shorten_structure

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda values: st.lists(values, max_size=30) | st.dictionaries(TEXTS, values, max_size=20),
    max_leaves=80,
)
RECORDS = {
    "page": {"number": 1, "total": 900},
    "items": [{"id": number, "price": 10.10, "tags": ["a", "b"]} for number in range(900)],
    "next": None,
}


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@settings(deadline=None)
@given(VALUES, st.integers(0, 3_000))
def test_json_stays_json_within_the_bytes(value: Any, max_bytes: int) -> None:
    text = compact(value)
    result = shorten_structure(text, max_bytes)
    assert len(result.encode()) <= max_bytes
    assert shorten_structure(text, max_bytes) == result
    if len(text.encode()) <= max_bytes:
        assert result == text
    elif max_bytes >= 100:
        json.loads(result)
        assert "[..." in result


@settings(deadline=None)
@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=8), VALUES, min_size=1, max_size=12))
def test_the_members_of_the_top_level_stay_while_they_fit(value: dict[str, Any]) -> None:
    # A name, its quotes, colon and comma, and a mark.
    result = shorten_structure(compact(value), 50 * len(value) + 100)
    assert list(json.loads(result)) == list(value)


@settings(deadline=None)
@given(TEXTS, st.integers(0, 500))
def test_text_stays_within_the_bytes(text: str, max_bytes: int) -> None:
    assert len(shorten_structure(text * 5, max_bytes).encode()) <= max_bytes
    assert len(shorten(text * 5, max_bytes, title="Result 1").encode()) <= max_bytes


@settings(deadline=None)
@given(VALUES)
def test_a_value_is_written_as_the_text_that_it_was_read_from(value: Any) -> None:
    text = compact(value)
    assert write_tree(read_tree(text)) == text
    assert size_of(read_tree(text)) == len(text.encode())


def test_a_list_shows_its_first_items_and_what_is_left_out() -> None:
    head, _, body = shorten(compact(RECORDS), 400, title="Result 3", remedy="read it").partition("\n")
    assert head == ('[Result 3: shortened from 36,845 bytes. "[..." marks what is left out; read it.]')
    shown = json.loads(body)
    assert (shown["page"], shown["next"]) == (RECORDS["page"], None)
    assert shown["items"][:2] == RECORDS["items"][:2]  # type: ignore[index]
    assert shown["items"][-1] == f"[... items {len(shown['items']) - 1} to 899 left out]"


def test_digits_stay_as_they_were() -> None:
    text = compact_json('{"balance": 12345678901234567890.10, "rate": 1E5, "note": "%s"}' % ("x" * 500)) or ""
    assert shorten_structure(text, 200).startswith('{"balance":12345678901234567890.10,"rate":1E5,"note":"xxx')


def test_a_long_text_keeps_both_ends() -> None:
    shown = json.loads(shorten_structure(compact({"text": "start" + "é\n" * 5_000 + "end"}), 300))["text"]
    assert shown.startswith("start")
    assert shown.endswith("end")
    assert "[... characters " in shown


def test_deep_values_become_counts() -> None:
    value: Any = ["x" * 1_000]
    for _ in range(200):
        value = {"below": value, "beside": [1, 2, 3]}
    shown = shorten_structure(compact(value), 1_000)
    assert "[... 2 members]" in shown
    json.loads(shown)


def test_lines_are_left_out_as_a_unit() -> None:
    text = "".join(f"{number},{number * 2}\n" for number in range(1_000))
    lines = shorten_structure(text, 200).splitlines()
    assert lines[0] == "0,0"
    assert lines[-1] == "999,1998"
    (mark,) = [line for line in lines if line.startswith("[...")]
    assert mark == f"[... lines {lines.index(mark)} to {999 - (len(lines) - lines.index(mark) - 1)} left out]"


def test_a_mark_of_the_text_itself_is_no_mark_of_ours() -> None:
    shown = shorten(compact(["[... items 1 to 5 left out]"] * 99 + [0]), 400, title="Result 1")
    assert '"[...." marks what is left out' in shown
    assert shown.endswith('"[.... items 9 to 99 left out]"]')


@pytest.mark.parametrize("value", [RECORDS, {"a": "\u00e9" * 1_000_000}, [[]] * 150_000, "9" * 1_000_000])
def test_a_megabyte_takes_less_than_two_seconds(value: Any) -> None:
    text = value if isinstance(value, str) else compact(value)
    started = time.process_time()
    assert len(shorten(text, 6_000, title="Result 1").encode()) <= 6_000
    assert time.process_time() - started < 2


def test_a_megabyte_of_escapes_takes_little_memory() -> None:
    text = compact({"text": "\n" * 500_000})
    tracemalloc.start()
    try:
        shown = shorten_structure(text, 300)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20 * len(text)
    assert re.search(r"(\\n)+\[\.\.\. characters \d+ to \d+ left out\](\\n)+", shown)
    first, last = map(int, re.findall(r"\d+", shown))
    assert shown.count("\\n") == 500_000 - (last - first + 1)


def test_the_size_follows_the_context() -> None:
    assert [observation_bytes(tokens) for tokens in (None, 8_192, 512)] == [16_384, 6_144, 1_024]


def test_a_list_of_which_only_a_part_was_read_has_no_total() -> None:
    part = closed_json(json.dumps({"items": list(range(2_000))})[:8_000]) or ""
    items = json.loads(shorten_structure(part, 200))["items"]
    last = len(json.loads(part)["items"]) - 2
    assert items[-1] == f"[.... items {len(items) - 1} to {last} and more left out]"
    counted = {"items": f"[.... more than {last + 1} items]", NOT_READ: None}
    assert json.loads(shorten_structure(part, len(compact(counted)))) == counted
    # The mark of a part that is shortened again still says that there is more.
    again = json.loads(shorten_structure(json.dumps(items), 120))
    assert re.fullmatch(r"\[\.{5} items \d+ to \d+ and more left out\]", again[-1])
