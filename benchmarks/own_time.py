"""The orchestrator's own time, measured from the outside.

The client records when a trajectory was requested and when it was answered; the scripted services record when each of
its calls arrived and left (on one machine, with one monotonic clock). The time in between is the orchestrator's:
decisions, commits, encoding, and HTTP on its side, including time waiting for a CPU. A step starts when the previous
observation leaves the tool; its own time is the sum of the gaps before its calls. The first step includes the creation
of the trajectory, the last one the delivery of the answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from alpha_umi.contract.roles import PLAN

PLANNER_PATH = PLAN.path


@dataclass(frozen=True)
class ServiceCall:
    """Arrival and departure of a call at a service, in seconds of the monotonic clock."""

    job: str
    path: str
    arrived: float
    left: float


@dataclass(frozen=True)
class ClientWait:
    """When a client requested a trajectory and when it had the answer."""

    started: float
    ended: float


def own_times(calls: Iterable[ServiceCall], waits: Mapping[str, ClientWait]) -> list[float]:
    """Own time in seconds of every step of the jobs in `waits`."""
    by_job: dict[str, list[ServiceCall]] = defaultdict(list)
    for call in calls:
        by_job[call.job].append(call)
    return [seconds for job, wait in waits.items() for seconds in _steps(sorted(by_job[job], key=_arrival), wait)]


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed. Raises `IndexError` for no values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered)) - 1))]


def _arrival(call: ServiceCall) -> float:
    return call.arrived


def _steps(calls: list[ServiceCall], wait: ClientWait) -> list[float]:
    steps: list[float] = []
    free_since = wait.started
    for call in calls:
        if call.path == PLANNER_PATH:
            steps.append(0.0)
        steps[-1] += call.arrived - free_since
        free_since = call.left
    steps[-1] += wait.ended - free_since
    return steps
