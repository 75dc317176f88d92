"""Retries: which failures are repeated, how long, and how `Retry-After` is read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from alpha_umi.client.errors import Unavailable
from alpha_umi.client.retry import NO_RETRY, Backoff, Failure, RetryPolicy, retry, retry_after_of
from alpha_umi.contract.http import parse_retry_after

FAST = RetryPolicy(wait_s=5, first_pause_s=0.001, longest_pause_s=0.002)


def unavailable(failure: Failure) -> Unavailable:
    return Unavailable(failure.reason)


async def test_attempts_are_repeated_until_one_succeeds() -> None:
    async def attempt(number: int) -> int | Failure:
        return number if number == 3 else Failure("not yet")

    assert await retry(attempt, FAST, unavailable) == 3


@pytest.mark.parametrize("policy", [NO_RETRY, RetryPolicy(wait_s=0.01, first_pause_s=1)])
async def test_the_last_failure_is_raised_when_the_time_is_over(policy: RetryPolicy) -> None:
    async def attempt(number: int) -> Failure:
        return Failure(f"attempt {number}")

    with pytest.raises(Unavailable, match="attempt 0"):
        await retry(attempt, policy, unavailable)


async def test_a_retry_after_beyond_the_limit_ends_the_retries() -> None:
    with pytest.raises(Unavailable):
        await Backoff(FAST).pause(Failure("busy", retry_after_s=10), unavailable)


def test_pauses_grow_to_the_longest() -> None:
    policy = RetryPolicy(first_pause_s=1, longest_pause_s=4)
    for attempt, longest in ((1, 1), (2, 2), (3, 4), (4, 4), (100, 4)):
        assert longest / 2 <= policy.pause_s(attempt) <= longest


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("5", 5), ("0.5", 0.5), ("-1", 0), ("", None), ("soon", None), ("inf", None), ("nan GMT", None)],
)
def test_retry_after_in_seconds(value: str, seconds: float | None) -> None:
    assert parse_retry_after(value) == seconds


def test_retry_after_as_a_date() -> None:
    value = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 28 < (parse_retry_after(value) or 0) <= 30


@pytest.mark.parametrize(("value", "seconds"), [("5", 5), ("3600", 60), ("soon", 0), (None, 0)])
def test_the_header_of_a_response_is_bounded(value: str | None, seconds: float) -> None:
    headers = {} if value is None else {"Retry-After": value}
    assert retry_after_of(httpx.Response(503, headers=headers)) == seconds
