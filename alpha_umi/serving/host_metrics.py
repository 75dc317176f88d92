"""The state of hosts and of their engine, read when somebody asks for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from alpha_umi.contract.problems import ServiceError
from alpha_umi.serving.engine import EngineStats
from alpha_umi.serving.host import RoleHost

Family = GaugeMetricFamily | CounterMetricFamily


class HostCollector(Collector):
    """Readiness of each host of a process, and the numbers of the engine behind them. The list may grow later."""

    def __init__(self, hosts: Sequence[RoleHost]) -> None:
        self._hosts = hosts

    def collect(self) -> Iterable[Family]:
        """What is so now. An engine that does not know its numbers has none."""
        ready = GaugeMetricFamily("alpha_umi_role_ready", "1 while the model can answer", labels=["role"])
        for host in self._hosts:
            ready.add_metric([host.model.role], float(_is_ready(host)))
        yield ready
        stats = self._hosts[0].engine.stats() if self._hosts else None
        if stats is not None:
            yield from _engine(stats)


def _is_ready(host: RoleHost) -> bool:
    try:
        host.require_ready()
    except ServiceError:
        return False
    return True


def _engine(stats: EngineStats) -> Iterable[Family]:
    yield _gauge("requests_running", "Generations that the engine works on", stats.running)
    yield _gauge("requests_waiting", "Generations that wait for the engine", stats.waiting)
    yield _gauge("kv_cache_usage_ratio", "Share of the KV cache that is in use, 0 to 1", stats.kv_cache_usage)
    yield _counter("prefix_cache_queried_tokens", "Prompt tokens looked up in the prefix cache", stats.queried_tokens)
    yield _counter("prefix_cache_hit_tokens", "Prompt tokens found in the prefix cache", stats.hit_tokens)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"alpha_umi_engine_{name}", text, value=value)


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(f"alpha_umi_engine_{name}", text, value=value)
