"""Runs work that takes long where short work does not wait for it, for one owner after another.

`run_long` computes in a few threads. `run_limited` runs functions on untrusted input in processes of their own, within
limits of time and memory. A process serves one job. What a function allocates is given back with it, and a job that
exceeds its limits ends alone. The processes are forked from a server that has imported the functions' modules. They run
as the same user with the same rights: this bounds costs and is no sandbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import resource
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Final, TypeVar

from alpha_umi.web.keys import CURRENT_OWNER
from orchestrator.admission.gate import Gate

# Of each kind.
AT_ONCE: Final = 2
# So that the event loop comes first where cores are few.
_NICENESS: Final = 5

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["orchestrator.tools.openapi.provider"])


class _Turns:
    """Who may have a job now: each owner one at a time, so that nobody waits for another owner's jobs."""

    def __init__(self) -> None:
        self._gate = Gate(AT_ONCE)
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def turn(self, owner: str) -> AsyncIterator[None]:
        """Wait for a turn and hold it in the block. Without an owner, as many as there are at once may have one."""
        lock = self._locks.setdefault(owner, asyncio.Lock()) if owner else contextlib.nullcontext()
        async with lock, self._gate.enter(owner, background=False):
            yield


_LoopTurns = weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Turns]
_turns, _long_turns = _LoopTurns(), _LoopTurns()
_long_threads: Final = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="long-work")

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Limits:
    """Of one job: seconds of processor time and in all, and bytes of address space."""

    cpu_s: int = 60
    deadline_s: float = 180.0
    memory_bytes: int = 1536 * 2**20

    def __str__(self) -> str:
        return f"{self.cpu_s} s of processor time, {self.deadline_s:g} s in all, {self.memory_bytes >> 20} MiB"


class LimitExceeded(Exception):
    """A job took more time or memory than it may have."""


@dataclass(frozen=True)
class Question:
    """What a job yields to be sent an answer."""

    value: Any


async def run_long(function: Callable[..., Result], *args: Any) -> Result:
    """The result of a function that can take a second or more of processor time. Raises what the function raises.

    `asyncio.to_thread` has four threads more than there are cores, and every new trajectory needs one for a moment:
    what a client can make long must not take them all. After a cancellation the owner's turn lasts until the thread is
    free, because nothing ends a thread.
    """
    loop, is_running = asyncio.get_running_loop(), False

    async def in_turn() -> Result:
        nonlocal is_running
        async with _long_turns.setdefault(loop, _Turns()).turn(CURRENT_OWNER.get()):
            is_running = True
            return await loop.run_in_executor(_long_threads, partial(function, *args))

    working = asyncio.create_task(in_turn())
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        if not is_running:
            working.cancel()
        raise


async def run_limited(
    function: Callable[..., Generator[Item | Question, Any, None]],
    *args: Any,
    answer: Callable[[Any], Awaitable[Any]] | None = None,
    limits: Limits = Limits(),
) -> list[Item]:
    """The items that the generator function yields. `answer` takes the value of each question.

    Jobs of the same `CURRENT_OWNER` run one after another. Items travel one by one, so that none holds the
    interpreter's lock for long: yield small ones. Raises `LimitExceeded`, and what the function raises.
    """
    turns = _turns.setdefault(asyncio.get_running_loop(), _Turns())
    async with turns.turn(CURRENT_OWNER.get()):
        ours, theirs = multiprocessing.Pipe()
        process = _context.Process(target=_work, args=(theirs, limits, function, args), daemon=True)
        started = asyncio.ensure_future(asyncio.to_thread(process.start))
        try:
            await asyncio.shield(started)
            theirs.close()
            async with asyncio.timeout(limits.deadline_s):
                return await _items(ours, answer)
        except (EOFError, ConnectionError, TimeoutError) as error:
            raise LimitExceeded(f"it takes more than it may have ({limits})") from error
        finally:
            await asyncio.wait([started])
            await asyncio.shield(asyncio.to_thread(_end, process, ours, theirs))


async def _items(connection: Connection, answer: Callable[[Any], Awaitable[Any]] | None) -> list[Any]:
    items: list[Any] = []
    while (question := await asyncio.to_thread(_receive, connection, items)) is not None:
        reply = None if answer is None else await answer(question.value)
        await asyncio.to_thread(connection.send, reply)
    return items


def _receive(connection: Connection, items: list[Any]) -> Question | None:
    """Collect items up to the next question, or the end (None)."""
    while True:
        match connection.recv():
            case Question() as question:
                return question
            case Exception() as error:
                raise error
            case None:
                return None
            case (item,):
                items.append(item)


def _end(process: Any, *connections: Connection) -> None:
    if process.pid is not None:
        process.kill()
        process.join()
        process.close()
    for connection in connections:
        connection.close()


def _work(
    connection: Connection, limits: Limits, function: Callable[..., Generator[Any, Any, None]], args: tuple[Any, ...]
) -> None:
    """The life of a process."""
    for kind, limit in (
        (resource.RLIMIT_CPU, limits.cpu_s),
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (limit, limit))
    os.nice(_NICENESS)
    # MemoryError: the process ends without an answer.
    with contextlib.suppress(MemoryError, BrokenPipeError):
        try:
            job = function(*args)
            answer: Any = None
            while True:
                item = job.send(answer)
                connection.send(item if isinstance(item, Question) else (item,))
                answer = connection.recv() if isinstance(item, Question) else None
        except StopIteration:
            connection.send(None)
        except MemoryError:
            raise
        except Exception as error:
            connection.send(error)
