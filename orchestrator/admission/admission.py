"""Whether a request for work is accepted. What is accepted is finished, so this is decided before anything is stored.

Refused are an owner's requests beyond its share of the queue or its rates (429), and everybody's while the server has
more work than it finishes in time (503). Reading, cancelling, tool outputs and repeated requests are never refused.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from alpha_umi.contract.problems import Kind, ServiceError
from orchestrator.admission.gate import Gate
from orchestrator.admission.rates import RateKind, Rates
from orchestrator.metrics import OrchestratorMetrics

LONGEST_RETRY_S = 120.0
# `Retry-After` is a random part of the wait, so that clients do not come back together. A rate has no unit earlier.
QUEUE_JITTER = (0.5, 1.0)
RATE_JITTER = (1.0, 1.1)
# A queue that is younger is a burst, which may be as long as the numbers allow; an older one stays as long as it is.
BURST_S = 10.0
# While no rate of completion was measured.
UNKNOWN_WAIT_S = 5.0


class Work(Protocol):
    """The trajectories of this process that are not finished."""

    @property
    def active_count(self) -> int:
        """Those of all owners."""

    def active_of(self, owner: str) -> int:
        """Those of one owner."""


@dataclass(frozen=True)
class QueueLimits:
    """Trajectories beyond those that run, in all and of one owner, and the seconds that one may wait.

    The seconds bound a standing queue, not a burst.
    """

    total: int
    per_owner: int
    wait_s: float


class Admission:
    """Accepts or refuses requests that begin work. `gate` is that of the trajectories."""

    def __init__(self, gate: Gate, work: Work, queue: QueueLimits, rates: Rates, metrics: OrchestratorMetrics) -> None:
        self._gate = gate
        self._work = work
        self._queue = queue
        self._rates = rates
        self._metrics = metrics
        # Accepted, and not yet trajectories.
        self._pending: Counter[str] = Counter()

    @contextmanager
    def accept(self, owner: str, *, background: bool) -> Iterator[None]:
        """Hold a place for a trajectory that begins or continues in the block. Raises `ServiceError`."""
        self._check_queue(owner, background=background)
        self._check_rates(owner, ("requests", "trajectories", "tokens"))
        self._take(owner, "requests")
        self._take(owner, "trajectories")
        self._pending[owner] += 1
        try:
            yield
        except BaseException:
            # It was refused for another reason.
            self._take(owner, "trajectories", -1)
            raise
        finally:
            self._pending[owner] -= 1
            if not self._pending[owner]:
                del self._pending[owner]

    def count_request(self, owner: str) -> None:
        """Count a request that begins no trajectory. Raises `ServiceError`."""
        self._check_rates(owner, ("requests",))
        self._take(owner, "requests")

    def headers(self, owner: str) -> dict[str, str]:
        """`x-ratelimit-*` of an owner. `requests` has the narrower of the queue and the rate."""
        wait_s = self._gate.expected_wait_s(owner, background=False) or 0.0
        shown: dict[RateKind, tuple[int, int, float]] = {
            "requests": (self._owner_limit, self._places_left(owner, wait_s), wait_s)
        }
        for kind, rate in self._rates.items():
            row = rate.per_minute, rate.remaining(owner), rate.used_s(owner)
            shown[kind] = min(shown.get(kind, row), row, key=lambda each: each[1])
        return {
            f"x-ratelimit-{name}-{kind}": value
            for kind, (limit, remaining, reset_s) in shown.items()
            for name, value in (
                ("limit", str(limit)),
                ("remaining", str(remaining)),
                ("reset", f"{math.ceil(reset_s)}s"),
            )
        }

    @property
    def _owner_limit(self) -> int:
        return (self._gate.capacity or 0) + self._queue.per_owner

    def _active(self) -> int:
        return self._work.active_count + self._pending.total()

    def _active_of(self, owner: str) -> int:
        return self._work.active_of(owner) + self._pending[owner]

    def _places_left(self, owner: str, wait_s: float) -> int:
        if self._is_too_long(wait_s):
            return 0
        total = (self._gate.capacity or 0) + self._queue.total - self._active()
        return max(0, min(total, self._owner_limit - self._active_of(owner)))

    def _is_too_long(self, wait_s: float) -> bool:
        return wait_s > self._queue.wait_s and self._gate.queued_for_s > BURST_S

    def _check_queue(self, owner: str, *, background: bool) -> None:
        own = self._active_of(owner)
        wait_s = self._gate.expected_wait_s(owner, background=background)
        retry_s = UNKNOWN_WAIT_S if wait_s is None else wait_s
        if own >= self._owner_limit:
            detail = f"{own} trajectories of this owner are not finished, and it may have {self._owner_limit}"
            raise self._refusal("owner-limit", "owner-queue", detail, owner, retry_s)
        # An owner without work always has a place: no other one can take it.
        if own and self._active() >= (self._gate.capacity or 0) + self._queue.total:
            detail = f"{self._active()} trajectories are not finished, as many as this server takes"
            raise self._refusal("overloaded", "queue", detail, owner, retry_s)
        if wait_s is not None and self._is_too_long(wait_s):
            detail = f"it would wait about {wait_s:.0f} s for its turn, and {self._queue.wait_s:g} s are allowed"
            raise self._refusal("overloaded", "wait", detail, owner, retry_s)

    def _check_rates(self, owner: str, kinds: tuple[RateKind, ...]) -> None:
        for kind in kinds:
            rate = self._rates.get(kind)
            if rate is not None and (wait_s := rate.wait_s(owner)) > 0:
                detail = f"this owner has used its {rate.per_minute} {kind} a minute"
                raise self._refusal("owner-limit", kind, detail, owner, wait_s, RATE_JITTER)

    def _take(self, owner: str, kind: RateKind, units: int = 1) -> None:
        if (rate := self._rates.get(kind)) is not None:
            rate.take(owner, units)

    def _refusal(
        self,
        kind: Kind,
        reason: str,
        detail: str,
        owner: str,
        wait_s: float,
        jitter: tuple[float, float] = QUEUE_JITTER,
    ) -> ServiceError:
        self._metrics.refused.labels(reason=reason).inc()
        # The longest wait has jitter, too.
        wait_s = min(wait_s, LONGEST_RETRY_S / jitter[1])
        retry_after = str(max(1, math.ceil(wait_s * random.uniform(*jitter))))  # noqa: S311
        return ServiceError(
            kind,
            f"{detail}; send the request again after {retry_after} s",
            extra={"reason": reason},
            headers={**self.headers(owner), "Retry-After": retry_after},
        )
