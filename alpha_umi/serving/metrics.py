"""Prometheus metrics of a role service. The roles of one process share a registry and differ in the label `role`."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from typing import Literal, Self

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from alpha_umi.contract.problems import ServiceError
from alpha_umi.serving.engine import Chunk, EngineStats
from alpha_umi.serving.host import RoleHost

# A GPU generates a decision within tenths of a second, a CPU within minutes.
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)

CLIENT_LEFT = "client-left"
_PREFIX = "alpha_umi_role"

Family = GaugeMetricFamily | CounterMetricFamily

# The cause of a request's second generation.
ExtraGeneration = Literal["constrained", "retry", "repair"]


class RoleMetrics:
    """Counters, gauges and histograms of one process, and the role whose label this view sets."""

    def __init__(self, role: str) -> None:
        self.role = role
        self.registry = CollectorRegistry()
        self._hosts: list[RoleHost] = []
        self.registry.register(HostCollector(self._hosts))
        ProcessCollector(registry=self.registry)
        self._requests = self._counter("requests", "Requests by outcome: ok, client-left, or a problem", "outcome")
        self._seconds = self._histogram("request_duration_seconds", "Time from a request to the end of its answer")
        self._ttft = self._histogram("time_to_first_token_seconds", "Time from a request to its first token")
        self._in_flight = Gauge(f"{_PREFIX}_requests_in_flight", "Requests now", ("role",), registry=self.registry)
        self._tokens = self._counter("tokens", "Tokens by kind: prompt, cached (of those), completion", "kind")
        self._extra = self._counter("extra_generations", "Generations after a request's first, by cause", "kind")
        self._unfinished = self._counter("unfinished_calls", "Calls that the token limit cut, repairs included")
        self._loosened = self._counter(
            "loosened_grammars", "Requests with a part of a schema that only the check enforces, by reason", "reason"
        )
        self._decisions = self._counter("decisions", "Decisions, and how they came", "next", "way")
        self._shortened = self._counter("shortened_histories", "Answers to histories that did not fit the context")

    def of_role(self, role: str) -> Self:
        """The same counters for another role of the same process."""
        other = copy(self)
        other.role = role
        return other

    def watch(self, host: RoleHost) -> None:
        """Export the state of a host, and of the engine that the hosts of the process share."""
        self._hosts.append(host)

    @contextlib.contextmanager
    def request(self) -> Iterator[None]:
        """Count the block as one request; its outcome is the error that ends it, or `ok`."""
        started = time.perf_counter()
        outcome = "ok"
        with self._in_flight.labels(self.role).track_inprogress():
            try:
                yield
            except ServiceError as error:
                outcome = error.kind
                raise
            except (asyncio.CancelledError, GeneratorExit):
                outcome = CLIENT_LEFT
                raise
            except Exception:
                outcome = "internal"
                raise
            finally:
                self._requests.labels(self.role, outcome).inc()
                self._seconds.labels(self.role).observe(time.perf_counter() - started)

    def count_first_token(self, seconds: float) -> None:
        """Record the time to a request's first token."""
        self._ttft.labels(self.role).observe(seconds)

    def count_generation(self, last: Chunk) -> None:
        """Add the tokens of one generation, from its last chunk."""
        self._tokens.labels(self.role, "prompt").inc(last.prompt_tokens)
        self._tokens.labels(self.role, "cached").inc(last.cached_tokens)
        self._tokens.labels(self.role, "completion").inc(last.completion_tokens)

    def count_extra(self, kind: ExtraGeneration) -> None:
        """Count a further generation of a request."""
        self._extra.labels(self.role, kind).inc()

    def count_unfinished_call(self) -> None:
        """Count a call that the token limit cut."""
        self._unfinished.labels(self.role).inc()

    def count_loosened(self, reasons: Iterable[str]) -> None:
        """Count a request whose grammar leaves out parts of a schema (`Grammar.loosened`)."""
        for reason in reasons:
            self._loosened.labels(self.role, reason).inc()

    def count_decision(self, decision: str, way: str) -> None:
        """Count a decision, and how it was obtained: `free`, `constrained` or `retry`."""
        self._decisions.labels(self.role, decision, way).inc()

    def count_shortened(self) -> None:
        """Count an answer to a shortened history."""
        self._shortened.labels(self.role).inc()

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"{_PREFIX}_{name}", text, ("role", *labels), registry=self.registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(f"{_PREFIX}_{name}", text, ("role",), buckets=SECONDS, registry=self.registry)


class HostCollector(Collector):
    """Readiness of each host of a process, and the numbers of the engine behind them. The list may grow later."""

    def __init__(self, hosts: Sequence[RoleHost]) -> None:
        self._hosts = hosts

    def collect(self) -> Iterable[Family]:
        """The state at scrape time. An engine without statistics exports none."""
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
    yield _counter("speculation_proposed_tokens", "Tokens that prompt lookup proposed", stats.proposed_tokens)
    yield _counter("speculation_accepted_tokens", "Tokens of those that the model accepted", stats.accepted_tokens)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"alpha_umi_engine_{name}", text, value=value)


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(f"alpha_umi_engine_{name}", text, value=value)
