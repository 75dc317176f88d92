"""Bearer keys: default deny on every route, and no open bind without a key.

The check is a dependency of the whole application, so a route cannot be added without it; only the two health routes
are open. It reads the path of the ASGI scope, which tricks with the Host header do not change.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Callable, Sequence

from starlette.requests import HTTPConnection

from alpha_umi.contract.problems import ServiceError

OPEN_PATHS = frozenset({"/healthz", "/readyz"})


class OpenBindRefused(RuntimeError):
    """The service would listen beyond loopback without a key."""


def require_key(keys: Sequence[str]) -> Callable[[HTTPConnection], None]:
    """A dependency that lets a request pass with one of the keys, or any request when there are none."""
    known = [key.encode() for key in keys]

    def check(connection: HTTPConnection) -> None:
        if not known or connection.scope["path"] in OPEN_PATHS:
            return
        scheme, _, shown = connection.headers.get("authorization", "").partition(" ")
        # Every key is compared, so that the time says nothing about which one came close.
        matches = [hmac.compare_digest(shown.encode(), key) for key in known]
        if scheme.lower() != "bearer" or not any(matches):
            raise ServiceError("unauthorized", "send `Authorization: Bearer KEY` with a key of this service")

    return check


def check_bind(host: str, keys: Sequence[str], *, variable: str) -> None:
    """Refuse an address beyond loopback while no key is set. `variable` is the setting that would allow it."""
    if keys or _is_loopback(host):
        return
    raise OpenBindRefused(f"listening on {host} would let everybody in: set {variable}, or listen on 127.0.0.1")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
