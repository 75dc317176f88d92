"""Every check, in the order of the table."""

from __future__ import annotations

from benchmarks.trust import front_door, load, named_tests, outages, owners, prices, reading, responses, storage, tools

SOAK = storage.SOAK
CHECKS = [
    *outages.CHECKS,
    *load.CHECKS,
    *reading.CHECKS,
    *prices.CHECKS,
    *responses.CHECKS,
    *owners.CHECKS,
    *tools.CHECKS,
    *front_door.CHECKS,
    *storage.CHECKS,
    *named_tests.CHECKS,
]
