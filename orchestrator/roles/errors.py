"""Errors of role services, split by what the caller can do next.

    RoleError
    ├── RoleUnavailable      no answer was accepted: the call waits for the role and is sent again
    │   ├── RoleUnreachable  it cannot have received the request
    │   ├── RoleBusy         it is alive, and has no capacity for the request now
    │   └── RoleTooSlow      no answer within the time of a call
    ├── RoleFaulty           its answer is invalid; a retry would cost the same and give the same
    ├── RoleRefused          it does not accept the request
    └── RoleUnreadable       its model's output cannot be parsed, after its own retries; a policy decides

Errors of httpx, aiohttp and pydantic are kept as the cause and never reach a caller themselves.
"""

from __future__ import annotations

from alpha_umi.trajectory import Usage


class RoleError(Exception):
    """Base of all failures of a role service."""


class RoleUnavailable(RoleError):
    """No answer was accepted. `retry_after_s` is the service's Retry-After, if it sent one."""

    def __init__(self, reason: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class RoleUnreachable(RoleUnavailable):
    """No connection could be established."""


class RoleBusy(RoleUnavailable):
    """It has no capacity for the request now."""


class RoleTooSlow(RoleUnavailable):
    """No answer within the time of a call."""


class RoleFaulty(RoleError):
    """Its answer is an internal error, or cannot be read."""


class RoleRefused(RoleError):
    """The request was refused."""


class RoleUnreadable(RoleError):
    """The model's output cannot be parsed. `text` is the output, `usage` its tokens over all `attempts`.

    `call_unfinished`: the token limit cut an attempt at a call.
    """

    def __init__(
        self, reason: str, *, text: str, usage: Usage, attempts: int = 1, call_unfinished: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.text = text
        self.usage = usage
        self.attempts = attempts
        self.call_unfinished = call_unfinished
