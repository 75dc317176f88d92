"""Addresses and token of the role services."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from alpha_umi.roles.turns import Role
from cli.errors import UsageProblem
from cli.local.services import HOST, Ports
from cli.local.state import RunRecord
from cli.options import checked_address, state_folder

DEFAULT_PORTS = Ports(backbone=8004).of_roles()


@dataclass(frozen=True)
class RoleAccess:
    """Base addresses of each role's replicas, and the token for all of them."""

    addresses: Mapping[Role, tuple[str, ...]]
    token: str | None = field(repr=False)


def role_access(urls: Mapping[Role, str | None], token: str | None, state_dir: Path | None) -> RoleAccess:
    """The services at `urls` (comma-separated), else those that are up here, else those at the default ports.

    The token of the services that are up is sent only to these. Raises `UsageProblem`, `StateUnusable`.
    """
    run = None if all(urls.values()) else state_folder(state_dir).read_run()
    addresses = {role: _addresses(role, text, run) for role, text in urls.items()}
    return RoleAccess(addresses, token or _token(urls, run))


def _addresses(role: Role, text: str | None, run: RunRecord | None) -> tuple[str, ...]:
    if not text:
        up = None if run is None else run.url_of(role)
        return (up or f"http://{HOST}:{DEFAULT_PORTS[role]}",)
    addresses = tuple(part.strip() for part in text.split(",") if part.strip())
    if not addresses:
        raise UsageProblem(f"--{role}-url: {text!r} is not an address", remedy="write it as http://HOST:PORT")
    return tuple(checked_address(url, f"--{role}-url") for url in addresses)


def _token(urls: Mapping[Role, str | None], run: RunRecord | None) -> str | None:
    return None if run is None or any(urls.values()) else run.role_token
