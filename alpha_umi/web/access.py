"""One log line and one count for every request, by its route; paths contain ids and appear in neither.

Plain ASGI, as the other middlewares: streaming endpoints must detect a disconnected client.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alpha_umi import telemetry

# From a health check (a millisecond) to a stream (as long as its trajectory).
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900)
CLIENT_LEFT = 499
# Of a web socket.
UPGRADED = 101
NO_ROUTE = "none"
# Polled every few seconds; logged at DEBUG only. Changes of readiness have their own log line.
_QUIET_ROUTES = frozenset({"/healthz", "/readyz", "/metrics"})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_log = telemetry.logger(__name__)


class HttpMetrics:
    """Requests of one application."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "alpha_umi_http_requests",
            "Requests by route and status; 499: the client left before its answer began",
            ("method", "route", "status"),
            registry=registry,
        )
        self.seconds = Histogram(
            "alpha_umi_http_request_duration_seconds",
            "Time from a request to the end of its answer, streams included",
            ("method", "route"),
            buckets=SECONDS,
            registry=registry,
        )
        self.open = Gauge("alpha_umi_http_requests_in_flight", "Requests now, open streams included", registry=registry)


class AccessLog:
    """ASGI middleware: logs and counts each request with its status."""

    def __init__(self, app: ASGIApp, *, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status: int | None = None

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
            elif message["type"] == "websocket.accept":
                status = UPGRADED
            await send(message)

        with self._metrics.open.track_inprogress():
            try:
                await self._app(scope, receive, watch)
            except asyncio.CancelledError:
                status = status or CLIENT_LEFT
                raise
            finally:
                self._note(scope, status or 500, time.perf_counter() - started)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope.get("method", "GET")
        method = method if method in _METHODS else "other"
        route = str(getattr(scope.get("route"), "path", NO_ROUTE))
        self._metrics.requests.labels(method, route, status).inc()
        self._metrics.seconds.labels(method, route).observe(seconds)
        write = _log.debug if route in _QUIET_ROUTES else _log.info
        write("request", method=method, route=route, status=status, ms=round(seconds * 1_000, 1), **_log_fields(scope))


def _log_fields(scope: Scope) -> dict[str, Any]:
    """Fields that the application put into the request's state for the log."""
    state = scope.get("state", {})
    return {name: state[name] for name in ("problem", "trajectory_id") if name in state}
