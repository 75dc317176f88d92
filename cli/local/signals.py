"""Handling of SIGINT, SIGTERM and SIGHUP: all work like Ctrl-C and let the command clean up."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def run_until_signal(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, where SIGTERM and SIGHUP cancel the main task as Ctrl-C does. Raises `KeyboardInterrupt`.

    `asyncio.run` handles Ctrl-C itself only if no other handler is installed. `ending_signals_interrupt` would raise an
    exception at any point of the program, also within a library's cleanup.
    """

    async def run_cancellable() -> T:
        task = asyncio.ensure_future(main)
        handled = [signal.SIGTERM, signal.SIGHUP]
        if signal.getsignal(signal.SIGINT) is _interrupt:
            handled.append(signal.SIGINT)
        for number in handled:
            if signal.getsignal(number) != signal.SIG_IGN:
                asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        return await task

    before = {number: signal.getsignal(number) for number in _ENDING}
    try:
        return asyncio.run(run_cancellable())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        # The loop resets handlers to the system's defaults.
        for number, old in before.items():
            signal.signal(number, old)


@contextlib.contextmanager
def ending_signals_interrupt() -> Iterator[None]:
    """Within the block SIGTERM and SIGHUP raise `KeyboardInterrupt`, too."""
    with _handled(_interrupt):
        yield


@contextlib.contextmanager
def ignored_signals() -> Iterator[None]:
    """Within the block these signals are ignored. It must be short."""
    with _handled(signal.SIG_IGN):
        yield


@contextlib.contextmanager
def deferred_signals() -> Iterator[None]:
    """A signal that arrives within the block raises `KeyboardInterrupt` at its end."""
    arrived = threading.Event()
    with _handled(lambda number, frame: arrived.set()):
        yield
    if arrived.is_set():
        raise KeyboardInterrupt


@contextlib.contextmanager
def stop_requested() -> Iterator[Callable[[], bool]]:
    """Yields a function that returns whether a signal arrived; a second one raises `KeyboardInterrupt` immediately."""
    arrived = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if arrived.is_set():
            raise KeyboardInterrupt
        arrived.set()

    with _handled(handle):
        yield arrived.is_set


@contextlib.contextmanager
def _handled(handler: Callable[[int, FrameType | None], Any] | signal.Handlers) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # Signals that are already ignored (nohup) stay ignored.
    before = {number: old for number in _ENDING if (old := signal.getsignal(number)) != signal.SIG_IGN}
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
