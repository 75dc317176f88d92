"""Rules of HTTP that servers and clients of this project share."""

from __future__ import annotations

import ipaddress
import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def is_loopback(host: str) -> bool:
    """Whether a host name or address is always this machine: `localhost`, 127.0.0.0/8 or ::1. Nothing is resolved."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse_retry_after(value: str) -> float | None:
    """The seconds of a `Retry-After` header: seconds, or a date (RFC 9110, 10.2.3); None for other values."""
    try:
        seconds = _seconds_until(parsedate_to_datetime(value)) if value.endswith("GMT") else float(value)
    except ValueError:
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _seconds_until(moment: datetime) -> float:
    return (moment - datetime.now(UTC)).total_seconds()
