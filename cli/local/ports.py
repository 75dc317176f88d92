"""Look for taken ports before anything is started."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence

from cli.errors import PortTaken
from cli.local.services import HOST, PortClaim


def require_free(claims: Sequence[PortClaim]) -> None:
    """Raises `PortTaken`, which names every port at fault with its service and the option that changes it."""
    faults = [fault for position, claim in enumerate(claims) if (fault := _fault(claim, claims[:position]))]
    if faults:
        raise PortTaken("\n".join(faults), remedy="choose other ports with these options; nothing was started")


def _fault(claim: PortClaim, before: Sequence[PortClaim]) -> str | None:
    for other in before:
        if other.port == claim.port:
            both = f"{other.service} ({other.option}) and {claim.service} ({claim.option})"
            return f"port {claim.port} is given to {both}"
    reason = _obstacle(claim.port)
    return reason and f"port {claim.port} for the {claim.service} {reason} ({claim.option})"


def _obstacle(port: int) -> str | None:
    with socket.socket() as probe:
        # As the services do: a port whose last connections are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return "is taken by another program"
            return f"cannot be used: {error.strerror}"
    return None
