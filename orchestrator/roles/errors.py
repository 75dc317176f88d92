"""What can go wrong with a role service, split by what the caller can do next.

    RoleError
    ├── RoleUnavailable      no answer came and none was accepted: it may be asked again, here or elsewhere
    │   ├── RoleUnreachable  it cannot even have seen the request
    │   ├── RoleBusy         it lives, and has no room for the request now
    │   ├── CircuitOpen      it was not asked, because it has failed again and again
    │   └── RetriesSpent     asking again would help, but too much of the load is repeated requests already
    ├── RoleTooSlow          no answer within the time of the call, retries included
    ├── RoleFaulty           it answered with what is no answer; the same request would cost and bring the same again
    ├── RoleRefused          it does not accept the request
    └── RoleUnreadable       its model wrote what cannot be used, retries of its own included; a policy decides

Errors of httpx, aiohttp and pydantic are kept as the cause and never reach a caller themselves.
"""

from __future__ import annotations

from alpha_umi.trajectory import Usage


class RoleError(Exception):
    """Base of all failures of a role service."""


class RoleUnavailable(RoleError):
    """No answer was accepted. `retry_after_s` is the service's own wish, if it named one."""

    def __init__(self, reason: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class RoleUnreachable(RoleUnavailable):
    """There is no connection to it."""


class RoleBusy(RoleUnavailable):
    """It asks to come back later."""


class CircuitOpen(RoleUnavailable):
    """None of the role's replicas is asked for the moment."""


class RetriesSpent(RoleUnavailable):
    """The budget for repeated requests is used up."""


class RoleTooSlow(RoleError):
    """The time for the call is over."""


class RoleFaulty(RoleError):
    """Its answer is an error of its own, or no answer at all."""


class RoleRefused(RoleError):
    """The request was refused."""


class RoleUnreadable(RoleError):
    """The model's output cannot be used. `text` is what it wrote, `usage` what that cost, in so many `attempts`."""

    def __init__(self, reason: str, *, text: str, usage: Usage, attempts: int = 1) -> None:
        super().__init__(reason)
        self.reason = reason
        self.text = text
        self.usage = usage
        self.attempts = attempts
