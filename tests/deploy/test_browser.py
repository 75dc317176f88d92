"""`deploy/browser.sh` with stub commands instead of the system's: it installs a missing browser, and never fails."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy" / "browser.sh"
LEFT_OUT = "so tests that open pages are left out. Install chromium, or name one in the variable CHROMIUM\n"


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """The only folder on PATH: `id` reports root, and there are no other commands."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("timeout", "cat"):
        (folder / name).symlink_to(shutil.which(name) or name)
    command(folder, "id", "echo 0")
    return folder


def command(folder: Path, name: str, body: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(0o755)


def ran(folder: Path, **environment: str) -> str:
    """The output of the script, which always succeeds."""
    done = subprocess.run(
        ["/bin/sh", str(SCRIPT)], env={"PATH": str(folder), **environment}, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_an_installed_browser_is_enough(commands: Path, tmp_path: Path) -> None:
    command(tmp_path, "named", "exit 0")
    assert ran(commands, CHROMIUM=str(tmp_path / "named")) == ""
    command(commands, "google-chrome", "exit 0")
    assert ran(commands) == ""


def test_a_user_without_permission_gets_a_remedy(commands: Path) -> None:
    assert ran(commands) == f"No Chromium: there is no apt-get, {LEFT_OUT}"
    command(commands, "apt-get", "exit 0")
    command(commands, "id", "echo 1000")
    assert ran(commands) == f"No Chromium: this is not root, {LEFT_OUT}"


def test_it_is_installed_with_lists_that_are_fetched_where_they_lack(commands: Path, tmp_path: Path) -> None:
    log, lists = tmp_path / "log", tmp_path / "lists"
    command(commands, "apt-get", f'echo "$@" >> {log}\n[ "$1" = update ] && : > {lists}\n[ -e {lists} ]')
    assert ran(commands).startswith("Installing Debian's chromium")
    assert [line.split()[0] for line in log.read_text().splitlines()] == ["install", "update", "install"]
    assert "--no-install-recommends" in log.read_text()
    log.unlink()
    ran(commands)
    assert [line.split()[0] for line in log.read_text().splitlines()] == ["install"]


def test_a_failed_installation_is_reported(commands: Path) -> None:
    command(commands, "apt-get", "echo broken >&2; exit 100")
    assert ran(commands).splitlines()[-1] == f"No Chromium: apt-get did not install it, {LEFT_OUT}".rstrip()
