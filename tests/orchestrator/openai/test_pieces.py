"""A text has the same pieces however it arrives."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.openai.pieces import MAX_PIECES, GrowingText, argument_pieces, text_pieces

TEXTS = st.one_of(
    st.text(), st.text("ab \n\tNext:caler.é日"), st.text(min_size=30, alphabet="xyz:N ").map(lambda text: text * 3)
)


def grown(parts: Sequence[str], endings: Sequence[str] = ()) -> list[str]:
    text = GrowingText(endings)
    added = [piece for part in parts for piece in text.add(part)]
    assert added == text.pieces
    return added


def parts_of(text: str, cuts: Sequence[int]) -> list[str]:
    places = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(places)]


@given(TEXTS)
def test_pieces_join_to_the_text(text: str) -> None:
    assert "".join(text_pieces(text)) == text
    assert "".join(argument_pieces(text)) == text
    assert all(text_pieces(text))
    assert all(argument_pieces(text))


@given(TEXTS.map(str.lstrip), st.lists(st.integers(min_value=0, max_value=400)))
def test_what_is_certain_begins_the_pieces_of_the_text(text: str, cuts: list[int]) -> None:
    pieces, certain = text_pieces(text), grown(parts_of(text, cuts))
    assert pieces[: len(certain)] == certain
    assert len(pieces) - len(certain) <= 1


@given(TEXTS.map(str.strip), st.sampled_from(["caller", "conclusion", "give up"]), st.lists(st.integers(0, 400)))
def test_nothing_of_the_decision_is_certain(thought: str, decision: str, cuts: list[int]) -> None:
    text = f"{thought} Next: {decision}."
    certain = grown(parts_of(text, cuts), ("Next:",))
    lead = text[: text.index("Next:")].strip()
    assert text_pieces(lead)[: len(certain)] == certain
    assert len(text_pieces(lead)) - len(certain) <= 1


def test_an_ending_that_never_comes_holds_back_its_beginning_alone() -> None:
    text = GrowingText(("Action:", "conclusion:"))
    assert text.add("0123456789abcdeAct") == []
    assert text.add("ual ") == ["0123456789abcdeA", "ctual"]


@pytest.mark.parametrize("cut", [text_pieces, argument_pieces])
def test_a_long_text_has_a_bounded_number_of_pieces(cut: object) -> None:
    text = "word " * 20_000 * (1 if cut is text_pieces else 10)
    pieces = text_pieces(text.strip()) if cut is text_pieces else argument_pieces(text)
    assert len(pieces) == MAX_PIECES
    assert "".join(pieces) == (text.strip() if cut is text_pieces else text)
    if cut is text_pieces:
        assert grown([text.strip()]) == pieces[:-1]
