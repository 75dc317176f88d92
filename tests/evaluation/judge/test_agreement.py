"""Agreement: published examples, and the properties of the coefficient."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.judge.report import krippendorff_alpha, unanimous_share

# Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), data B and D: by unit, what each observer said.
BINARY = list(zip("0100000010", "1110010000", strict=True))
FOUR = [
    values.split()
    for values in ("1 1 1", "2 2 3 2", "3 3 3 3", "3 3 3 3", "2 2 2 2", "1 2 3 4", "4 4 4 4", "1 1 2 1", "2 2 2 2",
                   "5 5 5", "1 1", "3")
]  # fmt: skip


@pytest.mark.parametrize(("units", "alpha"), [(BINARY, 0.095), (FOUR, 0.743)])
def test_published_examples(units: list[list[str]], alpha: float) -> None:
    matches = krippendorff_alpha(units)
    assert matches is not None
    assert round(matches, 3) == alpha


def test_extremes() -> None:
    assert krippendorff_alpha([["a", "a"], ["b", "b"]]) == 1
    assert krippendorff_alpha([["a", "b"], ["b", "a"]]) == -0.5
    assert krippendorff_alpha([["a", "a"], ["a", "a"]]) is None
    assert krippendorff_alpha([["a"], ["b"], []]) is None
    assert unanimous_share([["a", "a"], ["a", "b"], ["a"]]) == 0.5
    assert unanimous_share([["a"], []]) is None


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=4), max_size=8))
def test_any_labels(units: list[list[str]]) -> None:
    alpha, share = krippendorff_alpha(units), unanimous_share(units)
    assert alpha is None or alpha <= 1 + 1e-12
    assert share is None or 0 <= share <= 1
    if alpha is not None and alpha > 1 - 1e-12:
        assert share == 1
