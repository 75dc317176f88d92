"""Jobs for the orchestrator's workers: what they import must be importable there."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from typing import Any

from orchestrator.workers import Question


def adding(*numbers: int) -> Generator[int | Question, int, None]:
    """Each number plus the answer to it."""
    for number in numbers:
        answer = yield Question(number)
        yield number + answer


def failing(error: Exception) -> Generator[int, None, None]:
    """Raises the error after an item."""
    yield 1
    raise error


def allocating(size: int) -> Generator[int, None, None]:
    """Allocates memory and yields its bytes."""
    yield len(bytearray(size))


def spinning() -> Generator[int, None, None]:
    """Never ends, and uses a processor."""
    while True:
        pass
    yield 0


def stopping() -> Generator[int, None, None]:
    """Never ends, and uses no processor."""
    yield os.getpid()
    os.kill(os.getpid(), signal.SIGSTOP)


def killed(_: Any = None) -> Generator[int, None, None]:
    """Dies."""
    os.kill(os.getpid(), signal.SIGKILL)
    yield 0
