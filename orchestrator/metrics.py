"""Prometheus metrics of the orchestrator, in their own registry.

Labels have few values by design: roles, replicas, outcomes, routes. Ids and names of tools and sources, which users
choose, are never labels.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from alpha_umi.contract.roles import CircuitState
from alpha_umi.trajectory import Backtracked, Event, State, Usage

# Role calls take from tenths of a second on a GPU to minutes on a CPU, tool calls mostly less.
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
TRAJECTORY_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1_800)
STEPS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50)
COMMIT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_CIRCUIT_VALUES: dict[CircuitState, float] = {"closed": 0, "half-open": 0.5, "open": 1}
COMMIT_WRITES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class OrchestratorMetrics:
    """Counters, gauges and histograms of one orchestrator."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.started = self._counter("trajectories_started", "Trajectories that were accepted", "strategy")
        self.refused = self._counter("requests_refused", "Requests that were refused for load or a rate", "reason")
        self._ended = self._counter("trajectories", "Turns of trajectories that ended, by status", "status", "strategy")
        self.pruned = self._counter("trajectories_pruned", "Trajectories that were deleted")
        self._steps = self._histogram("trajectory_steps", "Steps of ended turns", STEPS, "strategy")
        self._lasted = self._histogram(
            "trajectory_duration_seconds", "Time from the start of a turn to its end", TRAJECTORY_SECONDS, "strategy"
        )
        self.decisions = self._counter(
            "decisions", "Planner decisions; for unreadable output the policy's decision", "next", "readable"
        )
        self._dead_ends = self._counter("search_dead_ends", "Dead ends from which searches backtracked", "reason")
        self.role_seconds = self._histogram(
            "role_call_duration_seconds", "Role calls with their retries", SECONDS, "role", "outcome"
        )
        self.unrecovered = Gauge(
            "alpha_umi_trajectories_unrecovered",
            "Unfinished trajectories of an earlier process that are not resumed yet",
            registry=self.registry,
        )
        self.waiting_for_role = Gauge(
            "alpha_umi_trajectories_waiting_for_role",
            "Trajectories that wait for an unavailable role",
            ("role",),
            registry=self.registry,
        )
        self.role_wait_seconds = self._counter("role_wait_seconds", "Seconds of waiting for unavailable roles", "role")
        self.retries = self._counter("role_retries", "Retries of role calls", "role")
        self.failovers = self._counter("role_failovers", "Role calls that went to another replica", "role")
        self.circuit = Gauge(
            "alpha_umi_role_circuit_open",
            "Circuit of a replica: 0 closed, 0.5 half-open, 1 open",
            ("role", "replica"),
            registry=self.registry,
        )
        self.circuit_changes = self._counter(
            "role_circuit_changes", "Changes of a replica's circuit to a state", "role", "replica", "state"
        )
        self.repairs = self._counter("repairs", "Calls that needed a second attempt")
        self.unfinished_calls = self._counter("unfinished_calls", "Steps with a call that the token limit cut", "role")
        self.tool_calls = self._counter("tool_calls", "Tool calls by outcome: ok, error, unknown", "outcome")
        self.tool_seconds = self._histogram("tool_call_duration_seconds", "Duration of completed tool calls", SECONDS)
        self.tokens = self._counter("tokens", "Tokens by role and kind", "role", "kind")
        self.commits = self._counter("log_appends", "Appends to the event log by outcome: ok, failed", "outcome")
        self._commit_writes = self._histogram("log_commit_writes", "Writes that shared a commit", COMMIT_WRITES)
        self._commit_seconds = self._histogram("log_commit_duration_seconds", "Durable commits", COMMIT_SECONDS)
        self.streams = Gauge("alpha_umi_streams_open", "Streams of events that clients follow", registry=self.registry)

    def count_tokens(self, role: str, usage: Usage) -> None:
        """Add the tokens of one role call."""
        self.tokens.labels(role=role, kind="prompt").inc(usage.prompt_tokens)
        self.tokens.labels(role=role, kind="completion").inc(usage.completion_tokens)

    def set_circuit(self, role: str, replica: str, state: CircuitState) -> None:
        """Set the state of a replica's circuit."""
        self.circuit.labels(role=role, replica=replica).set(_CIRCUIT_VALUES[state])

    def count_end(self, state: State, *, seconds: float) -> None:
        """Count the end of a trajectory's turn, `seconds` after its start."""
        self._ended.labels(status=state.status, strategy=state.strategy).inc()
        self._steps.labels(strategy=state.strategy).observe(len(state.turn_steps))
        self._lasted.labels(strategy=state.strategy).observe(max(0.0, seconds))

    def count_dead_ends(self, events: Iterable[Event]) -> None:
        """Count the events at which a search backtracked."""
        for event in events:
            if isinstance(event, Backtracked):
                self._dead_ends.labels(reason=event.reason).inc()

    def count_commit(self, writes: int, seconds: float) -> None:
        """Count a durable commit of `writes` writes that took `seconds`."""
        self._commit_writes.observe(writes)
        self._commit_seconds.observe(seconds)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"alpha_umi_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"alpha_umi_{name}", text, labels, buckets=buckets, registry=self.registry)
