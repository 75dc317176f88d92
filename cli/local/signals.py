"""Signals that end a command: all of them work like Ctrl-C, and none of them leaves things half done."""

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
    """`asyncio.run`, with SIGTERM and a lost terminal ending the main task as Ctrl-C does: cleanly, and with
    `KeyboardInterrupt`.

    That of `asyncio.run` itself for Ctrl-C is there only while nobody else handles it. `ending_signals_interrupt` would
    raise an exception wherever the program is, also in the midst of a library's clean-up.
    """

    async def cancelled_by_signals() -> T:
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
        return asyncio.run(cancelled_by_signals())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        # A loop that ends leaves the system's own handlers behind.
        for number, old in before.items():
            signal.signal(number, old)


@contextlib.contextmanager
def ending_signals_interrupt() -> Iterator[None]:
    """Within the block SIGTERM and a lost terminal raise `KeyboardInterrupt`, too."""
    with _handled(_interrupt):
        yield


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Within the block these signals are ignored. It has to be short."""
    with _handled(signal.SIG_IGN):
        yield


@contextlib.contextmanager
def interrupted_afterwards() -> Iterator[None]:
    """A signal that arrives within the block raises `KeyboardInterrupt` at its end."""
    arrived = threading.Event()
    with _handled(lambda number, frame: arrived.set()):
        yield
    if arrived.is_set():
        raise KeyboardInterrupt


@contextlib.contextmanager
def stop_wanted() -> Iterator[Callable[[], bool]]:
    """Yields what tells whether a signal arrived within the block; a second one raises `KeyboardInterrupt` at once."""
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
    # What is ignored already (nohup) stays so.
    before = {number: old for number in _ENDING if (old := signal.getsignal(number)) != signal.SIG_IGN}
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
