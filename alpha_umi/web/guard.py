"""Default deny: a request needs a key unless it is for one of the two health routes.

A service without keys trusts this machine's processes, which include a browser with any page. A page can reach the
service by DNS rebinding (a foreign name that resolves to 127.0.0.1), so such a service answers only requests whose Host
is localhost or a loopback address.

The guard runs before the router. It covers every route and mounted application, does not disclose which paths exist,
and refuses a request before its body is read. It uses the path of the ASGI scope, which the Host header cannot change.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import Counter as Tally
from collections import OrderedDict
from collections.abc import Callable
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, Counter
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from alpha_umi import telemetry
from alpha_umi.contract.http import is_loopback
from alpha_umi.contract.problems import ServiceError
from alpha_umi.web.key_file import KEY
from alpha_umi.web.keys import ANONYMOUS, CURRENT_OWNER, NOBODY, Keyring, Principal
from alpha_umi.web.problems import problem_response

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
POLICY_VIOLATION = 1008
# Of a sender without a valid key on those paths.
STRANGER = Principal(ANONYMOUS, "", frozenset())

# Refusals of one address before they are slowed. Then the delay doubles again and again; the count halves with time.
FREE_REFUSALS = 20
DOUBLED_EVERY = 10
FIRST_DELAY_S = 0.01
MAX_DELAY_S = 2.0
HALF_LIFE_S = 30.0
MAX_ADDRESSES = 10_000

_log = telemetry.logger(__name__)


class KeyGuard:
    """ASGI middleware: adds `request.state.principal`, and the id of the key to log lines, or answers 401."""

    def __init__(
        self, app: ASGIApp, *, keys: Keyring, registry: CollectorRegistry, owner_share: int | None = None
    ) -> None:
        """`owner_share` is the number of requests of one owner that may be under way; None: any."""
        self._app = app
        self._keys = keys
        self._owner_share = owner_share if keys.required else None
        self._under_way: Tally[str] = Tally()
        self._refusals = Refusals()
        self._refused = Counter(
            "alpha_umi_http_unauthorized", "Requests without a valid key", ("reason",), registry=registry
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        try:
            principal = self._admit(HTTPConnection(scope))
        except ServiceError as error:
            is_open = scope["path"] in OPEN_PATHS
            # A wrong key is slowed there, too: the answer of `/readyz` shows whether a key is valid.
            if isinstance(error, _Unauthorized) and not (is_open and error.reason == "missing"):
                await self._slow_down(error, scope)
            if not is_open:
                await _refuse(error, scope, receive, send)
                return
            principal = STRANGER
        scope.setdefault("state", {})["principal"] = principal
        with telemetry.bind(key_id=principal.key_id):
            await self._handle(principal.owner, scope, receive, send)

    async def _handle(self, owner: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Each request under way holds a connection, of which nobody may have all."""
        is_counted = self._owner_share is not None and scope["path"] not in OPEN_PATHS
        if is_counted and self._under_way[owner] >= (self._owner_share or 0):
            detail = f"{self._under_way[owner]} requests of this owner are under way, which is the maximum"
            error = ServiceError("owner-limit", detail, extra={"reason": "connections"})
            await _refuse(error, scope, receive, send)
            return
        self._under_way[owner] += is_counted
        token = CURRENT_OWNER.set(owner)
        try:
            await self._app(scope, receive, send)
        finally:
            CURRENT_OWNER.reset(token)
            self._under_way[owner] -= is_counted
            if not self._under_way[owner]:
                del self._under_way[owner]

    def _admit(self, connection: HTTPConnection) -> Principal:
        """Who sends the request. Raises `ServiceError`."""
        if connection.scope["type"] == "websocket":
            check_origin(connection)
        if not self._keys.required:
            _check_host(connection)
            return NOBODY
        scheme, _, shown = connection.headers.get("authorization", "").partition(" ")
        entry = self._keys.entry(shown.strip()) if scheme.lower() == "bearer" else None
        if entry is None or entry.expired:
            reason = "expired" if entry is not None else "unknown" if scheme else "missing"
            raise _Unauthorized(reason, entry.id if entry else _id_of(shown))
        return Principal(entry.id, entry.owner, entry.grant.scopes)

    async def _slow_down(self, error: _Unauthorized, scope: Scope) -> None:
        client = scope["client"][0] if scope.get("client") else ""
        self._refused.labels(error.reason).inc()
        _log.info("request.unauthorized", client=client, reason=error.reason, presented_id=error.presented_id)
        await asyncio.sleep(self._refusals.delay(client))


class Refusals:
    """Slows the refusals of a client address that has many. Requests with a valid key are never slowed."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def delay(self, address: str) -> float:
        """Count a refusal; the seconds that it has to wait."""
        network = _network_of(address)
        now = self._clock()
        before, at = self._counts.pop(network, (0.0, now))
        count = before * 0.5 ** ((now - at) / HALF_LIFE_S) + 1
        self._counts[network] = count, now
        if len(self._counts) > MAX_ADDRESSES:
            self._counts.popitem(last=False)
        steps = (count - FREE_REFUSALS) / DOUBLED_EVERY
        return 0 if steps <= 0 else min(MAX_DELAY_S, FIRST_DELAY_S * 2 ** min(steps, 100))


class _Unauthorized(ServiceError):
    def __init__(self, reason: str, presented_id: str | None) -> None:
        super().__init__("unauthorized", "send `Authorization: Bearer KEY` with a key of this service")
        self.reason = reason
        self.presented_id = presented_id


def _network_of(address: str) -> str:
    """The address, or the network of an IPv6 client, which has all addresses of it."""
    return str(ipaddress.ip_network(f"{address.partition('%')[0]}/64", strict=False)) if ":" in address else address


def _id_of(key: str) -> str | None:
    """The id of a well-formed key; other text can be a misplaced secret."""
    ours = KEY.fullmatch(key.strip())
    return ours["id"] if ours else None


def _check_host(connection: HTTPConnection) -> None:
    """Raises `ServiceError` for a Host that is not loopback. A client without the header is not a browser."""
    host = connection.headers.get("host")
    if host is not None and not is_loopback(_name_of(host)):
        raise ServiceError(
            "misdirected-request",
            "a service without keys answers to localhost and 127.0.0.1 alone",
            field="Host",
            remedy="ask it by one of these names, or set a key",
        )


def check_origin(connection: HTTPConnection) -> None:
    """Raises `ServiceError` for a request of a web page that this service did not deliver.

    For what a page can reach without the consent that browsers ask for (web sockets), and for protocols that demand it.
    The host of the `Origin` must be that of the `Host` header; a client without the header is not a browser.
    """
    origin = connection.headers.get("origin")
    if origin is not None and origin.lower().partition("://")[2] != connection.headers.get("host", "").lower():
        raise ServiceError(
            "foreign-origin",
            "the Origin header names another host than the Host header",
            field="Origin",
            remedy="call the service from a program, or through a server of the page's own",
        )


def _name_of(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


async def _refuse(error: ServiceError, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket" and "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        return
    await problem_response(HTTPConnection(scope), error)(scope, receive, send)
