"""Where the role services are, and the token that they ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from alpha_umi.roles.turns import Role
from cli.errors import UsageProblem
from cli.local.services import HOST, Ports
from cli.local.state import RunRecord
from cli.options import checked_address, state_folder

USUAL = Ports(backbone=8004).of_roles()


@dataclass(frozen=True)
class RoleAccess:
    """Base addresses of each role's replicas, and the token for all of them."""

    addresses: Mapping[Role, tuple[str, ...]]
    token: str | None = field(repr=False)


def role_access(named: Mapping[Role, str | None], token: str | None, state_dir: Path | None) -> RoleAccess:
    """The services that are named (comma separated), else those that are up, else those at the usual ports.

    The token of what is up is shown to nobody but what is up. Raises `UsageProblem`, `StateUnusable`.
    """
    run = None if all(named.values()) else state_folder(state_dir).read_run()
    addresses = {role: _addresses(role, urls, run) for role, urls in named.items()}
    return RoleAccess(addresses, token or _token(named, run))


def _addresses(role: Role, urls: str | None, run: RunRecord | None) -> tuple[str, ...]:
    if not urls:
        up = None if run is None else run.url_of(role)
        return (up or f"http://{HOST}:{USUAL[role]}",)
    given = tuple(part.strip() for part in urls.split(",") if part.strip())
    if not given:
        raise UsageProblem(f"--{role}-url: {urls!r} is not an address", remedy="write it as http://HOST:PORT")
    return tuple(checked_address(url, f"--{role}-url") for url in given)


def _token(named: Mapping[Role, str | None], run: RunRecord | None) -> str | None:
    return None if run is None or any(named.values()) else run.role_token
