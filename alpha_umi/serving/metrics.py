"""What a role service counts for Prometheus."""

from __future__ import annotations

from copy import copy
from typing import Self

from prometheus_client import CollectorRegistry, Counter, Histogram

_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)


class RoleMetrics:
    """Counters and histograms of one service, in a registry of its own. `role` is the label of what is counted."""

    def __init__(self, role: str) -> None:
        self.registry = CollectorRegistry()
        labels = {"role": role}
        self.requests = _counter(self.registry, "requests", "Requests by outcome", "role", "outcome")
        self.tokens = _counter(self.registry, "tokens", "Tokens by kind: prompt, cached, completion", "role", "kind")
        self.attempts = _counter(
            self.registry, "attempts", "Generations beyond the first: retry, repair", "role", "kind"
        )
        self.decisions = _counter(self.registry, "decisions", "Planner decisions, and how they came", "next", "way")
        self.seconds = Histogram(
            "alpha_umi_role_seconds", "Time to an answer", ("role",), buckets=_SECONDS, registry=self.registry
        )
        self.ttft = Histogram(
            "alpha_umi_role_ttft_seconds",
            "Time to the first token",
            ("role",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.role = labels["role"]

    def of_role(self, role: str) -> Self:
        """The same counters and histograms, for another role of the same service."""
        other = copy(self)
        other.role = role
        return other


def _counter(registry: CollectorRegistry, name: str, text: str, *labels: str) -> Counter:
    return Counter(f"alpha_umi_role_{name}", text, labels, registry=registry)
