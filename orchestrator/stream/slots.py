"""How many streams of events may be open, in all and of one owner. Each holds a connection and a queue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from alpha_umi.contract.problems import Kind, ServiceError
from orchestrator.metrics import OrchestratorMetrics

_REMEDY = "close streams, or read trajectories with GET /v1/trajectories/{id}"


class StreamSlots:
    """Counts open streams."""

    def __init__(self, *, total: int, per_owner: int, metrics: OrchestratorMetrics) -> None:
        self._total = total
        self._per_owner = per_owner
        self._metrics = metrics
        self._open: Counter[str] = Counter()

    @contextmanager
    def slot(self, owner: str) -> Iterator[None]:
        """Hold a place for a stream in the block. Raises `ServiceError`."""
        if self._open[owner] >= self._per_owner:
            raise self._refusal("owner-limit", f"the owner has {self._open[owner]} open streams, which is the maximum")
        if self._open.total() >= self._total:
            raise self._refusal("overloaded", f"{self._total} streams are open, which is the maximum")
        self._open[owner] += 1
        try:
            with self._metrics.streams.track_inprogress():
                yield
        finally:
            self._open[owner] -= 1
            if not self._open[owner]:
                del self._open[owner]

    def _refusal(self, kind: Kind, detail: str) -> ServiceError:
        self._metrics.refused.labels(reason="streams").inc()
        return ServiceError(kind, detail, field="stream", remedy=_REMEDY, extra={"reason": "streams"})
