"""R-L: how much of the reference's answer stands in the written one, in the same order.

Source: `rouge` of evaluate-multi_agent.py (X-PLUG/Multi-LLM-Agent), which is the average F of `rouge-l` of the package
`rouge` 1.0.1 with its defaults. Steps whose reference is an answer count. This module gives that package's figure in
a fraction of its time, and without its limit on the length of a sentence; the tests hold it to the package itself.

Odd, and kept:

- words are counted once: a text is the set of its words, not their sequence;
- sentences end at every full stop, also inside a number, and case and punctuation are part of a word;
- for each pair of sentences one longest common subsequence is taken, and which one depends on the order of reading;
- a step at which something else was decided counts with the answer "none" instead of 0;
- an answer without a word raises in the package; here it is 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from evaluation.files.published import NOTHING, Pair

EPSILON = 1e-8


def rouge_l(pair: Pair) -> float | None:
    """From 0 to 1; None where the reference is no answer."""
    reference, predicted = pair.published_reference, pair.published_prediction
    if reference.plan != "finish":
        return None
    if predicted is None:
        return 0.0
    return rouge_l_f(NOTHING if predicted.answer is None else predicted.answer, reference.answer or "")


def rouge_l_f(hypothesis: str, reference: str) -> float:
    """F of ROUGE-L (summary level, words counted once). 0 where either text has no sentence."""
    written, wanted = _sentences(hypothesis), _sentences(reference)
    if not written or not wanted:
        return 0.0
    places = [_places(sentence) for sentence in written]
    common = len({word for one in wanted for other in places for word in _common_words(one, other)})
    precision, recall = common / _vocabulary(written), common / _vocabulary(wanted)
    return 2.0 * precision * recall / (precision + recall + EPSILON)


def _sentences(text: str) -> list[list[str]]:
    # A sentence of white space alone has one word, the empty one: `rouge` counts it.
    return [" ".join(sentence.split()).split(" ") for sentence in text.split(".") if sentence]


def _vocabulary(sentences: Sequence[Sequence[str]]) -> int:
    return len({word for sentence in sentences for word in sentence})


def _common_words(one: Sequence[str], places: Mapping[str, int]) -> Iterator[str]:
    """The words of the longest common subsequence of two sentences, by backtracking from their ends.

    `places` has a bit for each position of a word in the other sentence. Bit-parallel (Crochemore et al., 2001):
    after each word of `one`, a cleared bit of the row marks a step up in the table of lengths. In backtracking,
    such a step leads up in the table, a match leads up and left, and everything else leads left.
    """
    if places.keys().isdisjoint(one):
        return
    length = max(places.values()).bit_length()
    every = (1 << length) - 1
    rows = [every]
    for word in one:
        row, match = rows[-1], places.get(word, 0)
        rows.append(((row + (row & match)) | (row & ~match)) & every)
    column = length
    for index in range(len(one), 0, -1):
        word = one[index - 1]
        match = places.get(word, 0)
        stops = (match | (every & ~rows[index])) & ((1 << column) - 1)
        column = stops.bit_length()
        if column == 0:
            return
        if match >> (column - 1) & 1:
            yield word
            column -= 1


def _places(words: Sequence[str]) -> dict[str, int]:
    places: dict[str, int] = {}
    for place, word in enumerate(words):
        places[word] = places.get(word, 0) | 1 << place
    return places
