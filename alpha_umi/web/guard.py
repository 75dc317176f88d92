"""Default deny: a request needs a key unless it is for one of the two health routes.

A service without keys trusts this machine's processes, which include a browser with any page. A page can reach the
service by DNS rebinding (a foreign name that resolves to 127.0.0.1), so such a service answers only requests whose Host
is localhost or a loopback address.

The guard runs before the router. It covers every route and mounted application, does not disclose which paths exist,
and refuses a request before its body is read. It uses the path of the ASGI scope, which the Host header cannot change.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from alpha_umi import telemetry
from alpha_umi.contract.http import is_loopback
from alpha_umi.contract.problems import ServiceError
from alpha_umi.web.key_file import KEY
from alpha_umi.web.keys import NOBODY, Keyring, Principal
from alpha_umi.web.problems import problem_response

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
POLICY_VIOLATION = 1008

_log = telemetry.logger(__name__)


class KeyGuard:
    """ASGI middleware: adds `request.state.principal`, and the id of the key to log lines, or answers 401."""

    def __init__(self, app: ASGIApp, *, keys: Keyring) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        try:
            principal = self._admit(HTTPConnection(scope))
        except ServiceError as error:
            await _refuse(error, scope, receive, send)
            return
        scope.setdefault("state", {})["principal"] = principal
        with telemetry.bind(key_id=principal.key_id):
            await self._app(scope, receive, send)

    def _admit(self, connection: HTTPConnection) -> Principal:
        """Who sends the request. Raises `ServiceError`."""
        if connection.scope["path"] in OPEN_PATHS:
            return NOBODY
        if not self._keys.required:
            _check_host(connection)
            return NOBODY
        scheme, _, key = connection.headers.get("authorization", "").partition(" ")
        principal = self._keys.principal(key.strip()) if scheme.lower() == "bearer" else None
        if principal is None:
            _log_refusal(connection, key)
            raise ServiceError("unauthorized", "send `Authorization: Bearer KEY` with a key of this service")
        return principal


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


def _name_of(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _log_refusal(connection: HTTPConnection, key: str) -> None:
    # Only the id of a well-formed key: other text can be a misplaced secret.
    ours = KEY.fullmatch(key.strip())
    client = connection.client.host if connection.client else None
    _log.info("request.unauthorized", client=client, shown_id=ours["id"] if ours else None)


async def _refuse(error: ServiceError, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        return
    await problem_response(Request(scope), error)(scope, receive, send)
