"""Examples as a tree of their common token prefixes, so that each distinct prefix is computed once.

A tree is a sequence of tokens in depth-first order. A token sees itself and its ancestors, as in its own example. The
descendants of a token follow it up to `ends`, so that query q sees key k if and only if k <= q < ends[k].
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from training.examples import IGNORED, Tokenized

# The part of an example that must be shared with the one before it to join its tree. Less saves little, and examples
# without a tree need no mask.
JOINS = 1 / 4


@dataclass(frozen=True)
class Tree:
    """Token ids, positions in their examples and ends, and the targets.

    A target is the index of the token that predicts it, its token id, and the number of examples that have it.
    """

    ids: tuple[int, ...]
    positions: tuple[int, ...]
    ends: tuple[int, ...]
    targets: tuple[tuple[int, int, int], ...]

    @property
    def branches(self) -> bool:
        """Whether it holds more than one sequence, so that it needs a mask."""
        return any(end != len(self.ids) for end in self.ends)


@dataclass(frozen=True)
class Share:
    """The examples of one tree by number, and its tokens."""

    examples: tuple[int, ...]
    tokens: int


def build_tree(examples: Sequence[Tokenized]) -> Tree:
    """The tree of examples, in the order of their tokens."""
    ids: list[int] = []
    positions: list[int] = []
    ends: list[int] = []
    path: list[int] = []  # the index in the tree of each token of the current example
    targets: Counter[tuple[int, int]] = Counter()
    before: tuple[int, ...] = ()
    for example in sorted(examples, key=lambda example: example.input_ids):
        common = common_prefix(before, example.input_ids)
        for index in path[common:]:
            ends[index] = len(ids)
        added = example.input_ids[common:]
        path[common:] = range(len(ids), len(ids) + len(added))
        ids += added
        positions += range(common, len(example.input_ids))
        ends += [0] * len(added)
        for place, label in enumerate(example.labels[1:]):
            if label != IGNORED:
                targets[path[place], label] += 1
        before = example.input_ids
    for index in path:
        ends[index] = len(ids)
    return Tree(tuple(ids), tuple(positions), tuple(ends), tuple((*key, count) for key, count in targets.items()))


def divide(chosen: Sequence[int], examples: Sequence[Tokenized], *, limit: int, parts: int = 1) -> list[Share]:
    """Examples with common prefixes as trees of at most `limit` tokens, and of at most a part of all tokens.

    A single example may be longer than the limit. A prefix is computed again in each tree that has it.
    """
    ordered = sorted(chosen, key=lambda number: examples[number].input_ids)
    shared = _shared([examples[number].input_ids for number in ordered])
    total = sum(len(examples[number].input_ids) for number in ordered) - sum(shared)
    limit = min(limit, -(-total // parts))
    shares: list[Share] = []
    for number, common in zip(ordered, shared, strict=True):
        length = len(examples[number].input_ids)
        if common and shares[-1].tokens + length - common <= limit:
            shares[-1] = Share((*shares[-1].examples, number), shares[-1].tokens + length - common)
        else:
            shares.append(Share((number,), length))
    return shares


def _shared(ordered: Sequence[tuple[int, ...]]) -> list[int]:
    """The tokens that each example shares with the one before it; 0 if it does not join its tree."""
    common = [0, *(common_prefix(*pair) for pair in pairwise(ordered))]
    return [tokens if tokens >= JOINS * len(ids) else 0 for tokens, ids in zip(common, ordered, strict=True)]


def common_prefix(first: tuple[int, ...], second: tuple[int, ...]) -> int:
    """The number of tokens with which both begin."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
