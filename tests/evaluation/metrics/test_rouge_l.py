"""R-L equals the result of the package `rouge` 1.0.1."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rouge import Rouge

from evaluation.metrics.rouge_l import rouge_l_f

WORDS = st.sampled_from(["a", "b", "c", "d", "the", "The", "3.5", "x.", ".", "..", "\n", "  "])
TEXTS = st.lists(WORDS, max_size=30).map(" ".join)


def package(hypothesis: str, reference: str) -> float:
    try:
        [scores] = Rouge(metrics=["rouge-l"]).get_scores([hypothesis], [reference])
    except ValueError:  # a text without a sentence
        return 0.0
    return float(scores["rouge-l"]["f"])


@given(hypothesis=TEXTS, reference=TEXTS)
@example(hypothesis="b a b", reference="a b a b b")
@example(hypothesis=" . ", reference=" ")
@example(hypothesis="a. b. c", reference="c. b. a")
def test_it_is_the_packages_figure(hypothesis: str, reference: str) -> None:
    assert rouge_l_f(hypothesis, reference) == pytest.approx(package(hypothesis, reference), abs=1e-12)


@given(hypothesis=st.text(max_size=60), reference=st.text(max_size=60))
def test_it_is_the_packages_figure_for_any_text(hypothesis: str, reference: str) -> None:
    assert rouge_l_f(hypothesis, reference) == pytest.approx(package(hypothesis, reference), abs=1e-12)


def test_texts_without_a_word_are_worth_nothing() -> None:
    assert rouge_l_f("", "a") == rouge_l_f("a", "") == rouge_l_f("...", "a") == rouge_l_f("", "") == 0


def test_a_sentence_may_be_longer_than_the_package_can_read() -> None:
    long = " ".join(f"word{number}" for number in range(1_200))
    with pytest.raises(RecursionError):
        package(long, long)
    assert rouge_l_f(long, long) == pytest.approx(1)
    assert rouge_l_f(long, long.replace("word1 ", "other ")) == pytest.approx(1_199 / 1_200)
