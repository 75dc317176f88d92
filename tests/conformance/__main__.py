"""Foreign suites and clients against the standard interfaces: `PYTHONPATH=tests python -m conformance [PART ...]`.

`make conformance` sets up what they need. Nothing leaves the machine, and the language models are scripted.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence

from conformance.parts import PARTS, LeftOut
from conformance.system import scripted_system
from conformance.table import Check, Outcome, table


async def outcome_of(name: str) -> Outcome:
    """Run a part against a system of its own."""
    start = time.monotonic()
    try:
        async with scripted_system() as system:
            start = time.monotonic()
            checks = await PARTS[name](system)
    except LeftOut as reason:
        return Outcome(name, left_out=str(reason))
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        checks = [Check("the part itself", f"{type(error).__name__}: {error}")]
    return Outcome(name, tuple(checks), time.monotonic() - start)


async def run(names: Sequence[str]) -> list[Outcome]:
    """Run parts one after the other."""
    return [await outcome_of(name) for name in names]


def main() -> int:
    """Run the named parts, all by default. 1 if a check did not pass."""
    parser = argparse.ArgumentParser(prog="python -m conformance", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    chosen = parser.parse_args().parts or list(PARTS)
    if unknown := [name for name in chosen if name not in PARTS]:
        parser.error(f"there is no part {unknown[0]}; choose from {', '.join(PARTS)}")
    outcomes = asyncio.run(run(chosen))
    print(table(outcomes))
    return 0 if all(outcome.is_good for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
