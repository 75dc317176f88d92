"""Faults, load and attacks against the real processes: one table of figures and goals.

    python -m benchmarks.trust [--short] [--only NAME] [--list] [--soak] [--document FILE]

The exit status is 1 where a goal is missed. See docs/reliability.md for what each row does.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path

from benchmarks.trust.checks import CHECKS, SOAK
from benchmarks.trust.table import Check, Form, Line, carry_out, chosen, in_document, markdown, show, verdict

IDLE_AT_ONCE = 4


async def measure(checks: list[Check], form: Form) -> list[Line]:
    """Carry out the checks: idle ones beside each other, then the others one by one. Each is reported as it ends."""
    slots = asyncio.Semaphore(IDLE_AT_ONCE)

    async def one(check: Check) -> Line:
        async with slots:
            line = await carry_out(check, form)
        print(
            f"{verdict(line.outcome.passed):8}{check.name:24}{line.seconds:5.0f} s  {line.outcome.figure}",
            file=sys.stderr,
            flush=True,
        )
        return line

    longest_first = sorted((check for check in checks if check.idle), key=lambda check: -check.limit_s)
    idle = await asyncio.gather(*map(one, longest_first))
    others = [await one(check) for check in checks if not check.idle]
    return sorted([*idle, *others], key=lambda line: checks.index(line.check))


def main() -> int:
    """Run the table. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="the form of about five minutes")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this check; may be repeated")
    parser.add_argument("--list", action="store_true", help="print the names of the checks")
    parser.add_argument("--soak", action="store_true", help="20 minutes at 8 trajectories/s with retention, alone")
    parser.add_argument("--document", type=Path, metavar="FILE", help="put the table into docs/reliability.md, too")
    options = parser.parse_args()
    form = Form(short=options.short)
    try:
        checks = [SOAK] if options.soak else chosen(CHECKS, names=options.only, form=form)
    except ValueError as error:
        parser.error(str(error))
    if options.list:
        for check in checks:
            print(f"{check.name:24}{check.targets:10}{check.fault}: {check.goal}")
        return 0
    started = time.monotonic()
    lines = asyncio.run(measure(checks, form))
    show(lines, "make trust, short form" if form.short else "make trust", seconds=time.monotonic() - started)
    if options.document is not None:
        text = in_document(options.document.read_text(encoding="utf-8"), markdown(lines))
        options.document.write_text(text, encoding="utf-8")
    return 1 if any(line.outcome.passed is False for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
