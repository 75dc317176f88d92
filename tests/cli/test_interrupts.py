"""Signals that stop a command, sent to this process."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from cli.local.signals import ending_signals_interrupt, run_until_signal


@pytest.fixture(autouse=True)
def default_hangup() -> Iterator[None]:
    """Under nohup SIGHUP is ignored, and these tests would fail."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_lets_the_main_task_clean_up(number: signal.Signals) -> None:
    """An exception raised within a cleanup would cut it off."""
    done: list[str] = []

    async def work() -> None:
        try:
            os.kill(os.getpid(), number)
            done.append("the line after the signal")
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            done.append("the clean-up")

    with pytest.raises(KeyboardInterrupt), ending_signals_interrupt():
        run_until_signal(work())
    assert done == ["the line after the signal", "the clean-up"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_handlers_are_restored(number: signal.Signals) -> None:
    async def work() -> int:
        return 1

    before = signal.getsignal(number)
    with ending_signals_interrupt():
        assert run_until_signal(work()) == 1
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) == before
