"""Commands of this machine, ended in good order when somebody presses Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).parents[2]
# For a command to remove what it has made so far.
GRACE_S = 20


class CommandFailed(Exception):
    """A command ended with an error. The message ends with what it wrote last."""


def run(*command: str, echo: bool = False) -> str:
    """What a command wrote to its output; with `echo` it is shown as it comes. Raises `CommandFailed`."""
    output = sys.stderr if echo else subprocess.PIPE
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=None if echo else subprocess.PIPE,
        text=True,
        # Ctrl-C reaches this program alone, which then ends the command with all that it has started.
        start_new_session=True,
    )
    try:
        output, complaint = process.communicate()
    except BaseException:
        end(process, seconds=GRACE_S)
        raise
    if process.returncode:
        reason = "its output above says why" if echo else complaint.strip()[-500:]
        raise CommandFailed(f"{' '.join(command[:3])}: exit code {process.returncode}: {reason}")
    return (output or "").strip()


def end(process: subprocess.Popen[str] | subprocess.Popen[bytes], *, seconds: float) -> None:
    """End the leader of a session, politely at first, and then whatever is left of its process group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)


def succeeds(*command: str) -> bool:
    """Whether a command ends without an error."""
    try:
        run(*command)
    except CommandFailed:
        return False
    return True


def interrupt_once() -> None:
    """Take the first request to stop as `KeyboardInterrupt`, and no other: it would come amid the tidying."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(other, _ignore)
    raise KeyboardInterrupt


def _ignore(number: int, frame: FrameType | None) -> None:
    """Unlike SIG_IGN this is not handed down to the commands that tidy up."""
