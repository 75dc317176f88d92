"""What a role service counts for Prometheus. Roles that share a process share one registry, told apart by a label."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from copy import copy
from typing import Literal, Self

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from alpha_umi.contract.problems import ServiceError
from alpha_umi.serving.engine import Chunk
from alpha_umi.serving.host import RoleHost
from alpha_umi.serving.host_metrics import HostCollector

# A GPU writes a decision within tenths of a second, a CPU within minutes.
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)

CLIENT_LEFT = "client-left"
_PREFIX = "alpha_umi_role"

# Why a request made the model write more than once.
ExtraGeneration = Literal["constrained", "retry", "repair"]


class RoleMetrics:
    """Counters, gauges and histograms of one process, and the role that is counted through this view of them."""

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
        self._decisions = self._counter("decisions", "Decisions, and how they came", "next", "way")
        self._shortened = self._counter("shortened_histories", "Answers to histories that did not fit the context")

    def of_role(self, role: str) -> Self:
        """The same counters for another role of the same process."""
        other = copy(self)
        other.role = role
        return other

    def watch(self, host: RoleHost) -> None:
        """Show the state of a host, and of its engine unless another host of the process shares it."""
        self._hosts.append(host)

    @contextlib.contextmanager
    def request(self) -> Iterator[None]:
        """Count what happens inside as one request, by the error that it ends with."""
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
        """A request's first token came after so long."""
        self._ttft.labels(self.role).observe(seconds)

    def count_generation(self, last: Chunk) -> None:
        """Add the tokens of one generation, as its last piece tells them."""
        self._tokens.labels(self.role, "prompt").inc(last.prompt_tokens)
        self._tokens.labels(self.role, "cached").inc(last.cached_tokens)
        self._tokens.labels(self.role, "completion").inc(last.completion_tokens)

    def count_extra(self, kind: ExtraGeneration) -> None:
        """A request makes its model write once more."""
        self._extra.labels(self.role, kind).inc()

    def count_decision(self, decision: str, way: str) -> None:
        """A decision was read from what the model wrote."""
        self._decisions.labels(self.role, decision, way).inc()

    def count_shortened(self) -> None:
        """An answer rests on a shortened history."""
        self._shortened.labels(self.role).inc()

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"{_PREFIX}_{name}", text, ("role", *labels), registry=self.registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(f"{_PREFIX}_{name}", text, ("role",), buckets=SECONDS, registry=self.registry)
