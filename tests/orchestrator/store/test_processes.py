"""Several processes on one database, and processes that are killed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from orchestrator.store import StoreInUse, open_store

PROGRAM = Path(__file__).with_name("store_process.py")


@contextmanager
def started(work: str, url: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, str(PROGRAM), work, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


async def test_a_second_process_is_refused_until_the_first_is_gone(url: str, path: Path) -> None:
    with started("hold", url) as first:
        assert line(first) == "held"
        with pytest.raises(StoreInUse, match=f"in use by another orchestrator \\(process {first.pid}\\)"):
            async with open_store(url):
                pass
        with started("hold", url) as second:
            output = line(second)
            assert output.startswith(f"StoreInUse: {path} is in use")
            assert "name another database" in output
        first.kill()
        first.wait()
        async with open_store(url) as store:
            assert await store.unfinished() == []


@pytest.mark.parametrize("journal", ["wal", "delete"])
async def test_no_other_path_leads_past_the_lock(url: str, path: Path, journal: str) -> None:
    options = f"?journal_mode={journal}"
    async with open_store(url + options) as store:
        path.with_name("hard.db").hardlink_to(path)
        path.with_name("soft.db").symlink_to(path)
        (folder := path.parent.with_name("folder")).symlink_to(path.parent)
        others = [path, path.with_name("hard.db"), path.with_name("soft.db"), folder / path.name]
        for _ in range(2):
            for other in others:
                with started("hold", f"sqlite:///{other}{options}") as process:
                    assert line(process).startswith("StoreInUse: ")
            assert await store.unfinished() == []
            # Nothing beside the database can be removed to get in.
            for beside in path.parent.iterdir():
                if beside.name not in {other.name for other in others} | {"log.db-wal", "log.db-shm"}:
                    beside.unlink()


async def test_a_bind_mount_does_not_lead_past_the_lock(url: str, path: Path) -> None:
    async with open_store(url):
        (mount := path.parent.with_name("mount")).mkdir()
        there = f"sqlite:///{mount / path.name}"
        script = f"mount --bind {path.parent} {mount} || exit 9; {sys.executable} {PROGRAM} hold {there}"
        command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script]
        run = partial(subprocess.run, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        result = await asyncio.to_thread(run, command)
        if "StoreInUse" not in result.stdout and "held" not in result.stdout:
            pytest.skip(f"this system allows no mounts: {result.stderr}")
        assert result.stdout.startswith("StoreInUse: ")


@pytest.mark.parametrize("acknowledged", [1, 150, 600])
async def test_nothing_acknowledged_is_lost_when_the_process_is_killed(url: str, acknowledged: int) -> None:
    with started("write", url) as process:
        output = [line(process) for _ in range(acknowledged)]
        process.kill()
        assert process.stdout is not None
        output += process.stdout.read().splitlines()
    ends: dict[str, int] = {}
    for name, end in (entry.split() for entry in output if entry.count(" ") == 1):
        ends[name] = int(end)
    assert ends
    async with open_store(url) as store:
        for name in await store.unfinished():
            events = await store.events(name)
            assert [event.seq for event in events] == list(range(1, len(events) + 1))
            assert [event.payload["n"] for event in events[1:]] == list(range(2, len(events) + 1))
            assert (await store.get(name, owner="default")).last_seq == len(events)
            assert len(events) >= ends.get(name, 0)
            ends.pop(name, None)
    assert not ends  # every acknowledged trajectory is there


def test_an_io_error_passes(url: str) -> None:
    with started("limited", url) as process:
        assert line(process).startswith(
            "StoreUnavailable: the event log is not available (disk I/O error, SQLITE_IOERR"
        )
        assert line(process).startswith("StoreUnavailable:")
        assert line(process) == "appended"
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=20) == 0
