"""Default deny: a request passes with a key, or it is for one of the two health routes.

A service without keys trusts whatever runs on this machine, and a browser does, with any page. A page reaches it by a
name of its own that suddenly means 127.0.0.1 (DNS rebinding), so such a service answers to this machine's names alone.

The guard stands before the router, so whatever is added behind it (a route, a mounted application) is covered, paths
that do not exist say nothing, and a body is not read before its sender is known. It reads the path of the ASGI scope,
which tricks with the Host header do not change.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from alpha_umi import telemetry
from alpha_umi.contract.http import is_loopback
from alpha_umi.contract.problems import ServiceError
from alpha_umi.web.key_file import KEY
from alpha_umi.web.keys import ANONYMOUS, Keyring
from alpha_umi.web.problems import problem_response

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
POLICY_VIOLATION = 1008

_log = telemetry.logger(__name__)


class KeyGuard:
    """ASGI middleware: puts the id of the key into `request.state.key_id` and on the log lines, or answers 401."""

    def __init__(self, app: ASGIApp, *, keys: Keyring) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        try:
            key_id = self._admit(HTTPConnection(scope))
        except ServiceError as error:
            await _refuse(error, scope, receive, send)
            return
        scope.setdefault("state", {})["key_id"] = key_id
        with telemetry.bind(key_id=key_id):
            await self._app(scope, receive, send)

    def _admit(self, connection: HTTPConnection) -> str:
        """The id of the key. Raises `ServiceError`."""
        if connection.scope["path"] in OPEN_PATHS:
            return ANONYMOUS
        if not self._keys.required:
            _require_own_name(connection)
            return ANONYMOUS
        scheme, _, shown = connection.headers.get("authorization", "").partition(" ")
        key_id = self._keys.owner(shown.strip()) if scheme.lower() == "bearer" else None
        if key_id is None:
            _note_refusal(connection, shown)
            raise ServiceError("unauthorized", "send `Authorization: Bearer KEY` with a key of this service")
        return key_id


def _require_own_name(connection: HTTPConnection) -> None:
    """What names no host is no browser. Raises `ServiceError`."""
    host = connection.headers.get("host")
    if host is not None and not is_loopback(_name_of(host)):
        raise ServiceError(
            "name-not-known",
            "a service without keys answers to localhost and 127.0.0.1 alone",
            field="Host",
            remedy="ask it by one of these names, or set a key",
        )


def _name_of(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _note_refusal(connection: HTTPConnection, shown: str) -> None:
    # Only the id of what looks like one of our keys: anything else may be a secret that went astray.
    ours = KEY.fullmatch(shown.strip())
    client = connection.client.host if connection.client else None
    _log.info("request.unauthorized", client=client, shown_id=ours["id"] if ours else None)


async def _refuse(error: ServiceError, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        return
    await problem_response(Request(scope), error)(scope, receive, send)
