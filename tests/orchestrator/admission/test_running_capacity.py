"""The number of trajectories that proceed, against simulated roles on a clock of the test."""

from __future__ import annotations

import heapq

import pytest

from orchestrator.admission.gate import Gate, Place
from orchestrator.admission.running_capacity import LEAST, Bounds, RunningCapacity


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def simulate(*, at_once: int, seconds: float, bounds: Bounds, ends: int) -> tuple[Gate, float]:
    """Roles that carry out `at_once` trajectories in `seconds` each; always more of them wait.

    Returns the gate, and the rate of all that ended.
    """
    clock = Clock()
    gate = Gate(clock=clock)
    capacity = RunningCapacity(gate, lambda: bounds)
    waiting: list[Place] = []
    running: list[tuple[float, int, Place]] = []
    free = [0.0] * at_once

    def begin() -> None:
        while len(waiting) < 10 or any(place.holds_slot for place in waiting):
            for place in [each for each in waiting if each.holds_slot]:
                waiting.remove(place)
                # In the order in which they arrive at the roles.
                end = max(clock.now, heapq.heappop(free)) + seconds
                heapq.heappush(free, end)
                heapq.heappush(running, (end, id(place), place))
            waiting.append(gate.enter("a", background=False))

    begin()
    for _ in range(ends):
        clock.now, _, place = heapq.heappop(running)
        place.leave()
        capacity.update()
        begin()
    return gate, ends / clock.now


def test_a_number_that_keeps_the_roles_busy_is_not_exceeded_for_long() -> None:
    gate, rate = simulate(at_once=8, seconds=1, bounds=Bounds(64, 1_024, 225), ends=5_000)
    assert rate == pytest.approx(8, rel=0.02)
    assert gate.capacity in (64, 128)


def test_the_number_grows_while_the_roles_have_room() -> None:
    gate, rate = simulate(at_once=500, seconds=10, bounds=Bounds(64, 1_024, 900), ends=10_000)
    assert gate.capacity in (512, 1_024)
    assert rate > 30


def test_it_stays_in_its_bounds() -> None:
    gate, _ = simulate(at_once=500, seconds=10, bounds=Bounds(64, 100, 900), ends=3_000)
    assert gate.capacity == 100
    gate, _ = simulate(at_once=500, seconds=10, bounds=Bounds(3, 3), ends=100)
    assert gate.capacity == 3


def test_slow_roles_have_fewer_so_that_each_ends_in_time() -> None:
    gate, rate = simulate(at_once=8, seconds=10, bounds=Bounds(1_024, 1_024, 225), ends=3_000)
    assert rate == pytest.approx(0.8, rel=0.02)
    assert gate.capacity == pytest.approx(180, rel=0.35)
    gate, _ = simulate(at_once=1, seconds=10, bounds=Bounds(1_024, 1_024, 225), ends=2_000)
    assert gate.capacity == LEAST
