"""Streamed text over several attempts is always a prefix of one text, without repetitions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.roles.request import DeltaDeduplicator

TEXTS = st.text("ab", max_size=12)
PIECES = st.lists(st.text("ab", max_size=3), max_size=6)


def shown(*attempts: list[str]) -> list[str]:
    pieces: list[str] = []
    preview = DeltaDeduplicator(pieces.append)
    for attempt in attempts:
        preview.begin()
        for piece in attempt:
            preview.add(piece)
    return pieces


def test_the_same_text_goes_on_where_it_broke_off() -> None:
    assert shown(["It ", "is 4"], ["It is", " 42", "."]) == ["It ", "is 4", "2", "."]


def test_another_text_is_left_to_the_log() -> None:
    assert shown(["It ", "is 4"], ["Forty ", "two."]) == ["It ", "is 4"]


def test_a_third_attempt_may_go_on_again() -> None:
    assert shown(["It ", "is 4"], ["Forty"], ["It is 42"]) == ["It ", "is 4", "2"]


@given(st.lists(PIECES, max_size=4))
def test_what_is_shown_is_the_beginning_of_an_attempt(attempts: list[list[str]]) -> None:
    joined = "".join(shown(*attempts))
    assert joined == "" or any("".join(attempt).startswith(joined) for attempt in attempts)
