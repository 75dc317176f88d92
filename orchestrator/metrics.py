"""What the orchestrator counts for Prometheus, in a registry of its own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from alpha_umi.trajectory import Usage

_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)


class OrchestratorMetrics:
    """Counters, gauges and histograms of one orchestrator."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.trajectories = self._counter("trajectories", "Ended trajectories by status", "status")
        self.running = Gauge("alpha_umi_trajectories_running", "Trajectories being driven", registry=self.registry)
        self.decisions = self._counter("decisions", "Planner decisions; unreadable ones by policy", "next", "readable")
        self.role_seconds = Histogram(
            "alpha_umi_role_call_seconds",
            "Role calls with their retries",
            ("role", "outcome"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.retries = self._counter("role_retries", "Role calls that were sent once more", "role")
        self.repairs = self._counter("repairs", "Calls that the caller needed a second attempt for")
        self.tool_calls = self._counter("tool_calls", "Tool calls by outcome: ok, error, unknown", "outcome")
        self.tool_seconds = Histogram(
            "alpha_umi_tool_call_seconds", "Tool calls", buckets=_SECONDS, registry=self.registry
        )
        self.tokens = self._counter("tokens", "Tokens by role and kind", "role", "kind")
        self.commits = self._counter("log_commits", "Appends to the event log by outcome: ok, failed", "outcome")

    def count_tokens(self, role: str, usage: Usage) -> None:
        """Add the tokens of one role call."""
        self.tokens.labels(role=role, kind="prompt").inc(usage.prompt_tokens)
        self.tokens.labels(role=role, kind="completion").inc(usage.completion_tokens)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"alpha_umi_{name}", text, labels, registry=self.registry)
