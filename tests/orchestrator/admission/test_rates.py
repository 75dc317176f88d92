"""Rates by GCRA on a clock of the test, and what a restart remembers of them."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.admission.departure_rate import DepartureRate
from orchestrator.admission.rates import LONGEST_DEBT_S, WINDOW_S, Rate, RateKind
from orchestrator.admission.stored_rates import stored_rates
from orchestrator.store import open_store


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_a_minute_s_units_at_once_and_then_as_the_rate_allows() -> None:
    clock = Clock()
    rate = Rate(6, clock=clock)
    for left in range(6, 0, -1):
        assert (rate.remaining("a"), rate.wait_s("a")) == (left, 0)
        rate.take("a")
    assert (rate.remaining("a"), rate.remaining("b")) == (0, 6)
    assert rate.wait_s("a") == pytest.approx(10)
    clock.now += 10
    assert (rate.remaining("a"), rate.wait_s("a")) == (1, 0)
    clock.now += 1_000
    assert rate.remaining("a") == 6


def test_a_debt_delays_the_next_unit_and_ends_after_an_hour() -> None:
    clock = Clock()
    rate = Rate(100, clock=clock)
    rate.take("a", 300)
    assert rate.wait_s("a") == pytest.approx(120.6)
    rate.take("a", 10**9)
    assert rate.used_s("a") == pytest.approx(LONGEST_DEBT_S)


def test_a_unit_is_given_back() -> None:
    rate = Rate(6, clock=Clock())
    rate.take("a")
    rate.take("a", -1)
    assert rate.remaining("a") == 6
    assert rate.in_use() == {}


@given(st.integers(1, 200), st.lists(st.floats(0, 5), max_size=300))
def test_no_window_has_more_than_twice_the_limit(limit: int, pauses: list[float]) -> None:
    clock, passed = Clock(), []
    rate = Rate(limit, clock=clock)
    for pause in pauses:
        clock.now += pause
        if rate.wait_s("a") == 0:
            rate.take("a")
            passed.append(clock.now)
    for start in passed:
        assert sum(start <= each < start + WINDOW_S for each in passed) <= 2 * limit


async def test_a_restart_remembers_what_was_used(tmp_path: Path) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    async with open_store(f"sqlite:///{tmp_path}/log.db") as store:
        before = {"tokens": Rate(100), "requests": Rate(10)}
        async with stored_rates(before, store, lambda: now):  # type: ignore[arg-type]
            before["tokens"].take("a", 300)
            before["requests"].take("b", 3)
        after = {"tokens": Rate(100)}
        async with stored_rates(after, store, lambda: now + timedelta(seconds=60)):  # type: ignore[arg-type]
            assert after["tokens"].used_s("a") == pytest.approx(120, abs=2)
            assert after["tokens"].used_s("b") == 0


@pytest.mark.parametrize(("kind", "longest_s"), [("tokens", LONGEST_DEBT_S), ("requests", WINDOW_S)])
async def test_a_clock_that_was_set_back_delays_nobody_for_longer_than_a_debt_lasts(
    tmp_path: Path, kind: RateKind, longest_s: float
) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    async with open_store(f"sqlite:///{tmp_path}/log.db") as store:
        before, after = Rate(100), Rate(100)
        async with stored_rates({kind: before}, store, lambda: now):
            before.take("a", 50)
        async with stored_rates({kind: after}, store, lambda: now - timedelta(days=30)):
            assert after.used_s("a") <= longest_s


def test_the_rate_of_departures_is_that_of_the_full_time() -> None:
    clock = Clock()
    rate = DepartureRate(clock=clock)
    rate.full(True)
    for _ in range(100):
        clock.now += 0.5
        rate.count()
    assert rate.per_s == pytest.approx(2, rel=0.1)
    rate.full(False)
    clock.now += 1_000
    assert rate.per_s == pytest.approx(2, rel=0.1)
    rate.full(True)
    seen = []
    for _ in range(4):
        clock.now += 20
        seen.append(rate.per_s or 0)
    assert all(earlier > later > 0 for earlier, later in itertools.pairwise(seen))


def test_no_rate_is_known_from_little() -> None:
    clock = Clock()
    rate = DepartureRate(clock=clock)
    rate.count()
    rate.full(True)
    clock.now += 5
    rate.count()
    assert rate.per_s is None
    clock.now += 30
    assert rate.per_s is not None
