"""What can go wrong with a role service, split by what the caller can do next.

    RoleError
    ├── RoleUnavailable  it is down, too slow, broke off, or spoke nonsense; ask again
    ├── RoleRefused      it does not accept the request; asking again would not help
    └── RoleUnreadable   its model wrote what cannot be used, retries of its own included; a policy decides

Errors of httpx, aiohttp and pydantic are kept as the cause and never reach a caller themselves.
"""

from __future__ import annotations

from alpha_umi.trajectory import Usage


class RoleError(Exception):
    """Base of all failures of a role service."""


class RoleUnavailable(RoleError):
    """No usable answer came. `retry_after_s` is the service's own wish, if it named one."""

    def __init__(self, reason: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class RoleRefused(RoleError):
    """The request was refused."""


class RoleUnreadable(RoleError):
    """The model's output cannot be used. `text` is what it wrote, `usage` what that cost."""

    def __init__(self, reason: str, *, text: str, usage: Usage) -> None:
        super().__init__(reason)
        self.reason = reason
        self.text = text
        self.usage = usage
