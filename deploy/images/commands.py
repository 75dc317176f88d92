"""Run commands, and stop them cleanly on Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).parents[2]
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# For a command to clean up.
GRACE_S = 20


class CommandFailed(Exception):
    """A command failed. The message ends with its last output."""


def run(*command: str, echo: bool = False) -> str:
    """The standard output of a command; with `echo` it goes to the terminal. Raises `CommandFailed`."""
    process = None
    try:
        # A signal between the start of the command and the assignment would leave it running.
        with _deferred_signals():
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr if echo else subprocess.PIPE,
                stderr=None if echo else subprocess.PIPE,
                text=True,
                # Ctrl-C reaches only this program, which then ends the process group of the command.
                start_new_session=True,
            )
        output, complaint = process.communicate()
    except BaseException:
        if process is not None:
            end(process, seconds=GRACE_S)
        raise
    if process.returncode:
        reason = "its output is above" if echo else complaint.strip()[-500:]
        raise CommandFailed(f"{' '.join(command[:3])}: exit code {process.returncode}: {reason}")
    return (output or "").strip()


def end(process: subprocess.Popen[str] | subprocess.Popen[bytes], *, seconds: float) -> None:
    """Send SIGTERM to the leader of a session, then SIGKILL to the rest of its process group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)


def succeeds(*command: str) -> bool:
    """Whether a command succeeds."""
    try:
        run(*command)
    except CommandFailed:
        return False
    return True


@contextlib.contextmanager
def _deferred_signals() -> Iterator[None]:
    """Deliver a stop signal that arrives inside the block after it."""
    pending: list[int] = []
    handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    # An ignored signal stays ignored, also for the command.
    caught = {number: handler for number, handler in handlers.items() if handler != signal.SIG_IGN}
    for number in caught:
        signal.signal(number, lambda signum, _: pending.append(signum))
    try:
        yield
    finally:
        for number, handler in caught.items():
            signal.signal(number, handler)
    for received in pending[:1]:
        signal.raise_signal(received)


def interrupt_once() -> None:
    """Raise `KeyboardInterrupt` on the first stop signal only: a second would interrupt the cleanup."""
    for number in STOP_SIGNALS:
        signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    for other in STOP_SIGNALS:
        signal.signal(other, _ignore)
    raise KeyboardInterrupt


def _ignore(number: int, frame: FrameType | None) -> None:
    """Unlike SIG_IGN, a handler is not inherited by the cleanup commands."""
