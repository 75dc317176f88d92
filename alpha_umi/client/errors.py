"""How a request to a server of this project can fail, by what the caller can do next.

ClientError
├── Unavailable          there is no connection, or the server cannot answer now: send the request again later
│   └── StreamBroken     the connection to a stream was lost and could not be resumed
├── RequestRefused       the server answered with a problem document: repair the request
├── ServiceMismatch      there is another service at the address, or another model: name another address
│   └── TokenRefused     the service does not accept the token
├── InvalidResponse      the response is none of this version
└── RoleRequestFailed    a role service has no output for this request; another request may have one
"""

from __future__ import annotations

from typing import Final

from alpha_umi.contract.problems import Problem
from alpha_umi.roles.turns import Role

# The `problem` of a role's answer that cannot be read.
INVALID_RESPONSE: Final = "answer-not-understood"


class ClientError(Exception):
    """Base of what this package raises. `remedy` says what to do about it."""

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class Unavailable(ClientError):
    """A server cannot be reached, or said that it cannot answer now (`problem`), for longer than was waited."""

    def __init__(self, message: str, *, remedy: str | None = None, problem: Problem | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.problem = problem


class StreamBroken(Unavailable):
    """The connection to a stream was lost and could not be resumed in time."""


class RequestRefused(ClientError):
    """The server answered with a problem document. Without one, its `type` is `about:blank`."""

    def __init__(self, problem: Problem, *, message: str | None = None, remedy: str | None = None) -> None:
        super().__init__(message or problem.detail, remedy=remedy)
        self.problem = problem

    @property
    def kind(self) -> str:
        """The kind of the problem (`alpha_umi.contract.problems.Kind`), or `about:blank`."""
        return self.problem.kind


class ServiceMismatch(ClientError):
    """The service at an address does not play the role, or replicas of a role run different models."""


class TokenRefused(ServiceMismatch):
    """A role service does not accept the token."""


class InvalidResponse(ClientError):
    """A response is not what this version of the server sends."""


class RoleRequestFailed(ClientError):
    """A role service has no output for a request. `problem` is the kind of its problem document, `status` is HTTP's."""

    def __init__(self, role: Role, problem: str, detail: str, *, status: int | None = None) -> None:
        super().__init__(detail)
        self.role: Role = role
        self.problem = problem
        self.detail = detail
        self.status = status
