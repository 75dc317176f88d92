"""The fair queue against its promises: turns between owners, foreground first, nothing starves, nothing is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.admission.fair_queue import FOREGROUND_RUN, FairQueue

PUSHES = st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.booleans()), max_size=40)


def filled(pushes: list[tuple[str, bool, bool]]) -> FairQueue[int]:
    queue: FairQueue[int] = FairQueue()
    for number, (owner, background, first) in enumerate(pushes):
        queue.push(number, owner=owner, background=background, first=first)
    return queue


def drained(queue: FairQueue[int]) -> list[int]:
    return [queue.pop() for _ in range(len(queue))]


def test_owners_take_turns() -> None:
    queue = filled([("a", False, False)] * 3 + [("b", False, False)] * 2)
    assert drained(queue) == [0, 3, 1, 4, 2]


def test_first_overtakes_its_own_owner_only() -> None:
    queue = filled([("a", False, False), ("b", False, False), ("b", False, True)])
    assert drained(queue) == [0, 2, 1]


def test_background_waits_for_the_foreground_and_does_not_starve() -> None:
    queue = filled([("a", True, False)] + [("a", False, False)] * (FOREGROUND_RUN + 1))
    assert drained(queue).index(0) == FOREGROUND_RUN


def test_an_empty_queue_has_nothing_to_pop() -> None:
    with pytest.raises(IndexError):
        FairQueue[int]().pop()


@given(PUSHES, st.sets(st.integers(0, 39)))
def test_every_item_leaves_once(pushes: list[tuple[str, bool, bool]], discarded: set[int]) -> None:
    queue = filled(pushes)
    for item in discarded:
        queue.discard(item)
    left = set(range(len(pushes))) - discarded
    assert len(queue) == len(left)
    assert sorted(drained(queue)) == sorted(left)


@given(PUSHES)
def test_an_owner_waits_for_one_item_of_each_other_owner(pushes: list[tuple[str, bool, bool]]) -> None:
    """In the order of one class nobody is served twice while another who waits is not served."""
    queue = filled([(owner, False, first) for owner, _, first in pushes])
    order = [pushes[item][0] for item in drained(queue)]
    for place, owner in enumerate(order):
        following = order[place + 1 :]
        again = following.index(owner) if owner in following else None
        if again is not None:
            assert set(following[:again]) >= set(following[again + 1 :]) - {owner}


@given(PUSHES, st.sampled_from("abcd"))
def test_the_number_before_a_new_item_is_exact_within_a_class(pushes: list[tuple[str, bool, bool]], owner: str) -> None:
    queue = filled([(each, False, first) for each, _, first in pushes])
    expected = queue.before(owner, background=False)
    queue.push(-1, owner=owner, background=False)
    others_first = len({each for each, _, _ in pushes})
    assert abs(drained(queue).index(-1) - expected) <= others_first
