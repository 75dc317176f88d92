"""The orchestrator's own time, measured from the outside.

The client's clock says when a trajectory was asked for and when its answer was there; the scripted services say when
they had each of its calls (all on one machine, whose monotonic clock they share). What lies between belongs to the
orchestrator: decisions, commits, encoding, and all of HTTP on its side, its waiting for a processor included. A step
begins where the last one's observation leaves the tool, and with it the step's own time: the gaps before its calls. The
first step also has the creation of the trajectory, the last one the way of the answer to the client.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

PLANNER_PATH = "/v1/plan"


@dataclass(frozen=True)
class ServiceCall:
    """When a service had a call of a job, in seconds of the monotonic clock."""

    job: str
    path: str
    arrived: float
    left: float


@dataclass(frozen=True)
class ClientWait:
    """When a client asked for a trajectory and when it had the answer."""

    started: float
    ended: float


def own_times(calls: Iterable[ServiceCall], waits: Mapping[str, ClientWait]) -> list[float]:
    """Seconds of own time of every step of the jobs in `waits`."""
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
