"""Retry requests to a server that is unavailable, with exponential backoff and for a bounded time."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import httpx

from alpha_umi.client.http import problem_of, reason_of
from alpha_umi.contract.http import parse_retry_after
from alpha_umi.contract.problems import Problem

# Statuses of a server that starts, stops or is overloaded, and of a gateway in front of it.
RETRYABLE_STATUS: Final = (408, 425, 429, 502, 503, 504)
LONGEST_RETRY_AFTER_S: Final = 60.0
Result = TypeVar("Result")


@dataclass(frozen=True)
class RetryPolicy:
    """In seconds: how long a server may be unavailable, and the first and the longest pause between two attempts."""

    wait_s: float = 120.0
    first_pause_s: float = 0.25
    longest_pause_s: float = 10.0

    def pause_s(self, attempt: int) -> float:
        """The pause after attempt number `attempt`, counted from 1, with jitter: clients do not return in step."""
        jitter = 0.5 + random.random() / 2  # noqa: S311
        return jitter * min(self.longest_pause_s, self.first_pause_s * 2.0 ** min(attempt - 1, 30))


NO_RETRY: Final = RetryPolicy(wait_s=0)


@dataclass(frozen=True)
class Failure:
    """Why an attempt failed that may be repeated."""

    reason: str
    retry_after_s: float = 0.0
    problem: Problem | None = None

    @classmethod
    def of_response(cls, response: httpx.Response) -> Failure:
        """The failure of a response with a status of `RETRYABLE_STATUS`. A stream has to be read before."""
        return cls(reason_of(response), retry_after_of(response), problem_of(response))

    @classmethod
    def of_error(cls, error: Exception) -> Failure:
        """The failure of a request without a response."""
        return cls(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)


OnTimeout = Callable[[Failure], Exception]


class Backoff:
    """The attempts of one operation. The time that `policy` allows begins with the first failure."""

    def __init__(self, policy: RetryPolicy) -> None:
        self.policy = policy
        self.attempts = 0
        self._deadline: float | None = None

    def reset(self) -> None:
        """Count from the beginning: the server has answered."""
        self.attempts, self._deadline = 0, None

    async def pause(self, failure: Failure, on_timeout: OnTimeout) -> None:
        """Wait until the next attempt. Raises `on_timeout(failure)` if that would be too late."""
        self.attempts += 1
        if self._deadline is None:
            self._deadline = time.monotonic() + self.policy.wait_s
        pause_s = max(self.policy.pause_s(self.attempts), failure.retry_after_s)
        if time.monotonic() + pause_s >= self._deadline:
            raise on_timeout(failure)
        await asyncio.sleep(pause_s)


async def retry(
    attempt: Callable[[int], Awaitable[Result | Failure]], policy: RetryPolicy, on_timeout: OnTimeout
) -> Result:
    """The result of the first attempt (they are counted from 0) that does not fail.

    Raises `on_timeout(failure)` with the last failure when `policy.wait_s` is over.
    """
    backoff = Backoff(policy)
    while isinstance(result := await attempt(backoff.attempts), Failure):
        await backoff.pause(result, on_timeout)
    return result


def retry_after_of(response: httpx.Response) -> float:
    """The seconds of the response's `Retry-After`, `LONGEST_RETRY_AFTER_S` at most; 0 without one."""
    seconds = parse_retry_after(response.headers.get("retry-after", ""))
    return min(seconds or 0.0, LONGEST_RETRY_AFTER_S)
