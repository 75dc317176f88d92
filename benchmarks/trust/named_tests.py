"""Targets that tests of the suite hold: they are run by name. And bugs that are planted, to see a test notice each."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Mapping, Sequence
from functools import partial

from benchmarks.processes import ROOT
from benchmarks.trust.table import Check, Form, Outcome

# pytest's exit code for tests that failed; others mean that none ran.
FAILED = 1
AT_ONCE = 2


async def pytest(*arguments: str, environment: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Exit code and output of a run of tests."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header", *arguments),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", **(environment or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode(errors="replace")


async def _tests(form: Form, *, files: Sequence[str], environment: Mapping[str, str]) -> Outcome:
    """Run files of tests."""
    code, output = await pytest(*files, "-n", "2", environment=environment)
    counts = re.findall(r"\d+ (?:passed|failed|errors?|skipped)", output)
    return Outcome(", ".join(counts) or output.strip()[-200:], code == 0)


async def _planted_bugs(form: Form) -> Outcome:
    """Each test must fail with its bug as the bug foretells, and pass without; the suite has run them without."""
    bugs = [line.split("\t") for line in (await _listed()).splitlines()]
    code, output = (0, "") if form.short else await pytest(*(test for _, test, _ in bugs))
    slots = asyncio.Semaphore(AT_ONCE)

    async def caught(name: str, test: str, shows: str) -> bool:
        async with slots:
            code, output = await pytest(
                "-x", "-p", "support.planted_bugs", test, environment={"ALPHA_UMI_PLANTED_BUG": name}
            )
            return code == FAILED and shows in failure(output)

    results = await asyncio.gather(*(caught(*bug) for bug in bugs))
    missed = [name for (name, *_), result in zip(bugs, results, strict=True) if not result]
    without = "pass" if code == 0 else f"do not pass: {output.strip()[-200:]}"
    return Outcome(
        f"{len(bugs) - len(missed)} of {len(bugs)} are caught, missed: {', '.join(missed) or 'none'}; without bugs "
        f"the tests {without}",
        not missed and code == 0 and len(bugs) >= 12,
    )


def failure(output: str) -> str:
    """The failing line and its error of a test that failed; empty where a fixture or an import failed."""
    if re.search(r"^ERROR |\d errors?\b", output, re.MULTILINE):
        return ""
    return "\n".join(re.findall(r"^[>E] .*$", output, re.MULTILINE))


async def _listed() -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "support.planted_bugs"),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    return output.decode()


def _by_name(name: str, fault: str, targets: str, *files: str, **environment: str) -> Check:
    paths = [f"tests/orchestrator/{file}" for file in files]
    run = partial(_tests, files=paths, environment=environment)
    return Check(name, fault, "all pass", run, short=False, targets=targets)


CHECKS = [
    _by_name(
        "failpoints", "kill -9 before and after every commit and send", "R1 R2",
        "test_crashes.py", "test_turn_crashes.py", ALPHA_UMI_EVERY_FAILPOINT="1",
    ),
    _by_name("tool-faults", "tools that reset, drip, hang, lie and redirect", "R4", "tools/test_egress.py",
             "tools/test_ssrf.py"),
    _by_name("storage-faults", "a full, locked, read-only, failing disk", "R5", "store/test_faults.py",
             "store/test_processes.py", "test_storage_faults.py"),
    _by_name("migrations", "every released schema with data", "R12", "store/test_migrations.py"),
    Check("planted-bugs", "bugs planted on purpose, 12 or more", "each is caught by a named test", _planted_bugs,
          targets="R15"),
]  # fmt: skip
