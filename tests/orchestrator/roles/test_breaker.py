"""The circuit breaker with a fake clock."""

from __future__ import annotations

from dataclasses import dataclass, field

from alpha_umi.contract.roles import CircuitState
from orchestrator.roles.breaker import Breaker, BreakerPolicy

POLICY = BreakerPolicy(failures_in_a_row=3, window=10, failed_share=0.5, open_s=2.0)


@dataclass
class Watched:
    """A breaker, its clock, and its reported changes."""

    now: float = 0.0
    changes: list[tuple[CircuitState, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.breaker = Breaker(POLICY, clock=lambda: self.now, on_change=lambda *changes: self.changes.append(changes))

    def state(self) -> CircuitState:
        """The breaker's state; a call, so that a type checker does not narrow it."""
        return self.breaker.state

    def outcomes(self, letters: str) -> None:
        """Calls that were begun now: `.` answered, `x` failed."""
        for letter in letters:
            if letter == ".":
                self.breaker.succeeded(self.breaker.era)
            else:
                self.breaker.failed(self.breaker.era, "down")


def test_it_opens_with_the_last_of_some_failures_in_a_row() -> None:
    watched = Watched()
    watched.outcomes("xx.xx")
    assert watched.state() == "closed"
    watched.outcomes("x")
    assert (watched.state(), watched.changes) == ("open", [("open", "down")])


def test_it_opens_when_half_of_the_newest_calls_failed() -> None:
    watched = Watched()
    watched.outcomes("..x.x.x.x")
    assert watched.state() == "closed"
    watched.outcomes("x")
    assert watched.state() == "open"


def test_old_outcomes_are_forgotten() -> None:
    watched = Watched()
    watched.outcomes("xx.xx......" + ".." + "xx.xx")
    assert watched.state() == "closed"


def test_one_probe_after_a_while() -> None:
    watched = Watched()
    watched.outcomes("xxx")
    watched.now = 1.9
    assert not watched.breaker.begin_probe()
    watched.now = 2.0
    assert [watched.breaker.begin_probe() for _ in range(3)] == [True, False, False]
    assert watched.state() == "half-open"
    watched.breaker.probe_failed("still down")
    assert (watched.state(), watched.breaker.reason) == ("open", "still down")
    watched.now = 3.9
    assert not watched.breaker.begin_probe()
    watched.now = 4.0
    assert watched.breaker.begin_probe()
    watched.breaker.probe_succeeded()
    assert [state for state, _ in watched.changes] == ["open", "half-open", "open", "half-open", "closed"]


def test_it_begins_anew_after_the_probe() -> None:
    watched = Watched()
    watched.outcomes("xxx")
    watched.now = 2.0
    watched.breaker.begin_probe()
    watched.breaker.probe_succeeded()
    watched.outcomes("xx")
    assert watched.state() == "closed"


def test_calls_that_were_sent_before_it_opened_change_nothing() -> None:
    watched = Watched()
    before = watched.breaker.era
    watched.outcomes("xxx")
    watched.breaker.succeeded(before)
    assert watched.state() == "open"
    watched.now = 2.0
    watched.breaker.begin_probe()
    for _ in range(3):
        watched.breaker.failed(before, "late")
    assert watched.state() == "half-open"
    watched.breaker.probe_succeeded()
    for _ in range(3):
        watched.breaker.failed(before, "late")
    assert watched.state() == "closed"
