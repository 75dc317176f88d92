"""Admission by the expected wait and between owners, on a clock of the test; and the time of a turn."""

from __future__ import annotations

from collections import Counter

import pytest

from alpha_umi.contract.problems import ServiceError
from orchestrator.admission.admission import Admission, QueueLimits
from orchestrator.admission.gate import Gate, Place
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.runs.turn_slot import TurnSlot


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Load:
    """A gate with two slots, and the trajectories that have a place in it."""

    def __init__(self, *, total: int = 1_000, per_owner: int = 1_000, wait_s: float = 30) -> None:
        self.clock = Clock()
        self.gate = Gate(2, clock=self.clock)
        self.places: list[tuple[str, Place]] = []
        limits = QueueLimits(total, per_owner, wait_s)
        self.admission = Admission(self.gate, self, limits, {}, OrchestratorMetrics())

    @property
    def active_count(self) -> int:
        return len(self.places)

    def active_of(self, owner: str) -> int:
        return Counter(each for each, _ in self.places)[owner]

    def accept(self, owner: str) -> None:
        with self.admission.accept(owner, background=False):
            self.places.append((owner, self.gate.enter(owner, background=False)))

    def fill(self, owner: str) -> ServiceError:
        """Send until one is refused."""
        while True:
            try:
                self.accept(owner)
            except ServiceError as error:
                return error

    def finish(self, number: int, *, each_s: float) -> None:
        """End trajectories that hold a slot, one after another."""
        for _ in range(number):
            self.clock.now += each_s
            entry = next(each for each in self.places if each[1].holds_slot)
            self.places.remove(entry)
            entry[1].leave()


def test_the_queue_is_as_long_as_the_measured_rate_allows() -> None:
    load = Load()
    for _ in range(100):
        load.accept("a")
    load.finish(40, each_s=0.5)
    error = load.fill("a")
    assert load.gate.queued_for_s == 20
    assert (error.kind, error.extra["reason"]) == ("overloaded", "wait")
    # Two a second for 30 s, and two that hold the slots.
    assert load.active_count == pytest.approx(62, abs=6)
    assert 15 <= int(error.headers["Retry-After"]) <= 31


def test_a_burst_is_accepted_before_a_rate_is_known() -> None:
    load = Load(total=500)
    assert load.fill("a").extra["reason"] == "queue"
    assert load.active_count == 502


def test_a_burst_is_accepted_although_it_waits_long() -> None:
    load = Load(total=500)
    for _ in range(60):
        load.accept("a")
    load.finish(60, each_s=0.5)
    assert load.gate.queued_for_s == 0
    load.clock.now += 100
    assert load.fill("a").extra["reason"] == "queue"
    assert load.active_count == 502


def test_one_owner_s_queue_closes_the_server_to_no_other_one() -> None:
    load = Load()
    for _ in range(100):
        load.accept("a")
    load.finish(40, each_s=0.5)
    assert load.fill("a").extra["reason"] == "wait"
    load.accept("b")
    assert load.admission.headers("b")["x-ratelimit-remaining-requests"] != "0"
    load.finish(3, each_s=0.5)
    assert any(owner == "b" and place.holds_slot for owner, place in load.places) or load.active_of("b") == 0


def test_an_owner_without_work_has_a_place_in_a_full_server() -> None:
    load = Load(total=10, per_owner=1_000)
    assert load.fill("a").extra["reason"] == "queue"
    load.accept("b")
    assert load.fill("b").extra["reason"] == "queue"
    assert load.active_of("b") == 1


def test_a_standstill_closes_the_server_and_its_end_opens_it() -> None:
    load = Load()
    for _ in range(60):
        load.accept("a")
    load.finish(20, each_s=0.2)
    load.clock.now += 120
    assert load.fill("a").extra["reason"] == "wait"
    load.finish(30, each_s=0.2)
    load.accept("a")


def test_clients_do_not_come_back_together_after_the_longest_wait_either() -> None:
    load = Load(wait_s=1)
    for _ in range(60):
        load.accept("a")
    load.finish(20, each_s=0.2)
    load.clock.now += 3_600
    retries = {int(load.fill("a").headers["Retry-After"]) for _ in range(100)}
    assert len(retries) > 20
    assert retries <= set(range(1, 121))


def test_the_time_of_a_turn_passes_while_the_slot_is_held() -> None:
    clock = Clock()
    gate = Gate(1, clock=clock)
    other = gate.enter("a", background=False)
    slot = TurnSlot(gate, owner="a", background=False, first=False, seconds=10)
    assert not slot.enter()
    clock.now += 100
    assert slot.seconds_left == 10
    other.leave()
    assert slot.enter()
    clock.now += 4
    assert slot.seconds_left == pytest.approx(6)
    slot.close()
    clock.now += 100
    assert slot.seconds_left == pytest.approx(6)
    assert slot.enter()
    clock.now += 7
    assert slot.seconds_left == 0


def test_a_resumed_trajectory_comes_before_its_owner_s_new_ones() -> None:
    gate = Gate(1)
    resumed = TurnSlot(gate, owner="a", background=False, first=False, seconds=10)
    resumed.enter()
    resumed.close()
    holding = gate.enter("b", background=False)
    new = gate.enter("a", background=False)
    assert not resumed.enter()
    holding.leave()
    assert resumed.held
    assert not new.holds_slot
