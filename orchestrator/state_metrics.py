"""What is so in the orchestrator at the moment when somebody asks, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from orchestrator.journal import Journal
from orchestrator.runs import RunManager
from orchestrator.tool_sources import ToolSources


class StateCollector(Collector):
    """Trajectories under way, writes that are held up, and the sources of tools."""

    def __init__(self, runs: RunManager, journal: Journal, sources: ToolSources) -> None:
        self._runs = runs
        self._journal = journal
        self._sources = sources

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The numbers of this moment."""
        waiting = self._runs.waiting
        yield _gauge("trajectories_running", "Trajectories that are being driven", self._runs.active_count - waiting)
        yield _gauge("trajectories_waiting", "Trajectories that wait for a client's tool output", waiting)
        yield _gauge("stopping", "1 while the process shuts down and takes no new work", self._runs.stopping)
        yield _gauge(
            "log_appends_blocked", "Appends that wait for the event log to come back", self._journal.pending_appends
        )
        sources = GaugeMetricFamily("alpha_umi_tool_sources", "Sources of tools by status", labels=["status"])
        found = [known.status for known in self._sources.list_sources()]
        for status in ("ready", "failed", "pending"):
            sources.add_metric([status], found.count(status))
        yield sources


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"alpha_umi_{name}", text, value=value)
