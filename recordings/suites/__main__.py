"""`python -m recordings.suites NAME …` writes the digests of suites beside their files, from their data."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from recordings.errors import DataError
from recordings.suites.definition import data_folder, digests_path, suite_path
from recordings.suites.suite import load_suite


def record(name: str, data: Path) -> int:
    """Write the digests of a suite and return their number. Raises `DataError`."""
    digests = sorted(load_suite(name, data, as_recorded=False).digests)
    digests_path(suite_path(name)).write_text("".join(f"{digest}\n" for digest in digests), encoding="ascii")
    return len(digests)


def main(names: Sequence[str]) -> int:
    """Record the digests of the named suites; returns the exit status."""
    if not names:
        print(__doc__, file=sys.stderr)
        return 2
    for name in names:
        try:
            print(f"{name}: {record(name, data_folder(os.environ))} instructions")
        except DataError as error:
            print(f"{name}: {error.message}" + (f"; {error.remedy}" if error.remedy else ""), file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
